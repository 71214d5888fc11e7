//! A price path read from a file of candles: `time_ms,open,high,low,close,volume`, with or without a heading.
//!
//! One candle lasts a second at speed 1 and its open, high, low and close are visited in this order. At the end the
//! last price stays.

use std::path::{Path, PathBuf};

use rust_decimal::Decimal;

/// Why a file of candles could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CandleError {
    #[error("cannot read the candles in {path}: {source}; give --candles a readable CSV file")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path}:{line}: expected time_ms,open,high,low,close,volume with prices above 0, found \"{found}\""
    )]
    Line {
        path: PathBuf,
        line: usize,
        found: String,
    },
    #[error("{path} holds no candle")]
    Empty { path: PathBuf },
}

/// The path, and how far it has been played.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    /// Four prices per candle.
    points: Vec<Decimal>,
    first: Decimal,
    played: usize,
    at_s: f64,
}

/// Prices per candle, and so per second at speed 1.
const PER_CANDLE: usize = 4;

impl Replay {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CandleError> {
        let named = || path.to_owned();
        let text = std::fs::read_to_string(path).map_err(|source| CandleError::Read {
            path: named(),
            source,
        })?;
        let mut points = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let is_heading = number == 0 && line.starts_with(|c: char| c.is_ascii_alphabetic());
            if is_heading || line.trim().is_empty() {
                continue;
            }
            let candle = parse(line).ok_or_else(|| CandleError::Line {
                path: named(),
                line: number + 1,
                found: line.chars().filter(|c| !c.is_control()).take(80).collect(),
            })?;
            points.extend(candle);
        }
        let first = points
            .first()
            .copied()
            .ok_or_else(|| CandleError::Empty { path: named() })?;
        Ok(Self {
            points,
            first,
            played: 0,
            at_s: 0.0,
        })
    }

    /// The price at the start.
    pub(crate) fn first(&self) -> Decimal {
        self.first
    }

    /// The price played last; the first before any.
    pub(crate) fn last(&self) -> Decimal {
        let last = self
            .played
            .checked_sub(1)
            .and_then(|at| self.points.get(at));
        last.copied().unwrap_or(self.first)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.played == self.points.len()
    }

    /// `s` seconds at speed 1 pass: the prices visited in them.
    pub(crate) fn advance(&mut self, s: f64) -> Vec<Decimal> {
        self.at_s += s;
        let reached = (self.at_s * PER_CANDLE as f64) as usize;
        let visited: Vec<Decimal> = self
            .points
            .iter()
            .take(reached)
            .skip(self.played)
            .copied()
            .collect();
        self.played += visited.len();
        visited
    }
}

fn parse(line: &str) -> Option<[Decimal; PER_CANDLE]> {
    let mut fields = line.split(',').map(str::trim);
    let _time_ms: i64 = fields.next()?.parse().ok()?;
    let mut price = || -> Option<Decimal> {
        let price: Decimal = fields.next()?.parse().ok()?;
        (price > Decimal::ZERO && price < Decimal::from(1_000_000_000)).then_some(price)
    };
    Some([price()?, price()?, price()?, price()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Replay, CandleError> {
        let path =
            std::env::temp_dir().join(format!("fusebox-sim-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let replay = Replay::read(&path);
        std::fs::remove_file(&path).unwrap();
        replay
    }

    #[test]
    fn a_candle_a_second_in_order_then_the_last_price_stays() {
        let text = "time_ms,open,high,low,close,volume\n0,10,12,9,11,1\n60000,11,11,5,6.5,1\n";
        let mut replay = read("order", text).unwrap();
        let whole = |list: Vec<Decimal>| {
            list.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(replay.last(), Decimal::TEN);
        assert_eq!(whole(replay.advance(0.5)), "10 12");
        assert_eq!(whole(replay.advance(0.9)), "9 11 11");
        assert_eq!(whole(replay.advance(9.0)), "11 5 6.5");
        assert!(replay.is_over() && replay.advance(1.0).is_empty());
        assert_eq!(replay.last(), Decimal::new(65, 1));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = read("wrong", "0,10,12,9,11,1\n0,10,x,9,11,1\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains(".csv:2: expected"), "{error}");
        assert!(matches!(
            read("empty", "time,open\n").unwrap_err(),
            CandleError::Empty { .. }
        ));
    }
}
