//! What the bot knows and shows: its trades, the prices it saw, its state and its log, behind one lock.
//!
//! The engine alone changes trades; the REST side reads and may change the run state. The lock is never held across an
//! await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rust_decimal::Decimal;

use super::exchange::{Instrument, Quote};
use super::strategy::RunState;
use super::trade::Trade;

/// Log lines kept for `/api/v1/logs`.
const LOG_LINES: usize = 500;

/// What the REST side may look at while the engine works.
pub(super) struct Book {
    pub(super) run: RunState,
    pub(super) trades: Vec<Trade>,
    pub(super) quotes: BTreeMap<String, Quote>,
    pub(super) instruments: BTreeMap<String, Instrument>,
    pub(super) equity: Decimal,
    pub(super) started_us: i64,
    pub(super) last_beat_us: i64,
    pub(super) log: VecDeque<LogLine>,
    pub(super) last_error: Option<String>,
    /// It could not even begin (no key, no database): `/start` cannot help.
    pub(super) broken: bool,
}

/// One line of the bot's log.
#[derive(Debug, Clone)]
pub(super) struct LogLine {
    pub(super) at_us: i64,
    pub(super) level: &'static str,
    pub(super) text: String,
}

/// The book behind its lock, shared with the REST side.
pub(super) type SharedBook = Arc<Mutex<Book>>;

/// Takes the lock; a poisoned one is taken as it is.
pub(super) fn lock(book: &SharedBook) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    pub(super) fn new(now_us: i64) -> Self {
        Self {
            run: RunState::Running,
            trades: Vec::new(),
            quotes: BTreeMap::new(),
            instruments: BTreeMap::new(),
            equity: Decimal::ZERO,
            started_us: now_us,
            last_beat_us: now_us,
            log: VecDeque::new(),
            last_error: None,
            broken: false,
        }
    }

    pub(super) fn note(&mut self, at_us: i64, level: &'static str, text: String) {
        tracing::debug!(target: "bot", level, "{text}");
        if level == "ERROR" {
            self.last_error = Some(text.clone());
        }
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { at_us, level, text });
    }

    pub(super) fn trade_mut(&mut self, id: i64) -> Option<&mut Trade> {
        self.trades.iter_mut().find(|trade| trade.id == id)
    }
}
