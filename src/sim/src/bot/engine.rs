//! The running bot: one owner of trades, database and exchange session, beating twice a second and obeying commands.
//!
//! What it is stopped by: its own `stop`, a key that the exchange no longer accepts, and the end of its pod, which
//! drops the task wherever it stands: no exit order, no farewell. It must never trade with another key than the one
//! its pod was started with, nor panic on any answer of the exchange.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::sync::mpsc;

use super::book::{SharedBook, lock};
use super::exchange::{Exchange, NewOrder, Refusal};
use super::force::Request;
use super::store::Store;
use super::strategy::{Action, RunState, Strategy, View, touch};
use super::trade::{Event, Order, Purpose, Seen, Standing, Trade, Wish, to_step};
use crate::clock::Clock;

const BEAT: Duration = Duration::from_millis(500);
/// The wallet is read and open trades are written once in so many beats.
const EQUITY_BEATS: u32 = 20;
/// An answered unknown order counts as cancelled only after this long: acceptance is asynchronous.
const UNKNOWN_AFTER_US: i64 = 5_000_000;

/// The exchange's words for a trigger on the wrong side of the market.
const PAST_STOP: [i64; 2] = [110_092, 110_093];

/// What a bot is started with.
pub(super) struct Start {
    pub(super) account: String,
    pub(super) db: PathBuf,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) bybit_rest: String,
    pub(super) env: BTreeMap<String, String>,
}

/// Runs a bot until its task is dropped.
pub(super) async fn run(start: Start, book: SharedBook, mut commands: mpsc::Receiver<Request>) {
    let Some(mut engine) = Engine::new(start, book.clone()) else {
        // Freqtrade ends its trader on such an error and keeps its API.
        {
            let mut book = lock(&book);
            book.run = RunState::Stopped;
            book.broken = true;
        }
        while let Some((_, answer)) = commands.recv().await {
            let _ = answer.send(Err("trader is not running".to_owned()));
        }
        return;
    };
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            request = commands.recv() => match request {
                Some((command, answer)) => {
                    let result = engine.obey(command).await;
                    let _ = answer.send(result);
                }
                None => return,
            },
            _ = beat.tick() => engine.beat().await,
        }
    }
}

/// What a running bot consists of; commands are in `force`.
pub(super) struct Engine {
    pub(super) book: SharedBook,
    pub(super) exchange: Exchange,
    store: Store,
    strategy: Strategy,
    clock: Clock,
    beats: u32,
}

impl Engine {
    fn new(start: Start, book: SharedBook) -> Option<Self> {
        let now_us = start.clock.wall_ms() * 1000;
        let fail = |text: String| lock(&book).note(now_us, "ERROR", text);
        let (Some(api_key), Some(secret)) = (start.env.get("api_key"), start.env.get("secret"))
        else {
            fail("OperationalException: the Secret holds no api_key and secret".to_owned());
            return None;
        };
        let exchange = Exchange::new(&start.bybit_rest, api_key, secret, start.clock.clone())
            .map_err(|refusal| fail(refusal.to_string()))
            .ok()?;
        let opened = Store::open(&start.db).and_then(|store| {
            store.note_start(now_us)?;
            let trades = store.load()?;
            Ok((store, trades))
        });
        let (store, trades) = opened
            .map_err(|error| {
                fail(format!(
                    "OperationalException: {}: {error}",
                    start.db.display()
                ))
            })
            .ok()?;
        let open = trades.iter().filter(|trade| trade.is_open).count();
        {
            let mut book = lock(&book);
            book.trades = trades;
            book.note(
                now_us,
                "INFO",
                format!("Changing state to: RUNNING, {open} open trades"),
            );
        }
        Some(Self {
            strategy: Strategy::new(start.seed, &start.account),
            book,
            exchange,
            store,
            clock: start.clock,
            beats: 0,
        })
    }

    fn now_us(&self) -> i64 {
        self.clock.wall_ms() * 1000
    }

