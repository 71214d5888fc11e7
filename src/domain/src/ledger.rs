//! The exchange's own ledger, from which alone capital flows are known (study T15).

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// How a ledger row counts (reference `bybit-v5.md`, "Ledger"; rule L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// Capital in or out: neither profit nor loss.
    Flow,
    /// The result of trading: fills, fees, funding, liquidation.
    Result,
    /// One coin into another: equity does not change.
    Conversion,
    /// A type that this program does not know: a credit counts as flow, a debit as loss, and
    /// either is reported.
    Unknown,
}

/// One row of the account's transaction log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// A key made of everything that tells two rows apart; the exchange's own id repeats.
    pub id: String,
    /// Exchange time in milliseconds.
    pub time_ms: i64,
    /// The exchange's type word, `TRANSFER_IN`.
    pub type_name: String,
    /// What the type means here.
    pub kind: LedgerKind,
    /// The coin.
    pub currency: String,
    /// Change of the balance, in `currency`.
    pub change: Decimal,
    /// Balance after the row, in `currency`.
    pub cash_balance: Decimal,
    /// The symbol traded, where there is one.
    pub symbol: Option<String>,
    /// The order behind the row, where there is one.
    pub order_id: Option<String>,
    /// The execution behind the row, where there is one.
    pub trade_id: Option<String>,
}

/// The account's wallet as one answer of the exchange shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// The answer's own time, exchange clock, milliseconds.
    pub time_ms: i64,
    /// Equity: wallet balance plus unrealised result, USD.
    pub total_equity_usdt: Decimal,
    /// Balance without the unrealised result, USD.
    pub wallet_balance_usdt: Decimal,
    /// Unrealised result of perpetual positions, USD.
    pub unrealised_usdt: Decimal,
    /// Maintenance margin in use, USD, where the account mode has one.
    pub maintenance_margin_usdt: Option<Decimal>,
}
