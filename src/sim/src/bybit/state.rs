//! Everything the exchange knows, as one value that changes only through its methods, with the time passed in.
//!
//! A value and not a set of locks, so that the fault `lie` can run a call on a copy and drop it, and so that the
//! engine is tested without waiting.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::account::{Account, Markets};
use super::error::ApiError;
use super::instruments;
use super::keys::{Keys, MASTER_UID};
use super::ledger::Row;
use super::market::Market;
use super::order::Order;
use crate::ids::Ids;
use crate::rng::Rng;

/// What each account starts with, USDT.
pub(crate) const START_USDT: i64 = 4_000;

/// A message for an account's private streams.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) uid: u64,
    /// `order`, `position`, `execution` or `wallet`.
    pub(crate) topic: &'static str,
    pub(crate) row: Value,
    pub(crate) time_ms: i64,
}

/// Something accepted that takes effect a moment later.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    Place {
        uid: u64,
        order: Box<Order>,
    },
    Cancel {
        uid: u64,
        order_id: String,
    },
    Amend {
        uid: u64,
        order_id: String,
        change: Amend,
    },
    Balance {
        uid: u64,
        change: Decimal,
    },
}

/// What an amendment changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Amend {
    pub(crate) price: Option<Decimal>,
    pub(crate) qty: Option<Decimal>,
    pub(crate) trigger: Option<Decimal>,
}

/// The exchange.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) ids: Ids,
    pub(crate) rng: Rng,
    pub(crate) markets: Markets,
    /// The master first, then the sub-accounts.
    pub(crate) accounts: Vec<Account>,
    pub(crate) keys: Keys,
    /// Accepted and not yet done, by due time.
    pub(crate) intents: Vec<(i64, Intent)>,
    /// Messages not yet handed to the streams.
    pub(crate) outbox: VecDeque<Event>,
    /// When funding was last looked at.
    pub(crate) funded_ms: i64,
    seq: u64,
}

impl State {
    /// An exchange with `accounts` funded sub-accounts and `revocable` trade and move keys.
    pub(crate) fn new(seed: u64, accounts: usize, revocable: usize, now_ms: i64) -> Self {
        let markets = instruments::all()
            .into_iter()
            .map(|i| (i.symbol, Market::new(i, seed, now_ms)))
            .collect();
        let mut list = vec![Account::new(MASTER_UID, "master".to_owned(), Decimal::ZERO)];
        for n in 1..=accounts {
            let (uid, name) = (MASTER_UID + n as u64, format!("trading-{n}"));
            list.push(Account::new(uid, name, Decimal::from(START_USDT)));
        }
        Self {
            ids: Ids::new(seed, "bybit"),
            rng: Rng::new(seed, "bybit"),
            markets,
            accounts: list,
            keys: Keys::demo(seed, accounts, revocable, now_ms),
            intents: Vec::new(),
            outbox: VecDeque::new(),
            funded_ms: now_ms,
            seq: 9_532_239_000,
        }
    }

    /// Lets a contract start from another price, its invented past included. Only before anyone trades.
    pub(crate) fn start_at(
        &mut self,
        symbol: &'static str,
        price: Decimal,
        seed: u64,
        now_ms: i64,
    ) {
        if let Some(market) = self.markets.get_mut(symbol) {
            let mut instrument = market.instrument.clone();
            instrument.start = instrument.round_price(price);
            *market = Market::new(instrument, seed, now_ms);
        }
    }

