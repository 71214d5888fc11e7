//! What an operator or a breaker forces through the REST API: exits whole or in part, and entries.

use rust_decimal::Decimal;
use tokio::sync::oneshot;

use super::book::{Book, lock};
use super::engine::{Engine, Limit};
use super::exchange::Refusal;
use super::strategy::{RunState, touch};
use super::trade::{Purpose, Trade, Wish, ratio, to_step};

/// What the REST side asks the engine to do.
pub(super) enum Command {
    /// `None` is every open trade; `amount` `None` is all of it.
    ForceExit {
        trade: Option<i64>,
        market: Option<bool>,
        amount: Option<Decimal>,
    },
    ForceEnter(ForceEnter),
}

/// The parameters of `/forceenter`.
pub(super) struct ForceEnter {
    pub(super) pair: String,
    pub(super) is_short: bool,
    pub(super) price: Option<Decimal>,
    pub(super) market: bool,
    pub(super) stake: Option<Decimal>,
    pub(super) leverage: Option<Decimal>,
    pub(super) tag: String,
}

/// The answer: the row number of a new trade, nothing for exits, or freqtrade's words for no.
pub(super) type CommandResult = Result<Option<i64>, String>;

/// A command and where its answer goes.
pub(super) type Request = (Command, oneshot::Sender<CommandResult>);

impl Engine {
    /// Carries a command out and says what became of it.
    pub(super) async fn obey(&mut self, command: Command) -> CommandResult {
        match command {
            Command::ForceExit {
                trade,
                market,
                amount,
            } => {
                self.force_exit(trade, market.unwrap_or(false), amount)
                    .await
            }
            Command::ForceEnter(wanted) => self.force_enter(wanted).await,
        }
    }

    async fn force_exit(
        &mut self,
        trade: Option<i64>,
        market: bool,
        amount: Option<Decimal>,
    ) -> CommandResult {
        let open: Vec<i64> = {
            let book = lock(&self.book);
            if book.run == RunState::Stopped {
                return Err("trader is not running".to_owned());
            }
            let wanted =
                |candidate: &&Trade| candidate.is_open && trade.is_none_or(|id| candidate.id == id);
            book.trades.iter().filter(wanted).map(|t| t.id).collect()
        };
        if trade.is_some() && open.is_empty() {
            return Err("invalid argument".to_owned());
        }
        for id in open {
            self.force_exit_one(id, market, amount)
                .await
                .map_err(|refusal| match refusal {
                    ExitRefusal::Said(text) => text,
                    ExitRefusal::Exchange(refusal) => {
                        self.report(&refusal);
                        "Failed to exit trade.".to_owned()
                    }
                })?;
        }
        Ok(None)
    }

    async fn force_exit_one(
        &mut self,
        id: i64,
        market: bool,
        amount: Option<Decimal>,
    ) -> Result<(), ExitRefusal> {
        // An entry or exit that is still open is cancelled first, so that it is placed anew at a fresh price.
        let standing: Vec<String> = lock(&self.book)
            .trade_mut(id)
            .map(|trade| {
                trade
                    .orders
                    .iter()
                    .filter(|order| order.is_open() && order.purpose != Purpose::Stop)
                    .map(|order| order.order_id.clone())
                    .collect()
            })
            .unwrap_or_default();
        for order_id in standing {
            self.cancel(id, &order_id, None).await?;
        }
        let quotes = self.exchange.quotes().await?;
        let left = {
            let mut book = lock(&self.book);
            book.quotes = quotes;
            let rates = book.quotes.clone();
            let Some(trade) = book.trade_mut(id).filter(|trade| trade.entered()) else {
                return Ok(());
            };
            // An entry that filled in part is not filled up again after this.
            let unfilled = trade.entry_left();
            trade.amount_requested -= unfilled;
            let rate = rates.get(&trade.symbol).map_or(trade.open_rate, |q| q.last);
            amount
                .filter(|amount| *amount < trade.amount)
                .map(|amount| (trade.amount - amount) * rate)
        };
        if let Some(left) = left
            && left < Decimal::new(5, 0)
        {
            let text = format!(
                "Remaining amount of {} would be too small.",
                left.round_dp(8)
            );
            return Err(ExitRefusal::Said(text));
        }
        let part = amount.filter(|_| left.is_some());
        self.exit(id, part, market, "force_exit").await?;
        Ok(())
    }

    async fn force_enter(&mut self, wanted: ForceEnter) -> CommandResult {
        let wish = {
            let book = lock(&self.book);
            if book.run != RunState::Running {
                return Err("trader is not running".to_owned());
            }
            force_wish(&book, &wanted)?
        };
        let limit = match wanted.price {
            _ if wanted.market => Some(Limit::Market),
            Some(price) => Some(Limit::At(price)),
            None => Some(Limit::At(wish.rate)),
        };
        match self.open(&wish, limit, false).await {
            Ok(id) => Ok(Some(id)),
            Err(refusal) => {
                self.report(&refusal);
                Err(format!("Failed to enter position for {}.", wanted.pair))
            }
        }
    }
}

/// Why a forced exit was not placed.
enum ExitRefusal {
    Said(String),
    Exchange(Refusal),
}

impl From<Refusal> for ExitRefusal {
    fn from(refusal: Refusal) -> Self {
        ExitRefusal::Exchange(refusal)
    }
}

fn force_wish(book: &Book, wanted: &ForceEnter) -> Result<Wish, String> {
    let no_pair = || {
        format!(
            "Symbol does not exist or market is not active: {}",
            wanted.pair
        )
    };
    let base = wanted.pair.split('/').next().unwrap_or_default();
    let symbol = format!("{base}USDT");
    let instrument = book.instruments.get(&symbol).ok_or_else(no_pair)?;
    let quote = book.quotes.get(&symbol).ok_or_else(no_pair)?;
    let doubled = book
        .trades
        .iter()
        .find(|trade| trade.is_open && trade.symbol == symbol);
    if let Some(trade) = doubled {
        return Err(format!(
            "position for {} already open - id: {}",
            wanted.pair, trade.id
        ));
    }
    let leverage = wanted.leverage.unwrap_or(Decimal::from(5));
    let rate = wanted
        .price
        .unwrap_or_else(|| touch(quote, !wanted.is_short, false));
    let stake = wanted
        .stake
        .unwrap_or_else(|| (book.equity * Decimal::new(2, 2)).round_dp(2));
    let amount = to_step(ratio(stake * leverage, rate), instrument.step, false);
    if amount < instrument.min_amount {
        return Err(format!("Failed to enter position for {}.", wanted.pair));
    }
    Ok(Wish {
        symbol,
        base: base.to_owned(),
        is_short: wanted.is_short,
        amount,
        rate,
        leverage,
        stop_loss_ratio: Decimal::new(25, 2) * leverage,
        tag: wanted.tag.clone(),
        tick: instrument.tick,
        step: instrument.step,
    })
}
