//! Orders, positions and executions as values, and how the exchange writes them.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::market::Market;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "Buy" => Some(Self::Buy),
            "Sell" => Some(Self::Sell),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "Buy",
            Self::Sell => "Sell",
        }
    }

    /// A quantity with this side's sign.
    pub(crate) fn signed(self, qty: Decimal) -> Decimal {
        match self {
            Self::Buy => qty,
            Self::Sell => -qty,
        }
    }

    /// The side that a signed position is on.
    pub(crate) fn of(size: Decimal) -> Self {
        if size.is_sign_negative() {
            Self::Sell
        } else {
            Self::Buy
        }
    }

    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// How long an order lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeInForce {
    Gtc,
    Ioc,
    Fok,
    PostOnly,
}

impl TimeInForce {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "GTC" => Some(Self::Gtc),
            "IOC" => Some(Self::Ioc),
            "FOK" => Some(Self::Fok),
            "PostOnly" => Some(Self::PostOnly),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::PostOnly => "PostOnly",
        }
    }
}

/// Which kind of conditional order, if any. It stays set after triggering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopKind {
    /// Not conditional.
    None,
    /// A user's conditional order.
    Stop,
    StopLoss,
    TakeProfit,
    PartialStopLoss,
    PartialTakeProfit,
}

impl StopKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Stop => "Stop",
            Self::StopLoss => "StopLoss",
            Self::TakeProfit => "TakeProfit",
            Self::PartialStopLoss => "PartialStopLoss",
            Self::PartialTakeProfit => "PartialTakeProfit",
        }
    }

    /// Belongs to a position and goes with it.
    pub(crate) fn is_tpsl(self) -> bool {
        !matches!(self, Self::None | Self::Stop)
    }

    /// Covers the whole position, whatever its size.
    pub(crate) fn is_full(self) -> bool {
        matches!(self, Self::StopLoss | Self::TakeProfit)
    }

    fn create_type(self) -> &'static str {
        match self {
            Self::None | Self::Stop => "CreateByUser",
            Self::StopLoss => "CreateByStopLoss",
            Self::TakeProfit => "CreateByTakeProfit",
            Self::PartialStopLoss => "CreateByPartialStopLoss",
            Self::PartialTakeProfit => "CreateByPartialTakeProfit",
        }
    }
}

/// Price at which a conditional order becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) price: Decimal,
    /// Fires when the mark rises to it (direction 1); else when it falls to it (2).
    pub(crate) rising: bool,
}

impl Trigger {
    pub(crate) fn reached(self, mark: Decimal) -> bool {
        if self.rising {
            mark >= self.price
        } else {
            mark <= self.price
        }
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    New,
    Untriggered,
    Filled,
    Cancelled,
    /// A conditional order cancelled before it triggered.
    Deactivated,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Untriggered => "Untriggered",
            Self::Filled => "Filled",
            Self::Cancelled => "Cancelled",
            Self::Deactivated => "Deactivated",
        }
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::New | Self::Untriggered)
    }
}

/// One order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Place in time; orders are listed by it.
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) link_id: String,
    pub(crate) symbol: &'static str,
    pub(crate) side: Side,
    pub(crate) is_market: bool,
    pub(crate) price: Decimal,
    pub(crate) qty: Decimal,
    pub(crate) tif: TimeInForce,
    pub(crate) reduce_only: bool,
    pub(crate) close_on_trigger: bool,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) stop: StopKind,
    pub(crate) status: Status,
    pub(crate) cancel_type: &'static str,
    pub(crate) reject_reason: &'static str,
    pub(crate) filled: Decimal,
    pub(crate) filled_value: Decimal,
    pub(crate) fee: Decimal,
    pub(crate) closed_pnl: Decimal,
    pub(crate) take_profit: Option<Decimal>,
    pub(crate) stop_loss: Option<Decimal>,
    pub(crate) mark_on_created: Decimal,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    /// Name of the key that placed it; empty for the exchange's own.
    pub(crate) placed_by: String,
}

impl Order {
    /// A market order for nothing, to be completed with struct update.
    pub(crate) fn blank(market: &Market, side: Side) -> Self {
        Self {
            seq: 0,
            id: String::new(),
            link_id: String::new(),
            symbol: market.instrument.symbol,
            side,
            is_market: true,
            price: Decimal::ZERO,
            qty: Decimal::ZERO,
            tif: TimeInForce::Ioc,
            reduce_only: false,
            close_on_trigger: false,
            trigger: None,
            stop: StopKind::None,
            status: Status::New,
            cancel_type: "UNKNOWN",
            reject_reason: "EC_NoError",
            filled: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            fee: Decimal::ZERO,
            closed_pnl: Decimal::ZERO,
            take_profit: None,
            stop_loss: None,
            mark_on_created: market.mark,
            created_ms: 0,
            updated_ms: 0,
            placed_by: String::new(),
        }
    }

    pub(crate) fn leaves(&self) -> Decimal {
        self.qty - self.filled
    }

    /// On the book (or waiting for its trigger with a conditional order's name): counts as conditional while it waits.
    pub(crate) fn is_conditional(&self) -> bool {
        self.status == Status::Untriggered
    }

    pub(crate) fn average(&self) -> Decimal {
        self.filled_value
            .checked_div(self.filled)
            .unwrap_or_default()
    }

