//! Follows one account at the exchange: executions, capital, and orders that the bot did not
//! place.
//!
//! Lists from a little before the last good listing, so that a row that shows up late is still
//! seen; the journal's keys keep it single. The ledger is a second witness: while it knows a
//! fill that the execution list lacks, the follower goes back and lists again.

use crate::bot::{BotOrders, write_new};
use crate::status::Board;
use crate::writer::Writer;
use crate::{Error, now_ms};
use fusebox_domain::{Execution, LedgerKind, LedgerRow, Order};
use fusebox_journal::{Capital, Draft, Execution as ExecutionBody, Filter, Incident, Kind, System};
use fusebox_venue::Reader;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// How far every listing reaches back behind the last good one.
const OVERLAP_MS: i64 = 60_000;
/// How far the follower goes back at most for a fill that only the ledger knows.
const BACKLOG_MS: i64 = 24 * 3_600_000;
/// How long the bot may take to write an order into its database before the order is foreign.
const GRACE: Duration = Duration::from_secs(5);
/// The ledger's word for a fill.
pub(crate) const LEDGER_FILL: &str = "TRADE";

/// What is followed and how far it got.
pub(crate) struct Follower {
    pub account: String,
    pub reader: Reader,
    pub orders: Option<BotOrders>,
    /// From when on the journal claims to be complete, exchange time.
    pub since_ms: i64,
    from_ms: i64,
    written: HashSet<String>,
    /// Orders that the bot's database does not have (yet): when first seen, and in words.
    unknown: BTreeMap<String, (Instant, String)>,
    settle_coins: Vec<String>,
}

impl Follower {
    /// Finds out where the last run ended; at the very first start, begins `history_ms` ago and
    /// says so in the journal.
    pub(crate) async fn start(
        account: &str,
        reader: Reader,
        orders: Option<BotOrders>,
        history_ms: i64,
        writer: &Writer,
    ) -> Result<Self, Error> {
        let now = reader.server_time().await?.value;
        let body = System {
            event: "following".to_owned(),
            component: "recorder".to_owned(),
            detail: Some(format!("executions and ledger of {account}")),
            extra: [("since_ms".to_owned(), now.saturating_sub(history_ms).into())]
                .into_iter()
                .collect(),
        };
        let key = format!("following/{account}");
        let draft = Draft::new(now_ms(), "recorder", &body).with_key(&key);
        writer.append(vec![draft]).await?;
        let name = account.to_owned();
        let (since_ms, last_ms) = writer
            .ask(move |journal| {
                let first = journal.by_key(&key)?;
                let since = first.and_then(|row| row.fields().get("since_ms")?.as_i64());
                let filter = Filter {
                    kinds: vec![Kind::Execution],
                    ..Filter::default()
                };
                let newest = journal.page_back(None, &filter, 1_000)?;
                let ours = newest.iter().find(|row| {
                    row.fields().get("account").and_then(|a| a.as_str()) == Some(&name)
                });
                Ok((
                    since.unwrap_or(now),
                    ours.map(fusebox_journal::Row::happened_ms),
                ))
            })
            .await?;
        let from_ms = last_ms.map_or(since_ms, |last| last.saturating_sub(OVERLAP_MS));
        Ok(Self {
            account: account.to_owned(),
            reader,
            orders,
            since_ms,
            from_ms: from_ms.max(since_ms),
            written: HashSet::new(),
            unknown: BTreeMap::new(),
            settle_coins: vec!["USDT".to_owned()],
        })
    }

    /// Lists once and writes what is new.
    pub(crate) async fn poll(&mut self, writer: &Writer, board: &Board) -> Result<(), Error> {
        let now = self.reader.server_time().await?.value;
        // The windows of a listing end before their end: look a moment into the future.
        let until_ms = now.saturating_add(1_000);
        let executions = self.reader.executions(self.from_ms, until_ms).await?.value;
        let ledger = self.reader.ledger(self.from_ms, until_ms).await?.value;
        let mut open = Vec::new();
        for coin in &self.settle_coins {
            open.extend(self.reader.open_orders(coin).await?.value);
        }
        let mut drafts: Vec<Draft> = Vec::new();
        for execution in &executions {
            drafts.extend(self.execution_drafts(execution));
        }
        for row in &ledger {
            drafts.extend(capital_draft(&self.account, row));
        }
        drafts.sort_by_key(|draft| draft.happened_ms);
        drafts.extend(self.foreign(&executions, &open, Instant::now()));
        write_new(writer, drafts, &mut self.written).await?;
        self.settle(now, &executions, &ledger, board);
        Ok(())
    }

