//! The matching engine: accepted orders take effect, marks move, triggers fire, resting orders fill, funding is paid.
//!
//! Weak: a market order always fills whole at the best price plus a small slip; resting orders fill whole when the
//! mark reaches them. `Assumption`s: conditional orders whose position is gone are cancelled when they fire, and
//! market orders trigger and fill by the mark, whatever `triggerBy` says.

use rust_decimal::Decimal;
use serde_json::json;

use super::account::ClosedPnl;
use super::instruments::{FUNDING_RATE, MAINTENANCE, MAKER_FEE, TAKER_FEE};
use super::ledger::Row;
use super::market::next_funding_ms;
use super::order::{Execution, Order, Position, Side, Status, StopKind, TimeInForce, Trigger};
use super::state::{Amend, Intent, State};

/// One fill, before it is booked.
struct Fill {
    price: Decimal,
    qty: Decimal,
    is_maker: bool,
    /// `Trade` or `BustTrade`.
    kind: &'static str,
}

impl State {
    /// Lets everything happen that is due. Call it often; it is cheap when nothing is.
    pub(crate) fn step(&mut self, now_ms: i64) {
        let (due, later) = std::mem::take(&mut self.intents)
            .into_iter()
            .partition(|(at, _)| *at <= now_ms);
        self.intents = later;
        let mut due: Vec<(i64, Intent)> = due;
        due.sort_by_key(|(at, _)| *at);
        for (_, intent) in due {
            match intent {
                Intent::Place { uid, order } => self.enter(uid, *order, now_ms),
                Intent::Cancel { uid, order_id } => {
                    self.cancel(uid, &order_id, "CancelByUser", now_ms)
                }
                Intent::Amend {
                    uid,
                    order_id,
                    change,
                } => self.amend(uid, &order_id, &change, now_ms),
                Intent::Balance { uid, change } => {
                    // The account was there when the transfer was accepted.
                    let _ = self.change_balance(uid, change, now_ms);
                }
            }
        }
        if now_ms >= next_funding_ms(self.funded_ms) {
            self.funded_ms = now_ms;
            self.pay_funding(now_ms);
        }
        self.liquidate(now_ms);
    }

    /// The next mark of one contract: fires triggers and fills what it reaches.
    pub(crate) fn set_mark(&mut self, symbol: &str, mark: Decimal, now_ms: i64) {
        let Some(market) = self.markets.get_mut(symbol) else {
            return;
        };
        market.tick(mark, now_ms);
        let mark = market.mark;
        let reached: Vec<(u64, String)> = self
            .accounts
            .iter()
            .flat_map(|a| a.orders.iter().map(move |o| (a.uid, o)))
            .filter(|(_, o)| o.symbol == symbol && is_reached(o, mark))
            .map(|(uid, o)| (uid, o.id.clone()))
            .collect();
        for (uid, id) in reached {
            // An earlier one of them may have cancelled this one.
            if let Some(mut order) = self.take(uid, &id) {
                if order.is_conditional() {
                    order.status = Status::New;
                    self.enter(uid, order, now_ms);
                } else {
                    self.work(uid, order, true, now_ms);
                }
            }
        }
    }

    /// An order takes effect: it waits for its trigger, or goes to work.
    fn enter(&mut self, uid: u64, order: Order, now_ms: i64) {
        if order.is_conditional() {
            self.store(uid, order, now_ms);
        } else {
            self.work(uid, order, false, now_ms);
        }
    }

    /// An active order fills, rests or ends. `resting` orders are makers and fill at their own price.
    fn work(&mut self, uid: u64, mut order: Order, resting: bool, now_ms: i64) {
        let Ok(market) = self.market(order.symbol) else {
            return;
        };
        let (bid, ask) = (market.bid(), market.ask());
        if order.reduce_only || order.close_on_trigger {
            let closable = self
                .account(uid)
                .map(|a| a.position(order.symbol).closable(order.side))
                .unwrap_or_default();
            if closable.is_zero() {
                return self.end(uid, order, "CancelByReduceOnly", "EC_NoError", now_ms);
            }
            if order.stop.is_full() || order.qty.is_zero() || order.leaves() > closable {
                order.qty = order.filled + closable;
            }
        }
        let best = if order.side == Side::Buy { ask } else { bid };
        let crosses = match order.side {
            _ if order.is_market => true,
            Side::Buy => order.price >= best,
            Side::Sell => order.price <= best,
        };
        let price = match (resting, order.is_market) {
            (true, _) => order.price,
            (_, true) => self.slipped(order.symbol, order.side, best),
            _ => best,
        };
        if resting || (crosses && order.tif != TimeInForce::PostOnly) {
            let fill = Fill {
                price,
                qty: order.leaves(),
                is_maker: resting,
                kind: "Trade",
            };
            order.status = Status::Filled;
            return self.book(uid, order, &fill, now_ms);
        }
        match order.tif {
            TimeInForce::PostOnly if crosses => {
                self.end(
                    uid,
                    order,
                    "CancelByUser",
                    "EC_PostOnlyWillTakeLiquidity",
                    now_ms,
                );
            }
            TimeInForce::Ioc | TimeInForce::Fok => {
                self.end(uid, order, "UNKNOWN", "EC_NoImmediateQtyToFill", now_ms);
            }
            TimeInForce::Gtc | TimeInForce::PostOnly => self.store(uid, order, now_ms),
        }
    }

