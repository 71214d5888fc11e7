//! The account's transaction log: every change of the wallet balance as a row.
//!
//! A row may become visible later than the balance changes, or earlier, because the real one does both (L6).

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::args::Place;

/// Rows kept per account.
const LIMIT: usize = 20_000;

/// One row of `/v5/account/transaction-log`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
    /// Not listed before this time.
    pub(crate) visible_ms: i64,
    /// `TRADE`, `SETTLEMENT`, `TRANSFER_IN`, …
    pub(crate) kind: String,
    pub(crate) symbol: &'static str,
    pub(crate) side: &'static str,
    pub(crate) qty: Decimal,
    /// Position after it, signed.
    pub(crate) size: Decimal,
    pub(crate) price: Option<Decimal>,
    /// Received; paid is negative.
    pub(crate) funding: Option<Decimal>,
    pub(crate) fee: Decimal,
    pub(crate) fee_rate: Option<Decimal>,
    pub(crate) cash_flow: Decimal,
    /// Wallet balance after it.
    pub(crate) balance: Decimal,
    pub(crate) trade_id: String,
    pub(crate) order_id: String,
    pub(crate) link_id: String,
}

impl Row {
    /// What it did to the wallet: cash flow plus funding minus fee.
    pub(crate) fn change(&self) -> Decimal {
        self.cash_flow + self.funding.unwrap_or_default() - self.fee
    }

    fn show(&self, uid: u64) -> Value {
        let or_empty =
            |d: Option<Decimal>| d.map(|d| d.normalize().to_string()).unwrap_or_default();
        let subject = if self.symbol.is_empty() {
            "USDT"
        } else {
            self.symbol
        };
        json!({
            "id": format!("{uid}_{subject}_{}", self.seq), "symbol": self.symbol,
            "category": if self.symbol.is_empty() { "" } else { "linear" },
            "side": if self.side.is_empty() { "None" } else { self.side },
            "transactionTime": self.time_ms.to_string(), "type": self.kind, "transSubType": "",
            "qty": self.qty.normalize().to_string(), "size": self.size.normalize().to_string(), "currency": "USDT",
            "tradePrice": or_empty(self.price), "funding": or_empty(self.funding),
            "fee": self.fee.normalize().to_string(), "cashFlow": self.cash_flow.normalize().to_string(),
            "change": self.change().normalize().to_string(), "cashBalance": self.balance.normalize().to_string(),
            "feeRate": or_empty(self.fee_rate), "bonusChange": "", "tradeId": self.trade_id,
            "orderId": self.order_id, "orderLinkId": self.link_id, "extraFees": "",
        })
    }
}

/// One account's rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    rows: Vec<Row>,
}

impl Ledger {
    pub(crate) fn add(&mut self, row: Row) {
        if self.rows.len() == LIMIT {
            self.rows.remove(0);
        }
        self.rows.push(row);
    }

    /// Visible rows of the window and type, newest first.
    pub(crate) fn list(
        &self,
        uid: u64,
        now_ms: i64,
        window: (i64, i64),
        kind: Option<&str>,
    ) -> Vec<(Place, Value)> {
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|r| r.visible_ms <= now_ms && (window.0..=window.1).contains(&r.time_ms))
            .filter(|r| kind.is_none_or(|k| r.kind == k))
            .collect();
        rows.sort_by_key(|r| std::cmp::Reverse((r.time_ms, r.seq)));
        rows.into_iter()
            .map(|r| ((r.time_ms, r.seq), r.show(uid)))
            .collect()
    }
}
