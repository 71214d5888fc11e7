//! Booking a fill: what it does to position, fee, wallet, executions, ledger and closed profits, all from one place,
//! so that they agree to the last of eight decimals.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::account::ClosedPnl;
use super::instruments::{MAKER_FEE, TAKER_FEE};
use super::ledger::Row;
use super::order::{Execution, Order, Position, Side};
use super::state::State;

/// Decimals of every amount of money the exchange books.
pub(super) const MONEY_DP: u32 = 8;

/// One fill, before it is booked.
pub(super) struct Fill {
    pub(super) price: Decimal,
    pub(super) qty: Decimal,
    pub(super) is_maker: bool,
    /// `Trade` or `BustTrade`.
    pub(super) kind: &'static str,
}

impl Fill {
    fn fee_rate(&self) -> Decimal {
        if self.is_maker { MAKER_FEE } else { TAKER_FEE }
    }

    fn fee(&self) -> Decimal {
        (self.price * self.qty * self.fee_rate()).round_dp(MONEY_DP)
    }
}

/// What a fill closed; all zero when it only opened.
struct Closing {
    qty: Decimal,
    /// Average entry of what was closed.
    entry: Decimal,
    pnl: Decimal,
    /// The part of the opening fees that falls to it.
    open_fee: Decimal,
    close_fee: Decimal,
}

impl Closing {
    fn net(&self) -> Decimal {
        self.pnl - self.open_fee - self.close_fee
    }
}

impl State {
    /// Books a fill, tells the streams, then lets happen what follows from it.
    pub(super) fn book(&mut self, uid: u64, mut order: Order, fill: &Fill, now_ms: i64) {
        let (seq, exec_id) = (self.next_seq(), self.ids.uuid());
        let Ok(mark) = self.market(order.symbol).map(|m| m.mark) else {
            return;
        };
        let Ok(account) = self.account_mut(uid) else {
            return;
        };
        let fee = fill.fee();
        let mut position = account.position(order.symbol);
        let closing = apply(&mut position, order.side, fill, fee, now_ms);
        position.seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let size = position.size;
        account.positions.insert(order.symbol, position);
        account.wallet += closing.pnl - fee;
        account.realised_ever += closing.pnl - fee;
        order.filled += fill.qty;
        order.filled_value += fill.price * fill.qty;
        order.fee += fee;
        order.closed_pnl += closing.net();
        order.updated_ms = now_ms;

        let execution = execution(&order, fill, &closing, (seq, exec_id, mark, now_ms));
        let row = Row {
            size,
            balance: account.wallet,
            ..trade_row(&execution)
        };
        account.ledger.add(row);
        if !closing.qty.is_zero() {
            let leverage = account.leverage_of(order.symbol);
            account.keep_closed_pnl(ClosedPnl {
                seq,
                time_ms: now_ms,
                row: closed_pnl_row(&order, &execution, &closing, leverage),
            });
        }
        account.keep_execution(execution.clone());
        self.emit(uid, "execution", execution.row(), now_ms);
        let (symbol, stops) = (order.symbol, (order.take_profit, order.stop_loss));
        self.store(uid, order, now_ms);
        self.follow_up(uid, symbol, size, stops, now_ms);
        self.emit_wallet(uid, now_ms);
    }
}

fn execution(
    order: &Order,
    fill: &Fill,
    closing: &Closing,
    (seq, id, mark, time_ms): (u64, String, Decimal, i64),
) -> Execution {
    Execution {
        seq,
        id,
        order_id: order.id.clone(),
        link_id: order.link_id.clone(),
        symbol: order.symbol,
        side: order.side,
        kind: fill.kind,
        order_type: if order.is_market { "Market" } else { "Limit" },
        stop: order.stop,
        price: fill.price,
        qty: fill.qty,
        order_price: order.price,
        order_qty: order.qty,
        leaves: order.leaves(),
        closed: closing.qty,
        fee: fill.fee(),
        fee_rate: fill.fee_rate(),
        pnl: closing.pnl,
        is_maker: fill.is_maker,
        mark,
        time_ms,
    }
}

/// The ledger's row of an execution, but for what only the account knows.
fn trade_row(execution: &Execution) -> Row {
    Row {
        seq: execution.seq,
        time_ms: execution.time_ms,
        visible_ms: execution.time_ms,
        kind: "TRADE".to_owned(),
        symbol: execution.symbol,
        side: execution.side.as_str(),
        qty: execution.qty,
        price: Some(execution.price),
        fee: execution.fee,
        fee_rate: Some(execution.fee_rate),
        cash_flow: execution.pnl,
        trade_id: execution.id.clone(),
        order_id: execution.order_id.clone(),
        link_id: execution.link_id.clone(),
        ..Row::default()
    }
}

/// The row of `/v5/position/closed-pnl`.
fn closed_pnl_row(
    order: &Order,
    execution: &Execution,
    closing: &Closing,
    leverage: Decimal,
) -> Value {
    let plain = |d: Decimal| d.round_dp(MONEY_DP).normalize().to_string();
    let time_ms = execution.time_ms.to_string();
    json!({
        "symbol": order.symbol, "orderType": execution.order_type, "leverage": plain(leverage), "updatedTime": time_ms,
        "side": order.side.as_str(), "orderId": order.id, "closedPnl": plain(closing.net()),
        "avgEntryPrice": plain(closing.entry), "qty": plain(order.qty),
        "cumEntryValue": plain(closing.entry * closing.qty), "createdTime": time_ms, "orderPrice": plain(order.price),
        "closedSize": plain(closing.qty), "avgExitPrice": plain(execution.price), "execType": execution.kind,
        "fillCount": "1", "cumExitValue": plain(execution.price * closing.qty), "openFee": plain(closing.open_fee),
        "closeFee": plain(closing.close_fee),
    })
}

/// Changes a position by a fill.
fn apply(position: &mut Position, side: Side, fill: &Fill, fee: Decimal, now_ms: i64) -> Closing {
    let before = position.size;
    let closed = position.closable(side).min(fill.qty);
    let opened = fill.qty - closed;
    let entry = position.entry;
    let pnl = (Side::of(before).signed(closed) * (fill.price - entry)).round_dp(MONEY_DP);
    let share = closed.checked_div(before.abs()).unwrap_or_default();
    let open_fee = (position.open_fee * share).round_dp(MONEY_DP);
    position.open_fee -= open_fee;
    position.size += side.signed(fill.qty);
    if !opened.is_zero() {
        let held = position.size.abs() - opened;
        let cost = held * position.entry + opened * fill.price;
        position.entry = cost
            .checked_div(position.size.abs())
            .unwrap_or_default()
            .round_dp(MONEY_DP);
        position.open_fee += fee.checked_div(fill.qty).unwrap_or_default() * opened;
    }
    if before.is_zero() || (Side::of(before) != Side::of(position.size) && !position.size.is_zero())
    {
        position.opened_ms = now_ms;
        position.realised = Decimal::ZERO;
    }
    if position.size.is_zero() {
        *position = Position {
            realised_ever: position.realised_ever,
            created_ms: position.created_ms,
            ..Position::default()
        };
    }
    if position.created_ms == 0 {
        position.created_ms = now_ms;
    }
    position.realised += pnl - fee;
    position.realised_ever += pnl - fee;
    position.updated_ms = now_ms;
    let close_fee = (fee * closed)
        .checked_div(fill.qty)
        .unwrap_or_default()
        .round_dp(MONEY_DP);
    Closing {
        qty: closed,
        entry,
        pnl,
        open_fee,
        close_fee,
    }
}