    /// The price a market order gets: the best one and 1 to 3 hundredths of a per cent worse.
    fn slipped(&mut self, symbol: &str, side: Side, best: Decimal) -> Decimal {
        let slip = best * Decimal::new(100 + self.rng.below(200) as i64, 6);
        let price = best + side.signed(slip);
        self.markets
            .get(symbol)
            .map_or(price, |m| m.instrument.round_price(price))
    }

    /// Books a fill: position, fee, wallet, execution, ledger, events; then what follows from it.
    fn book(&mut self, uid: u64, mut order: Order, fill: &Fill, now_ms: i64) {
        let (seq, exec_id) = (self.next_seq(), self.ids.uuid());
        let Ok(market) = self.market(order.symbol) else {
            return;
        };
        let mark = market.mark;
        let value = fill.price * fill.qty;
        let fee_rate = if fill.is_maker { MAKER_FEE } else { TAKER_FEE };
        let fee = value * fee_rate;
        let Ok(account) = self.account_mut(uid) else {
            return;
        };
        let mut position = account.position(order.symbol);
        let entry = position.entry;
        let (closed, pnl, closed_open_fee) = apply(&mut position, order.side, fill, fee, now_ms);
        position.seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let size = position.size;
        let leverage = account.leverage_of(order.symbol);
        account.positions.insert(order.symbol, position);
        account.wallet += pnl - fee;
        let close_fee = if fill.qty.is_zero() {
            Decimal::ZERO
        } else {
            fee * closed / fill.qty
        };
        account.realised_ever += pnl - fee;
        order.filled += fill.qty;
        order.filled_value += value;
        order.fee += fee;
        order.updated_ms = now_ms;
        let net = pnl - close_fee - closed_open_fee;
        order.closed_pnl += net;
        let execution = Execution {
            seq,
            id: exec_id.clone(),
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
            closed,
            fee,
            fee_rate,
            pnl,
            is_maker: fill.is_maker,
            mark,
            time_ms: now_ms,
        };
        account.ledger.add(Row {
            seq,
            time_ms: now_ms,
            visible_ms: now_ms,
            kind: "TRADE".to_owned(),
            symbol: order.symbol,
            side: order.side.as_str(),
            qty: fill.qty,
            size,
            price: Some(fill.price),
            fee,
            fee_rate: Some(fee_rate),
            cash_flow: pnl,
            balance: account.wallet,
            trade_id: exec_id,
            order_id: order.id.clone(),
            link_id: order.link_id.clone(),
            ..Row::default()
        });
        if !closed.is_zero() {
            let plain = |d: Decimal| d.round_dp(8).normalize().to_string();
            let row = json!({
                "symbol": order.symbol, "orderType": execution.order_type, "leverage": plain(leverage),
                "updatedTime": now_ms.to_string(), "side": order.side.as_str(), "orderId": order.id,
                "closedPnl": plain(net), "avgEntryPrice": plain(entry), "qty": plain(order.qty),
                "cumEntryValue": plain(entry * closed), "createdTime": now_ms.to_string(),
                "orderPrice": plain(order.price), "closedSize": plain(closed), "avgExitPrice": plain(fill.price),
                "execType": fill.kind, "fillCount": "1", "cumExitValue": plain(fill.price * closed),
                "openFee": plain(closed_open_fee), "closeFee": plain(close_fee),
            });
            account.keep_closed_pnl(ClosedPnl {
                seq,
                time_ms: now_ms,
                row,
            });
        }
        account.keep_execution(execution.clone());
        self.emit(uid, "execution", execution.row(), now_ms);
        let (symbol, stops) = (order.symbol, (order.take_profit, order.stop_loss));
        self.store(uid, order, now_ms);
        self.follow_up(uid, symbol, size, stops, now_ms);
        self.emit_wallet(uid, now_ms);
    }

