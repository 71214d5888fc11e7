//! The matching engine: accepted orders take effect, marks move, triggers fire, resting orders fill, funding is paid.
//!
//! Weak: a market order always fills whole at the best price plus a small slip; resting orders fill whole when the
//! mark reaches them. `Assumption`s: conditional orders whose position is gone are cancelled when they fire, and
//! market orders trigger and fill by the mark, whatever `triggerBy` says.

use rust_decimal::Decimal;

use super::fills::{Fill, MONEY_DP};
use super::instruments::{FUNDING_RATE, MAINTENANCE};
use super::ledger::Row;
use super::market::next_funding_ms;
use super::order::{Execution, Order, Position, Side, Status, StopKind, TimeInForce, Trigger};
use super::state::{Amend, Intent, State};

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

    /// After a fill: stops that came with the order are set, those of a closed position go.
    pub(super) fn follow_up(
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
    pub(super) fn store(&mut self, uid: u64, order: Order, now_ms: i64) {
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
            let paid = (position.size * mark * FUNDING_RATE).round_dp(MONEY_DP);
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

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