    async fn beat(&mut self) {
        if lock(&self.book).run == RunState::Stopped {
            return;
        }
        if let Err(refusal) = self.observe().await {
            self.report(&refusal);
            return;
        }
        if let Err(refusal) = self.follow_orders().await {
            self.report(&refusal);
            return;
        }
        for action in self.decide() {
            if lock(&self.book).run == RunState::Stopped {
                return;
            }
            if let Err(refusal) = self.carry_out(action).await {
                self.report(&refusal);
                let now_us = self.now_us();
                self.strategy.refused(now_us);
            }
        }
        lock(&self.book).last_beat_us = self.now_us();
    }

    /// Prices; once the instruments, now and then the account's size.
    async fn observe(&mut self) -> Result<(), Refusal> {
        if lock(&self.book).instruments.is_empty() {
            let instruments = self.exchange.instruments().await?;
            lock(&self.book).instruments = instruments;
        }
        if self.beats.is_multiple_of(EQUITY_BEATS) {
            let equity = self.exchange.equity().await?;
            lock(&self.book).equity = equity;
            self.save_open();
        }
        self.beats += 1;
        let quotes = self.exchange.quotes().await?;
        let mut book = lock(&self.book);
        for trade in book.trades.iter_mut().filter(|trade| trade.is_open) {
            if let Some(quote) = quotes.get(&trade.symbol)
                && trade.entered()
            {
                trade.watch(quote.last);
            }
        }
        book.quotes = quotes;
        Ok(())
    }