    /// The next number of the exchange's one sequence.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(crate) fn account(&self, uid: u64) -> Result<&Account, ApiError> {
        self.accounts
            .iter()
            .find(|a| a.uid == uid)
            .ok_or_else(|| ApiError::params("unknown member"))
    }

    pub(crate) fn account_mut(&mut self, uid: u64) -> Result<&mut Account, ApiError> {
        self.accounts
            .iter_mut()
            .find(|a| a.uid == uid)
            .ok_or_else(|| ApiError::params("unknown member"))
    }

    pub(crate) fn market(&self, symbol: &str) -> Result<&Market, ApiError> {
        self.markets
            .get(symbol)
            .ok_or_else(|| ApiError::params(format_args!("symbol invalid {symbol}")))
    }

    /// Queues a message for an account's streams.
    pub(crate) fn emit(&mut self, uid: u64, topic: &'static str, row: Value, time_ms: i64) {
        self.outbox.push_back(Event {
            uid,
            topic,
            row,
            time_ms,
        });
    }

    pub(crate) fn emit_wallet(&mut self, uid: u64, now_ms: i64) {
        let row = self.account(uid).map(|a| a.wallet_row(&self.markets));
        if let Ok(row) = row {
            self.emit(uid, "wallet", row, now_ms);
        }
    }

    pub(crate) fn emit_position(&mut self, uid: u64, symbol: &str, now_ms: i64) {
        let row = self
            .account(uid)
            .and_then(|a| Ok(a.position_event(self.market(symbol)?, &self.markets)));
        if let Ok(row) = row {
            self.emit(uid, "position", row, now_ms);
        }
    }

    /// Moves money in (positive) or out of a trading wallet.
    ///
    /// With `delay_ms` ≥ 0 the balance changes now and the ledger shows it that much later; below 0 the ledger shows it
    /// now and the balance follows.
    pub(crate) fn transfer(
        &mut self,
        uid: u64,
        kind: &str,
        amount: Decimal,
        delay_ms: i64,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let seq = self.next_seq();
        let account = self.account_mut(uid)?;
        account.ledger.add(Row {
            seq,
            time_ms: now_ms,
            visible_ms: now_ms.saturating_add(delay_ms.max(0)),
            kind: kind.to_owned(),
            qty: amount.abs(),
            cash_flow: amount,
            balance: account.wallet + amount,
            ..Row::default()
        });
        if delay_ms < 0 {
            let due = now_ms.saturating_sub(delay_ms);
            self.intents.push((
                due,
                Intent::Balance {
                    uid,
                    change: amount,
                },
            ));
            return Ok(());
        }
        self.change_balance(uid, amount, now_ms)
    }

    /// Changes a wallet by a capital movement; the reference for drawdowns moves along, so that it is no loss.
    pub(crate) fn change_balance(
        &mut self,
        uid: u64,
        change: Decimal,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let before = self.account(uid)?.equity(&self.markets);
        let account = self.account_mut(uid)?;
        account.wallet += change;
        let scale = (before + change)
            .checked_div(before)
            .filter(|s| s.is_sign_positive() && !s.is_zero());
        account.reference = match scale {
            Some(scale) => account.reference * scale,
            None => before + change,
        };
        self.emit_wallet(uid, now_ms);
        Ok(())
    }

    /// What `GET /state` of the control API shows.
    pub(crate) fn show(&self, now_ms: i64) -> Value {
        let prices: Value = Value::Object(
            self.markets
                .values()
                .map(|m| {
                    (
                        m.instrument.symbol.to_owned(),
                        m.instrument.price_text(m.mark).into(),
                    )
                })
                .collect(),
        );
        let accounts: Value = self.accounts.iter().map(|a| self.show_account(a)).collect();
        let keys: Value = self
            .keys
            .all()
            .iter()
            .map(|k| {
                json!({
                    "id": k.id, "name": k.name, "role": k.role.as_str(), "uid": k.uid, "api_key": k.api_key,
                    "read_only": k.read_only, "alive": k.deleted_ms.is_none() && !k.expired(now_ms),
                    "deleted_ms": k.deleted_ms, "permissions": k.permissions, "ips": k.ips_json(),
                })
            })
            .collect();
        json!({"exchange_ms": now_ms, "prices": prices, "accounts": accounts, "keys": keys, "pending": self.intents.len()})
    }

    fn show_account(&self, a: &Account) -> Value {
        let open = a.positions.iter().filter(|(_, p)| !p.size.is_zero());
        let positions: Value = open
            .filter_map(|(s, _)| Some(a.position_row(self.markets.get(s)?, &self.markets)))
            .collect();
        let orders: Value = a
            .orders
            .iter()
            .filter_map(|o| {
                let mut row = o.row(self.markets.get(o.symbol)?);
                if let Some(row) = row.as_object_mut() {
                    row.insert("placedBy".to_owned(), o.placed_by.clone().into());
                }
                Some(row)
            })
            .collect();
        let text = |d: Decimal| d.round_dp(8).normalize().to_string();
        json!({
            "name": a.name, "uid": a.uid, "frozen": a.frozen, "equity": text(a.equity(&self.markets)),
            "wallet": text(a.wallet), "fund": text(a.fund), "unrealised": text(a.unrealised(&self.markets)),
            "reference": text(a.reference), "drawdown": text(a.drawdown(&self.markets).round_dp(6)),
            "positions": positions, "orders": orders, "executions": a.executions.len(),
        })
    }
}

#[cfg(test)]
impl State {
    /// Places an order and lets it take effect at once.
    pub(crate) fn order_for_test(&mut self, uid: u64, fields: Value) {
        let args = super::args::Args::from_value(fields);
        let now_ms = self.funded_ms;
        self.accept_order(uid, "test", &args, now_ms).unwrap();
        self.step(now_ms + 50);
    }
}