    /// After a fill: stops that came with the order are set, those of a closed position go.
    fn follow_up(
        &mut self,
        uid: u64,
        symbol: &'static str,
        size: Decimal,
        (take_profit, stop_loss): (Option<Decimal>, Option<Decimal>),
        now_ms: i64,
    ) {
        if !size.is_zero() {
            for (stop, price) in [
                (StopKind::TakeProfit, take_profit),
                (StopKind::StopLoss, stop_loss),
            ] {
                if let Some(price) = price {
                    self.set_position_stop(uid, symbol, stop, Some(price), None, now_ms);
                }
            }
        }
        let Ok(account) = self.account(uid) else {
            return;
        };
        let gone = |o: &&Order| {
            let of_other_side = o.stop.is_tpsl() && (size.is_zero() || Side::of(size) == o.side);
            let nothing_to_reduce = o.reduce_only
                && !o.is_conditional()
                && (size.is_zero() || Side::of(size) == o.side);
            o.symbol == symbol && (of_other_side || nothing_to_reduce)
        };
        let gone: Vec<(String, bool)> = account
            .orders
            .iter()
            .filter(gone)
            .map(|o| (o.id.clone(), o.stop.is_tpsl()))
            .collect();
        for (id, is_stop) in gone {
            let why = if is_stop {
                "CancelByTpSlTsClear"
            } else {
                "CancelByReduceOnly"
            };
            self.cancel(uid, &id, why, now_ms);
        }
    }

    /// Sets, moves or (with no price) removes a stop of a position. A quantity makes it a partial one.
    pub(crate) fn set_position_stop(
        &mut self,
        uid: u64,
        symbol: &'static str,
        stop: StopKind,
        price: Option<Decimal>,
        qty: Option<Decimal>,
        now_ms: i64,
    ) {
        let Ok(account) = self.account(uid) else {
            return;
        };
        let size = account.position(symbol).size;
        let old = account
            .orders
            .iter()
            .find(|o| o.symbol == symbol && o.stop == stop && stop.is_full());
        if let Some(id) = old.map(|o| o.id.clone()) {
            self.cancel(uid, &id, "CancelByTpSlTsClear", now_ms);
        }
        let (Some(price), Ok(market)) = (price, self.market(symbol)) else {
            return;
        };
        let side = Side::of(size).opposite();
        let is_loss = matches!(stop, StopKind::StopLoss | StopKind::PartialStopLoss);
        let mut order = Order {
            qty: qty.unwrap_or(size.abs()),
            reduce_only: true,
            close_on_trigger: true,
            // A long's loss and a short's profit lie below.
            trigger: Some(Trigger {
                price,
                rising: (side == Side::Buy) == is_loss,
            }),
            stop,
            status: Status::Untriggered,
            ..Order::blank(market, side)
        };
        self.stamp(&mut order, now_ms);
        self.store(uid, order, now_ms);
    }

    /// Cancels an open order; one that is gone already is left alone.
    pub(crate) fn cancel(&mut self, uid: u64, order_id: &str, why: &'static str, now_ms: i64) {
        if let Some(order) = self.take(uid, order_id) {
            self.end(uid, order, why, "EC_PerCancelRequest", now_ms);
        }
    }

    fn amend(&mut self, uid: u64, order_id: &str, change: &Amend, now_ms: i64) {
        let Some(mut order) = self.take(uid, order_id) else {
            return;
        };
        order.price = change.price.unwrap_or(order.price);
        order.qty = change.qty.unwrap_or(order.qty).max(order.filled);
        if let (Some(trigger), Some(price)) = (&mut order.trigger, change.trigger) {
            trigger.price = price;
        }
        order.updated_ms = now_ms;
        self.enter(uid, order, now_ms);
    }

    /// Ends an order without a further fill.
    fn end(
        &mut self,
        uid: u64,
        mut order: Order,
        why: &'static str,
        reason: &'static str,
        now_ms: i64,
    ) {
        order.status = if order.is_conditional() {
            Status::Deactivated
        } else {
            Status::Cancelled
        };
        order.cancel_type = why;
        order.reject_reason = reason;
        order.updated_ms = now_ms;
        self.store(uid, order, now_ms);
    }

    /// Takes an open order out of the book.
    fn take(&mut self, uid: u64, order_id: &str) -> Option<Order> {
        let account = self.account_mut(uid).ok()?;
        let at = account.orders.iter().position(|o| o.id == order_id)?;
        Some(account.orders.remove(at))
    }

    /// Puts an order where its status says, and tells the streams: an order and a position message each time.
    fn store(&mut self, uid: u64, order: Order, now_ms: i64) {
        let Ok(row) = self.market(order.symbol).map(|m| order.row(m)) else {
            return;
        };
        let symbol = order.symbol;
        if let Ok(account) = self.account_mut(uid) {
            if order.status.is_open() {
                let at = account.orders.partition_point(|o| o.seq < order.seq);
                account.orders.insert(at, order);
            } else {
                account.keep_closed(order);
            }
        }
        self.emit(uid, "order", row, now_ms);
        self.emit_position(uid, symbol, now_ms);
    }

