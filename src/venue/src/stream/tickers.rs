//! The merged state of `tickers.*`: a snapshot, then only what changed.

use super::frame::Data;
use crate::Error;
use fusebox_domain::{Decimal, Symbol};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The last known prices of one instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker {
    /// The instrument.
    pub symbol: Symbol,
    /// Mark price.
    pub mark: Decimal,
    /// Price of the last trade, where told.
    pub last: Option<Decimal>,
    /// Exchange time of the message that last touched it, milliseconds.
    pub at_ms: i64,
}

/// All instruments of one connection. A new connection starts from nothing: a delta before its
/// snapshot is never applied to values of an earlier life.
#[derive(Debug, Default)]
pub(super) struct Tickers {
    known: BTreeMap<String, (Ticker, i64)>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    symbol: &'a str,
    #[serde(rename = "markPrice")]
    mark: Option<&'a str>,
    #[serde(rename = "lastPrice")]
    last: Option<&'a str>,
}

impl Tickers {
    /// Merges a message and returns the instrument's state; `None` for a delta before a snapshot
    /// or behind what is known.
    pub(super) fn apply(&mut self, data: &Data<'_>) -> Result<Option<Ticker>, Error> {
        let wire: Wire<'_> = serde_json::from_str(data.data.get())
            .map_err(|e| Error::not_understood(data.topic, e.to_string()))?;
        let mark = price(data.topic, "markPrice", wire.mark)?;
        let last = price(data.topic, "lastPrice", wire.last)?;
        let sequence = data.sequence.unwrap_or(data.at_ms);
        if data.snapshot {
            let mark = mark.ok_or_else(|| {
                Error::not_understood(data.topic, "the snapshot has no markPrice")
            })?;
            let ticker = Ticker {
                symbol: Symbol::new(wire.symbol),
                mark,
                last,
                at_ms: data.at_ms,
            };
            self.known
                .insert(wire.symbol.to_owned(), (ticker.clone(), sequence));
            return Ok(Some(ticker));
        }
        let Some((ticker, known_sequence)) = self.known.get_mut(wire.symbol) else {
            return Ok(None);
        };
        if sequence < *known_sequence {
            return Ok(None);
        }
        *known_sequence = sequence;
        ticker.mark = mark.unwrap_or(ticker.mark);
        ticker.last = last.or(ticker.last);
        ticker.at_ms = ticker.at_ms.max(data.at_ms);
        Ok(Some(ticker.clone()))
    }
}

/// A price; absent and empty are unchanged, zero and less are refused.
fn price(topic: &str, name: &str, text: Option<&str>) -> Result<Option<Decimal>, Error> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => Decimal::from_str(text)
            .ok()
            .filter(|price| *price > Decimal::ZERO)
            .map(Some)
            .ok_or_else(|| Error::not_understood(topic, format!("{name} is not a price"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    fn apply(tickers: &mut Tickers, text: &str) -> Result<Option<Ticker>, Error> {
        match Frame::read(text)? {
            Frame::Data(data) => tickers.apply(&data),
            other => panic!("{other:?}"),
        }
    }

    fn message(kind: &str, cs: i64, ts: i64, fields: &str) -> String {
        format!(
            r#"{{"topic":"tickers.X","type":"{kind}","cs":{cs},"ts":{ts},"data":{{"symbol":"X"{fields}}}}}"#
        )
    }

    #[test]
    fn an_absent_field_of_a_delta_is_unchanged() {
        let mut tickers = Tickers::default();
        let snapshot = message("snapshot", 1, 10, r#","markPrice":"100","lastPrice":"99""#);
        apply(&mut tickers, &snapshot).unwrap();
        let ticker = apply(
            &mut tickers,
            &message("delta", 2, 20, r#","ask1Price":"5""#),
        )
        .unwrap()
        .unwrap();
        assert_eq!((ticker.mark, ticker.at_ms), (Decimal::from(100), 20));
        let ticker = apply(
            &mut tickers,
            &message("delta", 3, 30, r#","markPrice":"98""#),
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            (ticker.mark, ticker.last),
            (Decimal::from(98), Some(Decimal::from(99)))
        );
    }

    #[test]
    fn a_delta_before_its_snapshot_or_from_the_past_says_nothing() {
        let mut tickers = Tickers::default();
        let delta = message("delta", 5, 50, r#","markPrice":"98""#);
        assert_eq!(apply(&mut tickers, &delta).unwrap(), None);
        apply(
            &mut tickers,
            &message("snapshot", 9, 90, r#","markPrice":"100""#),
        )
        .unwrap();
        assert_eq!(apply(&mut tickers, &delta).unwrap(), None);
    }

    #[test]
    fn a_price_of_zero_or_nonsense_is_refused() {
        let mut tickers = Tickers::default();
        for bad in ["0", "-1", "1e", "NaN"] {
            let text = message("snapshot", 1, 1, &format!(r#","markPrice":"{bad}""#));
            assert!(apply(&mut tickers, &text).is_err(), "{bad}");
        }
        assert!(apply(&mut tickers, &message("snapshot", 1, 1, "")).is_err());
    }
}