    /// Asks after every order that is open in our book.
    async fn follow_orders(&mut self) -> Result<(), Refusal> {
        let ours: Vec<(i64, String, String, i64)> = lock(&self.book)
            .trades
            .iter()
            .flat_map(|trade| {
                trade
                    .orders
                    .iter()
                    .filter(|order| order.is_open())
                    .map(|order| {
                        (
                            trade.id,
                            trade.symbol.clone(),
                            order.order_id.clone(),
                            order.placed_us,
                        )
                    })
            })
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        let listed = self.exchange.open_orders().await?;
        for (trade, symbol, order_id, placed_us) in ours {
            let seen = match listed.get(&order_id) {
                Some(seen) => Some(seen.clone()),
                None => self.exchange.order(&symbol, &order_id).await?,
            };
            let forgotten = self.now_us() - placed_us > UNKNOWN_AFTER_US;
            let seen = seen.or_else(|| {
                forgotten.then_some(Seen {
                    standing: Standing::Canceled,
                    filled: Decimal::ZERO,
                    average: None,
                    fee: Decimal::ZERO,
                    updated_us: 0,
                })
            });
            if let Some(seen) = seen {
                self.take_in(trade, &order_id, &seen).await?;
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, trade_id: i64, order_id: &str, seen: &Seen) -> Result<(), Refusal> {
        let now_us = self.now_us();
        let (event, symbol, text) = {
            let mut book = lock(&self.book);
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            let Some(event) = trade.apply(order_id, seen, now_us) else {
                return Ok(());
            };
            let text = describe(trade, event, seen);
            (event, trade.symbol.clone(), text)
        };
        lock(&self.book).note(now_us, "INFO", text);
        self.save(trade_id);
        if event == Event::Entered {
            let price = self.exchange.liquidation_price(&symbol).await?;
            if let Some(trade) = lock(&self.book).trade_mut(trade_id) {
                trade.liquidation_price = price;
            }
            self.save(trade_id);
        }
        Ok(())
    }

    fn decide(&mut self) -> Vec<Action> {
        let now_us = self.now_us();
        let book = lock(&self.book);
        self.strategy.decide(&View {
            now_us,
            started_us: book.started_us,
            run: book.run,
            trades: &book.trades,
            quotes: &book.quotes,
            instruments: &book.instruments,
            equity: book.equity,
        })
    }

    async fn carry_out(&mut self, action: Action) -> Result<(), Refusal> {
        match action {
            Action::Open(wish) => self.open(&wish, None, true).await.map(|_| ()),
            Action::Enter { trade, post_only } => self.enter(trade, None, post_only).await,
            Action::Cancel {
                trade,
                order_id,
                reason,
            } => self.cancel(trade, &order_id, reason).await,
            Action::Exit {
                trade,
                amount,
                reason,
            } => self.exit(trade, Some(amount), false, &reason).await,
            Action::Protect { trade } => self.protect(trade).await,
            Action::Forget { trade } => {
                self.forget(trade);
                Ok(())
            }
        }
    }

    /// A new trade, which exists only if its first order was accepted.
    pub(super) async fn open(
        &mut self,
        wish: &Wish,
        limit: Option<Limit>,
        post_only: bool,
    ) -> Result<i64, Refusal> {
        self.exchange
            .set_leverage(&wish.symbol, wish.leverage)
            .await?;
        let trade = Trade::new(wish, self.now_us());
        lock(&self.book).trades.push(trade);
        // Row number 0 until its first order is accepted and stored.
        let entered = self.enter(0, limit, post_only).await;
        let mut book = lock(&self.book);
        let id = book.trades.last().map_or(0, |trade| trade.id);
        book.trades.retain(|trade| trade.id != 0);
        entered.map(|()| id)
    }

    async fn enter(
        &mut self,
        trade_id: i64,
        limit: Option<Limit>,
        post_only: bool,
    ) -> Result<(), Refusal> {
        let order = {
            let mut book = lock(&self.book);
            let quotes = book.quotes.clone();
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            let Some(quote) = quotes.get(&trade.symbol) else {
                return Ok(());
            };
            let price = match limit {
                Some(Limit::At(price)) => Some(price),
                Some(Limit::Market) => None,
                None => Some(touch(quote, !trade.is_short, post_only)),
            };
            NewOrder {
                symbol: trade.symbol.clone(),
                buy: !trade.is_short,
                amount: to_step(trade.entry_left(), trade.step, false),
                limit: price,
                post_only: post_only && limit.is_none(),
                reduce_only: false,
                trigger: None,
            }
        };
        self.place(trade_id, Purpose::Entry, &order, None).await
    }

    /// Leaves a position wholly or in part, at the far side of the book.
    pub(super) async fn exit(
        &mut self,
        trade_id: i64,
        amount: Option<Decimal>,
        market: bool,
        reason: &str,
    ) -> Result<(), Refusal> {
        let order = {
            let mut book = lock(&self.book);
            let quotes = book.quotes.clone();
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            let Some(quote) = quotes.get(&trade.symbol) else {
                return Ok(());
            };
            let buy = trade.exit_is_buy();
            let amount = amount.unwrap_or(trade.amount).min(trade.amount);
            trade.exit_reason = Some(reason.to_owned());
            NewOrder {
                symbol: trade.symbol.clone(),
                buy,
                amount: to_step(amount, trade.step, false),
                limit: (!market).then(|| touch(quote, buy, false)),
                post_only: false,
                reduce_only: true,
                trigger: None,
            }
        };
        self.place(trade_id, Purpose::Exit, &order, Some(reason))
            .await
    }

    async fn protect(&mut self, trade_id: i64) -> Result<(), Refusal> {
        let order = {
            let mut book = lock(&self.book);
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            NewOrder {
                symbol: trade.symbol.clone(),
                buy: trade.exit_is_buy(),
                amount: trade.amount,
                limit: None,
                post_only: false,
                reduce_only: true,
                trigger: Some((trade.stop_loss, trade.is_short)),
            }
        };
        match self.place(trade_id, Purpose::Stop, &order, None).await {
            Err(Refusal::Code { code, .. }) if PAST_STOP.contains(&code) => {
                // The market is beyond the stop already: out, as freqtrade does.
                self.exit(trade_id, None, true, "emergency_exit").await
            }
            other => other,
        }
    }

    async fn place(
        &mut self,
        trade_id: i64,
        purpose: Purpose,
        order: &NewOrder,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        if order.amount <= Decimal::ZERO {
            return Ok(());
        }
        let order_id = self.exchange.place(order).await?;
        let now_us = self.now_us();
        {
            let mut book = lock(&self.book);
            let last = book.quotes.get(&order.symbol).map(|quote| quote.last);
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            let tag = match purpose {
                Purpose::Entry => Some(trade.enter_tag.clone()),
                Purpose::Exit => reason.map(str::to_owned),
                Purpose::Stop => None,
            };
            trade.add_order(Order {
                id: 0,
                purpose,
                buy: order.buy,
                standing: Standing::Open,
                order_id,
                market: order.limit.is_none(),
                requested: order.amount,
                requested_price: order.limit.or(last).unwrap_or_default(),
                stop_price: order.trigger.map(|(price, _)| price),
                amount: order.amount,
                filled: Decimal::ZERO,
                average: None,
                fee: Decimal::ZERO,
                cancel_reason: None,
                tag,
                placed_us: now_us,
                filled_us: None,
                updated_us: now_us,
            });
        }
        self.save(trade_id);
        Ok(())
    }

    pub(super) async fn cancel(
        &mut self,
        trade_id: i64,
        order_id: &str,
        reason: Option<&'static str>,
    ) -> Result<(), Refusal> {
        let symbol = {
            let mut book = lock(&self.book);
            let Some(trade) = book.trade_mut(trade_id) else {
                return Ok(());
            };
            let mut order = trade.orders.iter_mut().find(|o| o.order_id == order_id);
            if let Some(order) = &mut order {
                order.cancel_reason = reason.map(str::to_owned);
            }
            trade.symbol.clone()
        };
        self.exchange.cancel(&symbol, order_id).await?;
        if let Some(seen) = self.exchange.order(&symbol, order_id).await? {
            self.take_in(trade_id, order_id, &seen).await?;
        }
        Ok(())
    }

    fn forget(&mut self, trade_id: i64) {
        if let Err(error) = self.store.delete(trade_id) {
            let now_us = self.now_us();
            lock(&self.book).note(now_us, "ERROR", format!("database: {error}"));
        }
        lock(&self.book).trades.retain(|trade| trade.id != trade_id);
    }

    fn save(&mut self, trade_id: i64) {
        let now_us = self.now_us();
        let mut book = lock(&self.book);
        let Some(trade) = book.trade_mut(trade_id) else {
            return;
        };
        if let Err(error) = self.store.save(trade) {
            book.note(now_us, "ERROR", format!("database: {error}"));
        }
    }

    /// Writes the extremes that open trades have seen since.
    fn save_open(&mut self) {
        let open: Vec<i64> = lock(&self.book)
            .trades
            .iter()
            .filter(|trade| trade.is_open)
            .map(|trade| trade.id)
            .collect();
        for id in open {
            self.save(id);
        }
    }

    /// Logs a refusal; one of the key ends trading.
    pub(super) fn report(&self, refusal: &Refusal) {
        let now_us = self.now_us();
        let mut book = lock(&self.book);
        if refusal.is_fatal() {
            book.note(
                now_us,
                "ERROR",
                format!("OperationalException: {refusal}. Stopping trader ..."),
            );
            book.run = RunState::Stopped;
        } else {
            book.note(now_us, "WARNING", refusal.to_string());
        }
    }
}

fn describe(trade: &Trade, event: Event, seen: &Seen) -> String {
    let what = match event {
        Event::Entered => "entry filled",
        Event::Reduced => "exit filled in part",
        Event::Closed => "closed",
        Event::Void => "order ended unfilled",
    };
    format!(
        "Trade(id={}, pair={}, is_short={}) {what}: {} at {}",
        trade.id,
        trade.pair(),
        trade.is_short,
        seen.filled.normalize(),
        seen.average.unwrap_or_default().normalize()
    )
}

/// The price of a forced entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    At(Decimal),
    Market,
}