    /// Moves on, unless the ledger knows of fills that the list did not show.
    fn settle(&mut self, now: i64, executions: &[Execution], ledger: &[LedgerRow], board: &Board) {
        let source = format!("exchange {}", self.account);
        let listed: HashSet<&str> = executions.iter().map(|e| e.exec_id.as_str()).collect();
        let lacking = ledger_fills(ledger)
            .filter(|id| {
                let key = execution_key(&self.account, id);
                !listed.contains(id) && !self.written.contains(&key)
            })
            .count();
        if lacking == 0 {
            self.from_ms = now.saturating_sub(OVERLAP_MS).max(self.from_ms);
            if self.written.len() > 20_000 {
                // Only saves asking the journal again; the journal's own keys decide.
                self.written.clear();
            }
            let text = format!("{} executions in the last listing", executions.len());
            return board.ok(&source, now_ms(), text);
        }
        self.from_ms = self.from_ms.max(now.saturating_sub(BACKLOG_MS));
        let text =
            format!("the execution list lacks {lacking} fills that the ledger has; listing again");
        board.bad(&source, now_ms(), text);
    }

    fn execution_drafts(&self, e: &Execution) -> Vec<Draft> {
        let body = ExecutionBody {
            exec_id: e.exec_id.clone(),
            account: self.account.clone(),
            order_id: e.order_id.clone(),
            order_link_id: e.link_id.clone(),
            symbol: e.symbol.to_string(),
            side: e.side.order_word().to_owned(),
            exec_type: e.exec_type.clone(),
            qty: e.qty.to_string(),
            price: e.price.to_string(),
            fee_usdt: e.fee_usdt.to_string(),
            liquidity: if e.maker { "maker" } else { "taker" }.to_owned(),
            ..ExecutionBody::default()
        };
        let key = execution_key(&self.account, &e.exec_id);
        let mut drafts = vec![Draft::new(e.time_ms, "recorder", &body).with_key(key)];
        let forced = match e.exec_type.as_str() {
            "BustTrade" => Some("liquidation"),
            "AdlTrade" => Some("auto-deleveraging"),
            _ => None,
        };
        drafts.extend(forced.map(|what| {
            let detail = format!("{} {} at {} by the exchange", e.symbol, e.qty, e.price);
            self.incident(what, &e.exec_id, detail, e.time_ms)
        }));
        drafts
    }

    /// Orders and fills that the bot's database does not know after the grace, each once. Judged
    /// only when the database was read since: a database that cannot be read accuses nobody.
    fn foreign(&mut self, executions: &[Execution], open: &[Order], now: Instant) -> Vec<Draft> {
        let Some(orders) = self.orders.clone() else {
            return Vec::new();
        };
        let fills = executions.iter().filter(|e| is_order_fill(e)).map(|e| {
            let (side, qty, price) = (e.side.order_word(), e.qty, e.price);
            (
                &e.order_id,
                format!("{} {side} {qty} filled at {price}", e.symbol),
            )
        });
        let resting = open.iter().map(|o| {
            let price = o
                .price
                .or(o.trigger_price)
                .map_or("market".to_owned(), |p| p.to_string());
            let (side, qty) = (o.side.order_word(), o.qty);
            (
                &o.order_id,
                format!("{} {side} {qty} resting at {price}", o.symbol),
            )
        });
        for (order_id, words) in fills.chain(resting) {
            let key = foreign_key(&self.account, order_id);
            if !orders.has(order_id) && !self.written.contains(&key) {
                self.unknown.entry(order_id.clone()).or_insert((now, words));
            }
        }
        self.unknown.retain(|order_id, _| !orders.has(order_id));
        let Some(checked) = orders.checked() else {
            return Vec::new();
        };
        let due: Vec<String> = self
            .unknown
            .iter()
            .filter(|(_, (seen, _))| checked.saturating_duration_since(*seen) > GRACE)
            .map(|(order_id, _)| order_id.clone())
            .collect();
        due.iter()
            .filter_map(|order_id| {
                let (_, words) = self.unknown.remove(order_id)?;
                let detail = format!("{words}: order {order_id} is not in the bot's database");
                Some(self.incident("foreign-order", order_id, detail, now_ms()))
            })
            .collect()
    }

    fn incident(&self, what: &str, id: &str, detail: String, happened_ms: i64) -> Draft {
        let id = format!("{what}/{}/{id}", self.account);
        let body = Incident {
            id: id.clone(),
            account: self.account.clone(),
            r#type: what.to_owned(),
            severity: Some(1),
            detail: fusebox_domain::clean_line(&detail, 300),
            ..Incident::default()
        };
        Draft::new(happened_ms, "recorder", &body).with_key(format!("incident/{id}"))
    }
}