    /// Row of `/v5/order/realtime` and of the topic `order`.
    pub(crate) fn row(&self, market: &Market) -> Value {
        let price = |p: Decimal| {
            if p.is_zero() {
                "0".to_owned()
            } else {
                market.instrument.price_text(p)
            }
        };
        let or_empty = |p: Option<Decimal>| p.map(price).unwrap_or_default();
        let plain = |d: Decimal| d.normalize().to_string();
        let open = self.status.is_open();
        let leaves = if open { self.leaves() } else { Decimal::ZERO };
        let average = if self.filled.is_zero() {
            String::new()
        } else {
            plain(self.average().round_dp(8))
        };
        let (trigger_price, direction) = match self.trigger {
            Some(t) => (price(t.price), if t.rising { 1 } else { 2 }),
            None => (String::new(), 0),
        };
        json!({
            "category": "linear", "symbol": self.symbol, "orderId": self.id, "orderLinkId": self.link_id,
            "parentOrderLinkId": "", "blockTradeId": "", "side": self.side.as_str(),
            "orderType": if self.is_market { "Market" } else { "Limit" }, "price": price(self.price),
            "qty": plain(self.qty), "isLeverage": "", "positionIdx": 0, "orderStatus": self.status.as_str(),
            "createType": self.stop.create_type(), "cancelType": self.cancel_type, "rejectReason": self.reject_reason,
            "avgPrice": average, "leavesQty": plain(leaves), "leavesValue": plain(leaves * self.price),
            "cumExecQty": plain(self.filled), "cumExecValue": plain(self.filled_value),
            "cumExecFee": plain(self.fee), "closedPnl": plain(self.closed_pnl), "timeInForce": self.tif.as_str(),
            "stopOrderType": self.stop.as_str(), "orderIv": "", "triggerPrice": trigger_price,
            "triggerDirection": direction, "triggerBy": if self.trigger.is_some() { "MarkPrice" } else { "" },
            "takeProfit": or_empty(self.take_profit), "stopLoss": or_empty(self.stop_loss), "tpTriggerBy": "",
            "slTriggerBy": "", "tpslMode": if self.stop.is_full() { "Full" } else { "" }, "tpLimitPrice": "",
            "slLimitPrice": "", "lastPriceOnCreated": price(self.mark_on_created), "reduceOnly": self.reduce_only,
            "closeOnTrigger": self.close_on_trigger, "placeType": "", "smpType": "None", "smpGroup": 0,
            "smpOrderId": "", "createdTime": self.created_ms.to_string(), "updatedTime": self.updated_ms.to_string(),
            "cumFeeDetail": {"USDT": plain(self.fee)},
        })
    }
}

/// A position in one-way mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    /// Signed: negative is short.
    pub(crate) size: Decimal,
    pub(crate) entry: Decimal,
    /// Fees of opening what is open now.
    pub(crate) open_fee: Decimal,
    pub(crate) realised: Decimal,
    pub(crate) realised_ever: Decimal,
    pub(crate) seq: i64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) opened_ms: i64,
}

impl Position {
    /// Profit at a mark, USDT.
    pub(crate) fn unrealised(&self, mark: Decimal) -> Decimal {
        self.size * (mark - self.entry)
    }

    /// What an order of this side could close.
    pub(crate) fn closable(&self, side: Side) -> Decimal {
        if self.size.is_zero() || Side::of(self.size) == side {
            Decimal::ZERO
        } else {
            self.size.abs()
        }
    }
}

/// One execution.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) order_id: String,
    pub(crate) link_id: String,
    pub(crate) symbol: &'static str,
    pub(crate) side: Side,
    /// `Trade`, `Funding` or `BustTrade`.
    pub(crate) kind: &'static str,
    pub(crate) order_type: &'static str,
    pub(crate) stop: StopKind,
    pub(crate) price: Decimal,
    pub(crate) qty: Decimal,
    pub(crate) order_price: Decimal,
    pub(crate) order_qty: Decimal,
    pub(crate) leaves: Decimal,
    pub(crate) closed: Decimal,
    /// Paid; negative is received.
    pub(crate) fee: Decimal,
    pub(crate) fee_rate: Decimal,
    pub(crate) pnl: Decimal,
    pub(crate) is_maker: bool,
    pub(crate) mark: Decimal,
    pub(crate) time_ms: i64,
}

impl Execution {
    /// Row of `/v5/execution/list` and of the topic `execution`.
    pub(crate) fn row(&self) -> Value {
        let plain = |d: Decimal| d.normalize().to_string();
        json!({
            "category": "linear", "symbol": self.symbol, "orderId": self.order_id, "orderLinkId": self.link_id,
            "side": self.side.as_str(), "orderPrice": plain(self.order_price), "orderQty": plain(self.order_qty),
            "leavesQty": plain(self.leaves), "createType": self.stop.create_type(), "orderType": self.order_type,
            "stopOrderType": if self.stop == StopKind::None { "UNKNOWN" } else { self.stop.as_str() },
            "execFee": plain(self.fee), "execId": self.id, "execPrice": plain(self.price), "execQty": plain(self.qty),
            "execType": self.kind, "execValue": plain(self.price * self.qty), "execTime": self.time_ms.to_string(),
            "feeCurrency": "", "isMaker": self.is_maker, "feeRate": plain(self.fee_rate), "tradeIv": "", "markIv": "",
            "markPrice": plain(self.mark), "indexPrice": plain(self.mark), "underlyingPrice": "", "blockTradeId": "",
            "closedSize": plain(self.closed), "extraFees": "", "seq": self.seq, "execPnl": plain(self.pnl),
            "isLeverage": "0", "marketUnit": "",
        })
    }
}