    /// Longs pay shorts.
    fn pay_funding(&mut self, now_ms: i64) {
        let open: Vec<(u64, &'static str, Position)> = self
            .accounts
            .iter()
            .flat_map(|a| a.positions.iter().map(move |(s, p)| (a.uid, *s, p.clone())))
            .filter(|(_, _, p)| !p.size.is_zero())
            .collect();
        for (uid, symbol, position) in open {
            let (seq, exec_id) = (self.next_seq(), self.ids.uuid());
            let Ok(mark) = self.market(symbol).map(|m| m.mark) else {
                continue;
            };
            let paid = position.size * mark * FUNDING_RATE;
            let Ok(account) = self.account_mut(uid) else {
                continue;
            };
            account.wallet -= paid;
            account.realised_ever -= paid;
            let side = Side::of(position.size);
            account.ledger.add(Row {
                seq,
                time_ms: now_ms,
                visible_ms: now_ms,
                kind: "SETTLEMENT".to_owned(),
                symbol,
                side: side.as_str(),
                qty: position.size.abs(),
                size: position.size,
                price: Some(mark),
                funding: Some(-paid),
                fee_rate: Some(FUNDING_RATE),
                balance: account.wallet,
                trade_id: exec_id.clone(),
                ..Row::default()
            });
            let execution = Execution {
                seq,
                id: exec_id,
                order_id: String::new(),
                link_id: String::new(),
                symbol,
                side: side.opposite(),
                kind: "Funding",
                order_type: "UNKNOWN",
                stop: StopKind::None,
                price: mark,
                qty: position.size.abs(),
                order_price: Decimal::ZERO,
                order_qty: Decimal::ZERO,
                leaves: Decimal::ZERO,
                closed: Decimal::ZERO,
                fee: paid,
                fee_rate: FUNDING_RATE,
                pnl: Decimal::ZERO,
                is_maker: false,
                mark,
                time_ms: now_ms,
            };
            account.keep_execution(execution.clone());
            self.emit(uid, "execution", execution.row(), now_ms);
            self.emit_wallet(uid, now_ms);
        }
    }

    /// Takes over the positions of an account whose equity no longer covers the maintenance margin.
    fn liquidate(&mut self, now_ms: i64) {
        let broke = self.accounts.iter().filter(|a| {
            let gross = a.gross(&self.markets);
            !gross.is_zero() && a.equity(&self.markets) < gross * MAINTENANCE
        });
        let open: Vec<(u64, &'static str, Position)> = broke
            .flat_map(|a| a.positions.iter().map(move |(s, p)| (a.uid, *s, p.clone())))
            .filter(|(_, _, p)| !p.size.is_zero())
            .collect();
        for (uid, symbol, position) in open {
            let Ok(mark) = self.market(symbol).map(|m| m.mark) else {
                continue;
            };
            self.set_position_stop(uid, symbol, StopKind::StopLoss, Some(mark), None, now_ms);
            let taken = self.account(uid).ok().and_then(|a| {
                let stop = a
                    .orders
                    .iter()
                    .find(|o| o.symbol == symbol && o.stop == StopKind::StopLoss);
                stop.map(|o| o.id.clone())
            });
            let Some(mut order) = taken.and_then(|id| self.take(uid, &id)) else {
                continue;
            };
            order.status = Status::Filled;
            let fill = Fill {
                price: mark,
                qty: position.size.abs(),
                is_maker: false,
                kind: "BustTrade",
            };
            self.book(uid, order, &fill, now_ms);
        }
    }
}

/// Whether a mark fires or fills a resting order.
fn is_reached(order: &Order, mark: Decimal) -> bool {
    match (order.is_conditional(), order.trigger, order.side) {
        (true, Some(trigger), _) => trigger.reached(mark),
        (true, None, _) => false,
        (false, _, Side::Buy) => mark <= order.price,
        (false, _, Side::Sell) => mark >= order.price,
    }
}

/// Changes a position by a fill. Returns the quantity closed, its profit, and the opening fee that falls to it.
fn apply(
    position: &mut Position,
    side: Side,
    fill: &Fill,
    fee: Decimal,
    now_ms: i64,
) -> (Decimal, Decimal, Decimal) {
    let before = position.size;
    let closed = position.closable(side).min(fill.qty);
    let opened = fill.qty - closed;
    let pnl = Side::of(before).signed(closed) * (fill.price - position.entry);
    let share = closed.checked_div(before.abs()).unwrap_or_default();
    let closed_open_fee = position.open_fee * share;
    position.open_fee -= closed_open_fee;
    position.size += side.signed(fill.qty);
    if !opened.is_zero() {
        let held = position.size.abs() - opened;
        let cost = held * position.entry + opened * fill.price;
        position.entry = cost
            .checked_div(position.size.abs())
            .unwrap_or_default()
            .round_dp(10);
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
    (closed, pnl, closed_open_fee)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