/// Funding and settlement have no order of anybody's behind them.
pub(crate) fn is_order_fill(e: &Execution) -> bool {
    e.exec_type == "Trade" && !e.order_id.is_empty()
}

/// Execution ids of the fills that the ledger shows.
pub(crate) fn ledger_fills(ledger: &[LedgerRow]) -> impl Iterator<Item = &str> {
    ledger
        .iter()
        .filter(|row| row.type_name == LEDGER_FILL)
        .filter_map(|row| row.trade_id.as_deref())
}

/// The key of an execution's row, of which coverage knows the prefix.
pub(crate) fn execution_key(account: &str, exec_id: &str) -> String {
    format!("execution/{account}/{exec_id}")
}

fn foreign_key(account: &str, order_id: &str) -> String {
    format!("incident/foreign-order/{account}/{order_id}")
}

/// The row for a ledger row that moved capital, or might have.
fn capital_draft(account: &str, row: &LedgerRow) -> Vec<Draft> {
    let unknown = match row.kind {
        LedgerKind::Flow => false,
        LedgerKind::Unknown => true,
        LedgerKind::Result | LedgerKind::Conversion => return Vec::new(),
    };
    let credit = row.change.is_sign_positive();
    let mut drafts = Vec::new();
    // Of an unknown type a credit counts as capital, a debit as a loss (rule L5).
    if !unknown || credit {
        let body = Capital {
            id: row.id.clone(),
            account: account.to_owned(),
            direction: if credit { "in" } else { "out" }.to_owned(),
            amount: row.change.abs().to_string(),
            coin: row.currency.clone(),
            status: "confirmed".to_owned(),
            confirm_txn: Some(row.id.clone()),
            type_name: Some(row.type_name.clone()),
            ..Capital::default()
        };
        let key = format!("capital/{account}/{}", row.id);
        drafts.push(Draft::new(row.time_ms, "recorder", &body).with_key(key));
    }
    if unknown {
        let (kind, change, coin) = (&row.type_name, row.change, &row.currency);
        let id = format!("unknown-ledger-type/{account}/{}", row.id);
        let body = Incident {
            id: id.clone(),
            account: account.to_owned(),
            r#type: "unknown-ledger-type".to_owned(),
            severity: Some(2),
            detail: fusebox_domain::clean_line(
                &format!(
                    "the ledger has a row of type {kind}, {change} {coin}, unknown to this program"
                ),
                300,
            ),
            ..Incident::default()
        };
        let key = format!("incident/{id}");
        drafts.push(Draft::new(row.time_ms, "recorder", &body).with_key(key));
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_domain::Decimal;

    fn ledger(type_name: &str, kind: LedgerKind, change: i64) -> LedgerRow {
        LedgerRow {
            id: format!("{type_name}/1"),
            time_ms: 5,
            type_name: type_name.into(),
            kind,
            currency: "USDT".into(),
            change: Decimal::from(change),
            cash_balance: Decimal::ZERO,
            symbol: None,
            order_id: None,
            trade_id: Some("e-1".into()),
        }
    }

    #[test]
    fn capital_is_what_the_ledger_calls_a_flow_and_an_unknown_credit() {
        let rows = |type_name, kind, change| {
            let drafts = capital_draft("trading-1", &ledger(type_name, kind, change));
            let word = |d: &Draft| match d.kind {
                Kind::Capital => format!("{} {}", d.body["direction"], d.body["amount"]),
                other => other.to_string(),
            };
            drafts.iter().map(word).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            rows("TRANSFER_OUT", LedgerKind::Flow, -50),
            "\"out\" \"50\""
        );
        assert_eq!(rows("TRANSFER_IN", LedgerKind::Flow, 50), "\"in\" \"50\"");
        assert_eq!(
            rows("NEW", LedgerKind::Unknown, 7),
            "\"in\" \"7\", incident"
        );
        assert_eq!(rows("NEW", LedgerKind::Unknown, -7), "incident");
        assert_eq!(rows("TRADE", LedgerKind::Result, -7), "");
    }

    #[test]
    fn only_fills_are_compared_with_the_execution_list() {
        let rows = [
            ledger("TRADE", LedgerKind::Result, 1),
            ledger("SETTLEMENT", LedgerKind::Result, 1),
        ];
        assert_eq!(ledger_fills(&rows).collect::<Vec<_>>(), ["e-1"]);
    }
}
