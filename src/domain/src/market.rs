//! Positions, orders and executions as every component sees them.

use crate::account::name;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

name! {
    /// An instrument by the venue's name, `BTCUSDT`.
    Symbol
}

/// Which way an order or a position goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Buys; a position of this side is long.
    Buy,
    /// Sells; a position of this side is short.
    Sell,
}

impl Side {
    /// `long` or `short`: how a position of this side is called.
    pub fn position_word(self) -> &'static str {
        match self {
            Self::Buy => "long",
            Self::Sell => "short",
        }
    }

    /// `buy` or `sell`: how an order of this side is called.
    pub fn order_word(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Plus or minus one: the sign of a position's size.
    pub fn sign(self) -> Decimal {
        match self {
            Self::Buy => Decimal::ONE,
            Self::Sell => Decimal::NEGATIVE_ONE,
        }
    }
}

/// An open position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The instrument.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// Size in the base coin, never negative.
    pub size: Decimal,
    /// Average entry price.
    pub entry_price: Decimal,
    /// Mark price, by which the exchange values the position.
    pub mark_price: Option<Decimal>,
    /// Liquidation price; `None` means that the exchange names none, which is not "safe".
    pub liquidation_price: Option<Decimal>,
    /// Leverage.
    pub leverage: Option<Decimal>,
    /// Unrealised result in USDT, as the exchange says.
    pub unrealised_usdt: Option<Decimal>,
    /// Price of the stop attached to the position or of a covering stop order; `None` is no stop.
    pub stop_price: Option<Decimal>,
    /// When it was opened, exchange time in milliseconds, where known.
    pub opened_ms: Option<i64>,
    /// When it last changed, exchange time in milliseconds.
    pub updated_ms: i64,
    /// The exchange's sequence number of the last change; orders updates of one symbol.
    pub seq: i64,
}

impl Position {
    /// The result at `mark`: size × (mark − entry), signed by the side. `None` on overflow.
    pub fn unrealised_at(&self, mark: Decimal) -> Option<Decimal> {
        mark.checked_sub(self.entry_price)?
            .checked_mul(self.size)?
            .checked_mul(self.side.sign())
    }
}

/// What kind of order it is, as far as a kill must tell them apart (K3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Resting in the book and able to open a position.
    Entry,
    /// Resting in the book, reduce-only.
    Exit,
    /// Conditional, reduce-only or close-on-trigger: a protective stop or a take-profit. Kept.
    ProtectiveStop,
    /// Conditional and able to open a position: survives a plain cancel-all, cancelled by id.
    ConditionalEntry,
}

/// How long an order stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeInForce {
    /// Good till cancelled.
    #[serde(rename = "GTC")]
    Gtc,
    /// Immediate or cancel.
    #[serde(rename = "IOC")]
    Ioc,
    /// Fill or kill.
    #[serde(rename = "FOK")]
    Fok,
    /// Maker only.
    PostOnly,
    /// Retail price improvement.
    #[serde(rename = "RPI")]
    Rpi,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Resting, conditional or partly filled: it can still trade.
    Open,
    /// Done completely.
    Filled,
    /// Cancelled, rejected or deactivated.
    Gone,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The exchange's id.
    pub order_id: String,
    /// The client's id, where one was given (freqtrade gives none).
    pub link_id: Option<String>,
    /// The instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// What it may do to a position.
    pub kind: OrderKind,
    /// How long it stays.
    pub time_in_force: Option<TimeInForce>,
    /// Size in the base coin.
    pub qty: Decimal,
    /// Limit price; `None` for a market order.
    pub price: Option<Decimal>,
    /// Trigger price of a conditional order.
    pub trigger_price: Option<Decimal>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Creation, exchange time in milliseconds.
    pub created_ms: i64,
    /// Last change, exchange time in milliseconds.
    pub updated_ms: i64,
}

/// One execution: a fill, a funding payment, a liquidation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The exchange's id; unique.
    pub exec_id: String,
    /// The order behind it.
    pub order_id: String,
    /// The client's id of that order, where one was given.
    pub link_id: Option<String>,
    /// The instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// The exchange's type word: `Trade`, `Funding`, `BustTrade` …
    pub exec_type: String,
    /// Size in the base coin.
    pub qty: Decimal,
    /// Price.
    pub price: Decimal,
    /// Fee in USDT; positive is paid.
    pub fee_usdt: Decimal,
    /// Whether it was the maker's side.
    pub maker: bool,
    /// Exchange time in milliseconds.
    pub time_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_position_gains_when_the_mark_falls() {
        let position = Position {
            symbol: "BTCUSDT".into(),
            side: Side::Sell,
            size: Decimal::new(5, 1),
            entry_price: Decimal::from(100),
            mark_price: None,
            liquidation_price: None,
            leverage: None,
            unrealised_usdt: None,
            stop_price: None,
            opened_ms: None,
            updated_ms: 0,
            seq: 0,
        };
        assert_eq!(
            position.unrealised_at(Decimal::from(90)),
            Some(Decimal::from(5))
        );
        assert_eq!(
            position.unrealised_at(Decimal::from(110)),
            Some(Decimal::from(-5))
        );
    }
}
