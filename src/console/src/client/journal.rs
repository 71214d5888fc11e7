//! The journal's file, read-only, by a thread of its own: SQLite blocks, the screen must not.
//!
//! Nobody tells a reader of a new row, so the thread asks for the last number twice a second;
//! that is one page of the database, and nothing is drawn when it is the same.

use super::{Event, Events};
use crate::store::{Entry, Link, MAX_ROWS, Page, Peer, Trade};
use fusebox_domain::clean_line;
use fusebox_journal::{Filter, Kind, Reader, Row};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(500);
/// A summary longer than this is cut; no screen is wider.
const MAX_SUMMARY: usize = 300;
/// Rows of trades that are looked at for the editor.
const MAX_TRADE_ROWS: u32 = 500;

/// What the screen wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As typed: words, and `kind:halt`.
    pub(crate) filter: String,
}

/// Starts the thread; send it what is wanted whenever that changes.
pub(crate) fn start(path: PathBuf, events: Events) -> std::io::Result<SyncSender<Wanted>> {
    let (send, receive) = sync_channel(8);
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || watch(&path, &events, &receive))?;
    Ok(send)
}

fn watch(path: &std::path::Path, events: &Events, wishes: &Receiver<Wanted>) {
    let mut reader: Option<Reader<'static>> = None;
    let mut wanted = Wanted::default();
    let mut shown: Option<(u64, bool)> = None;
    loop {
        if reader.as_ref().is_some_and(Reader::is_outdated) {
            reader = None;
        }
        if reader.is_none() {
            match Reader::open(path) {
                Ok(opened) => {
                    reader = Some(opened);
                    shown = None;
                    if events
                        .blocking_send(Event::Link(Peer::Journal, Link::Live))
                        .is_err()
                    {
                        return;
                    }
                }
                Err(e) if !down(events, &e.to_string()) => return,
                Err(_) => {}
            }
        }
        if let Some(open) = &reader {
            match refresh(open, &wanted, &mut shown) {
                Ok(Some(page)) => {
                    if events.blocking_send(Event::Page(page)).is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(e) => {
                    reader = None;
                    if !down(events, &e.to_string()) {
                        return;
                    }
                }
            }
        }
        match wishes.recv_timeout(INTERVAL) {
            Ok(wish) => {
                wanted = wishes.try_iter().last().unwrap_or(wish);
                shown = None;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn down(events: &Events, error: &str) -> bool {
    let link = Link::Down {
        error: error.to_owned(),
    };
    events
        .blocking_send(Event::Link(Peer::Journal, link))
        .is_ok()
}

/// A new page, if anything is different.
fn refresh(
    reader: &Reader<'_>,
    wanted: &Wanted,
    shown: &mut Option<(u64, bool)>,
) -> Result<Option<Page>, fusebox_journal::Error> {
    let now = (reader.last_seq()?, reader.is_stopped());
    if *shown == Some(now) {
        return Ok(None);
    }
    *shown = Some(now);
    let limit = u32::try_from(MAX_ROWS).unwrap_or(u32::MAX);
    let rows = reader.page_back(None, &parse_filter(&wanted.filter), limit)?;
    Ok(Some(Page {
        rows: rows.iter().map(entry).collect(),
        total: now.0,
        stopped: now.1,
        filter: wanted.filter.clone(),
        trades: trades(reader)?,
    }))
}

/// The newest trades with what was written about them.
fn trades(reader: &Reader<'_>) -> Result<Vec<Trade>, fusebox_journal::Error> {
    let of = |kind| Filter {
        kinds: vec![kind],
        text: String::new(),
    };
    let bodies = |kind| -> Result<Vec<Value>, fusebox_journal::Error> {
        let rows = reader.page_back(None, &of(kind), MAX_TRADE_ROWS)?;
        Ok(rows
            .iter()
            .filter_map(|row| serde_json::from_str(&row.body).ok())
            .collect())
    };
    let notes = bodies(Kind::Annotation)?;
    let mut trades: Vec<Trade> = Vec::new();
    for body in bodies(Kind::Trade)? {
        let text = |body: &Value, field: &str| {
            let found = body.get(field).and_then(Value::as_str).unwrap_or_default();
            clean_line(found, 60)
        };
        let (account, trade_id) = (text(&body, "account"), text(&body, "trade_id"));
        // Newest first: the first row seen of a trade is its present state.
        if trades
            .iter()
            .any(|t| t.trade_id == trade_id && t.account == account)
        {
            continue;
        }
        let has = |field: &str| {
            notes.iter().any(|note| {
                text(note, "trade_id") == trade_id
                    && matches!(text(note, "account"), a if a.is_empty() || a == account)
                    && !text(note, field).is_empty()
            })
        };
        trades.push(Trade {
            open: text(&body, "event") != "closed",
            pair: text(&body, "pair"),
            side: text(&body, "side"),
            has_thesis: has("thesis"),
            has_lesson: has("lesson"),
            account,
            trade_id,
        });
    }
    Ok(trades)
}

/// `kind:halt rogue` is rows of kind halt with "rogue" in them.
pub(crate) fn parse_filter(text: &str) -> Filter {
    let mut filter = Filter::default();
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        match word.strip_prefix("kind:") {
            Some(kind) => filter.kinds.extend(
                Kind::ALL
                    .iter()
                    .filter(|k| !kind.is_empty() && k.as_str().starts_with(kind)),
            ),
            None => words.push(word),
        }
    }
    filter.text = words.join(" ");
    filter
}

/// A row for the screen.
pub(crate) fn entry(row: &Row) -> Entry {
    let body: Value = serde_json::from_str(&row.body).unwrap_or(Value::Null);
    let (summary, tail) = summarize(&row.kind, &body);
    Entry {
        seq: row.seq,
        time_ms: row.time_ms,
        kind: clean_line(&row.kind, 20),
        author: clean_line(&row.author, 60),
        summary: clean_line(&summary, MAX_SUMMARY),
        tail: clean_line(&tail, 40),
        body,
        hash: row.hash.to_string(),
        prev: row.prev.to_string(),
    }
}

/// One line for a row, and what belongs to its right end.
fn summarize(kind: &str, body: &Value) -> (String, String) {
    let text = |field: &str| match body.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let join = |parts: &[String]| {
        let some: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        some.join(" ")
    };
    let number = |field: &str| {
        let raw = text(field);
        raw.parse::<fusebox_domain::Decimal>()
            .map_or(raw, |n| n.normalize().to_string())
    };
    let at = |price: String| {
        if price.is_empty() {
            price
        } else {
            format!("@ {price}")
        }
    };
    match kind {
        "trade" => {
            let profit = number("realized_profit");
            let tail = match (text("event").as_str(), profit.is_empty()) {
                ("opened" | "added", _) | (_, true) => text("enter_tag"),
                _ => format!("result {profit}"),
            };
            let pair = text("pair");
            let pair = pair.split(':').next().unwrap_or_default().to_owned();
            let line = [
                text("event"),
                pair,
                text("side"),
                number("amount"),
                at(number("price")),
                format!("trade {}", text("trade_id")),
            ];
            (join(&line), tail)
        }
        "execution" => {
            let line = [
                text("exec_type"),
                text("symbol"),
                text("side"),
                number("qty"),
                at(number("price")),
            ];
            (join(&line), format!("fee {}", number("fee_usdt")))
        }
        "capital" => {
            let line = [
                text("direction"),
                number("amount"),
                text("coin"),
                text("account"),
                text("type_name"),
            ];
            (join(&line), text("status"))
        }
        "halt" => {
            let state = match text("resolved_at").is_empty() {
                true => "open".to_owned(),
                false => "resolved".to_owned(),
            };
            (
                join(&[text("reason"), text("trigger_value"), text("account")]),
                state,
            )
        }
        "config" => {
            let line = [
                text("service"),
                text("field"),
                text("old_value"),
                "→".to_owned(),
                text("new_value"),
            ];
            (join(&line), String::new())
        }
        "incident" => {
            let state = match text("mitigated_at").is_empty() {
                true => "open".to_owned(),
                false => "mitigated".to_owned(),
            };
            (join(&[text("type"), text("detail")]), state)
        }
        "annotation" => {
            let what = ["thesis", "lesson", "note"]
                .into_iter()
                .find(|field| !text(field).is_empty());
            let line = what.map(&text).unwrap_or_default();
            let trade = text("trade_id");
            let tail = if trade.is_empty() {
                String::new()
            } else {
                format!("trade {trade}")
            };
            (
                join(&[what.map(|w| format!("{w}:")).unwrap_or_default(), line]),
                tail,
            )
        }
        "plan" => {
            let line = [text("action"), text("event"), text("step"), text("detail")];
            (join(&line), text("state"))
        }
        "alert" => (text("title"), text("delivery")),
        "ack" => (join(&[text("id"), text("note")]), "acknowledged".to_owned()),
        _ => {
            let line = [
                text("component"),
                text("event"),
                text("detail"),
                text("message"),
            ];
            let line = join(&line);
            let line = if line.is_empty() {
                body.to_string()
            } else {
                line
            };
            (line, String::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_takes_kinds_and_words() {
        let filter = parse_filter("kind:halt kind:inc rogue order");
        assert_eq!(filter.kinds, [Kind::Halt, Kind::Incident]);
        assert_eq!(filter.text, "rogue order");
        assert_eq!(parse_filter("kind:"), Filter::default());
    }

    #[test]
    fn rows_become_one_line() {
        for (kind, body, line, tail) in [
            (
                "trade",
                json!({"event":"opened","trade_id":"7","pair":"ETH/USDT:USDT","side":"long","amount":"0.420","price":"3011.20"}),
                "opened ETH/USDT long 0.42 @ 3011.2 trade 7",
                "",
            ),
            (
                "halt",
                json!({"reason":"R1 day −5.02 %","account":"trading-1"}),
                "R1 day −5.02 % trading-1",
                "open",
            ),
            (
                "annotation",
                json!({"trade_id":"7","thesis":"mean reversion\nafter funding"}),
                "thesis: mean reversion after funding",
                "trade 7",
            ),
            ("weird", json!({"x":1}), "{\"x\":1}", ""),
        ] {
            let (got, end) = summarize(kind, &body);
            assert_eq!((clean_line(&got, 99).as_str(), end.as_str()), (line, tail));
        }
    }
}
