//! The one owner of the breaker's state. Everything else sends it values ([`Input`]) and carries
//! out what it decides.
//!
//! | file | holds |
//! |---|---|
//! | `measure` | readings into samples, samples into the ladder |
//! | `act` | rungs into plans, plans into attempts |
//! | `tell` | alerts, journal rows, requests of consoles |
//! | `picture` | the sections of the feed, metrics |
//!
//! Order of every change: ladder → plans → durable → effects. Time is passed in ([`Now`]).

mod act;
mod measure;
mod picture;
mod tell;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::edge::bot::{Bot, BotView};
use crate::edge::cluster::{Cluster, ClusterView};
use crate::edge::feed::{Ask, Publish};
use crate::edge::metrics::Page;
use crate::edge::recorder::Delivery;
use crate::equity::{Decimator, Marks, ShortfallWatch, WalletEquity};
use crate::flows::Ledger;
use crate::foreign::OrderWatch;
use crate::plan::{Job, Outcome, Plan};
use crate::store::{Saved, Store};
use crate::{Error, Now};
use fusebox_domain::{LedgerRow, Order, Symbol};
use fusebox_ladder::{Ladder, Rung, Verdict};
use fusebox_notify::{Desk, Telegram};
use fusebox_venue::stream::{Book, LinkState, PrivateEvent, PublicEvent};
use fusebox_venue::{PositionRow, Stamped, WalletReading};
use fusebox_wire::append::Draft;
use picture::{Chart, Health, Shown};
use ring::signature::Ed25519KeyPair;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Everything that can happen to the breaker.
#[derive(Debug)]
pub(crate) enum Input {
    Wallet(Result<Stamped<WalletReading>, fusebox_venue::Error>),
    Ledger(Result<Stamped<Vec<LedgerRow>>, fusebox_venue::Error>),
    Listing(Result<Listing, fusebox_venue::Error>),
    Private(PrivateEvent),
    Public(PublicEvent),
    /// The bot's view, and the exchange time at which reading it began.
    Bot(Result<(BotView, i64), String>),
    Cluster(Result<ClusterView, String>),
    /// Whether the revoker heard a heartbeat.
    Revoker(Result<(), String>),
    Recorder(Delivery),
    /// What the alert channel answered.
    Told {
        alert: String,
        result: Result<(), String>,
    },
    /// An attempt at a job of a plan ended.
    Attempt {
        plan: String,
        job: Job,
        outcome: Outcome,
    },
    Console(Box<Ask>),
    /// Four times a second.
    Tick,
}

/// Positions and orders, read together.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) at_ms: i64,
    pub(crate) positions: Vec<PositionRow>,
    pub(crate) orders: Vec<Order>,
}

/// What the breaker can reach; absent is not configured.
#[derive(Default)]
pub(crate) struct Hands {
    pub(crate) bot: Option<Arc<Bot>>,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) revoker: Option<PathBuf>,
    pub(crate) telegram: Option<Arc<Telegram>>,
    /// Rows for the recorder, one at a time.
    pub(crate) recorder: Option<mpsc::Sender<(u64, Draft)>>,
}

/// Where the engine's results go.
pub(crate) struct Outlets {
    pub(crate) feed: mpsc::Sender<Publish>,
    pub(crate) page: watch::Sender<Page>,
    /// The instruments whose prices are needed.
    pub(crate) symbols: watch::Sender<BTreeSet<Symbol>>,
    /// From when the ledger must be read.
    pub(crate) ledger_since: watch::Sender<Option<i64>>,
    /// Back to the engine, for attempts.
    pub(crate) input: mpsc::Sender<Input>,
}

/// A stream as the engine sees it.
#[derive(Debug, Clone)]
struct Stream {
    state: LinkState,
    reconnects: u32,
    detail: String,
    /// Exchange time of its last message.
    heard_ms: Option<i64>,
}

impl Stream {
    fn new() -> Self {
        Self {
            state: LinkState::Down,
            reconnects: 0,
            detail: "connecting".to_owned(),
            heard_ms: None,
        }
    }

    fn is_live(&self) -> bool {
        self.state == LinkState::Live
    }
}

/// The last wallet reading and what came of it.
#[derive(Debug, Clone)]
struct Measured {
    at_ms: i64,
    wallet: WalletEquity,
    replayed: Result<crate::equity::Replayed, String>,
}

pub(crate) struct Engine {
    config: Config,
    config_hash: String,
    key: Ed25519KeyPair,
    store: Store,
    hands: Hands,
    out: Outlets,
    started_ms: i64,

    // What is known of the account.
    ladder: Ladder,
    verdict: Verdict,
    ledger: Ledger,
    book: Book,
    marks: Marks,
    orders: OrderWatch,
    shortfall: ShortfallWatch,
    /// An unexplained debit has been acted upon and not ended.
    unexplained: bool,
    decimator: Decimator,
    measured: Option<Measured>,
    private: Stream,
    public: Stream,
    /// Exchange time of the last complete listing and the last reading of the ledger.
    listed_ms: Option<i64>,
    ledger_read_ms: Option<i64>,
    cluster: Option<ClusterView>,
    /// Why the ladder is not armed although it runs.
    broken: Option<String>,
    /// The disk takes nothing, and that was told.
    undurable: bool,

    // What is being done.
    plans: Vec<Plan>,
    /// The journal's id of each rung in force.
    halts: BTreeMap<&'static str, String>,
    desk: Desk,
    /// What each channel answered, by alert.
    delivered: BTreeMap<String, Vec<(String, String)>>,
    in_flight: Option<u64>,
    saved_ms: i64,
    ticked_ms: i64,

    health: Health,
    chart: Chart,
    shown: Shown,
}

impl Engine {
    /// Reads the state back, or begins a new one at the very first start.
    pub(crate) fn new(
        config: Config,
        key: Ed25519KeyPair,
        store: Store,
        hands: Hands,
        out: Outlets,
        now: Now,
    ) -> Result<Self, Error> {
        let fresh = || Ladder::new(config.ladder()).map_err(|e| Error::Config(e.to_string()));
        let (ladder, ledger, broken) = match store.saved()? {
            None => (fresh()?, Ledger::default(), None),
            Some(Ok(Saved { ladder, ledger })) => {
                match Ladder::from_bytes(&ladder, config.ladder()) {
                    Ok(ladder) => (ladder, ledger, None),
                    Err(e) => (fresh()?, Ledger::default(), Some(e.to_string())),
                }
            }
            Some(Err(why)) => (fresh()?, Ledger::default(), Some(why)),
        };
        let mut plans = store.plans()?;
        for plan in plans.iter_mut().filter(|plan| plan.is_open()) {
            plan.resume(now.wall_ms);
        }
        let post_only = config
            .freqtrade
            .as_ref()
            .is_none_or(|f| f.entries_post_only);
        let mut engine = Self {
            config_hash: config.hash(),
            started_ms: now.wall_ms,
            verdict: ladder.now(),
            ladder,
            ledger,
            broken,
            undurable: false,
            plans,
            orders: OrderWatch::new(post_only),
            desk: Desk::new(format!("a{}", now.wall_ms)),
            health: Health::new(&hands, now.wall_ms),
            private: Stream::new(),
            public: Stream::new(),
            saved_ms: now.wall_ms,
            ticked_ms: now.wall_ms,
            book: Book::default(),
            marks: Marks::default(),
            shortfall: ShortfallWatch::default(),
            unexplained: false,
            decimator: Decimator::default(),
            measured: None,
            listed_ms: None,
            ledger_read_ms: None,
            cluster: None,
            halts: BTreeMap::new(),
            delivered: BTreeMap::new(),
            in_flight: None,
            chart: Chart::default(),
            shown: Shown::default(),
            config,
            key,
            store,
            hands,
            out,
        };
        engine.greet(now);
        Ok(engine)
    }

    /// What must be said and done at a start: nothing is taken for safe because it is new.
    fn greet(&mut self, now: Now) {
        self.journal_started(now);
        for rung in self.ladder.latched().iter() {
            self.halts.insert(rung.name(), self.halt_id(rung));
            self.alert_still_in_force(rung, now);
        }
        self.plan_what_is_missing(now);
        if let Some(why) = self.broken.clone() {
            // Neither the former latches nor that there were none is known: entries stop.
            self.ladder.latch(Rung::X, now.exchange_ms);
            let reason = format!("the saved ladder cannot be read ({why}); not armed");
            self.begin(&[(Rung::X, reason)], now.exchange_ms, now);
        }
        self.publish_all(now);
    }

    /// Takes inputs until `stop` completes, then makes everything durable.
    pub(crate) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        exchange_now: impl Fn() -> Option<i64>,
        stop: impl Future<Output = ()>,
    ) {
        let now = || {
            let wall_ms = crate::wall_ms();
            Now {
                wall_ms,
                exchange_ms: exchange_now().unwrap_or(wall_ms),
            }
        };
        tokio::pin!(stop);
        loop {
            let input = tokio::select! {
                input = inputs.recv() => input,
                () = &mut stop => None,
            };
            match input {
                Some(input) => self.handle(input, now()),
                None => break,
            }
        }
        self.journal_stopped(now());
        self.save(&[], now());
    }

    /// One input.
    pub(crate) fn handle(&mut self, input: Input, now: Now) {
        // Prices come in dozens a second and change no plan by themselves.
        let price = matches!(input, Input::Public(_));
        match input {
            Input::Wallet(result) => self.on_wallet(result, now),
            Input::Ledger(result) => self.on_ledger(result, now),
            Input::Listing(result) => self.on_listing(result, now),
            Input::Private(event) => self.on_private(event, now),
            Input::Public(event) => self.on_public(event, now),
            Input::Bot(result) => self.on_bot(result, now),
            Input::Cluster(result) => self.on_cluster(result, now),
            Input::Revoker(result) => self.health.note(
                "revoker",
                result.map(|()| "hears the heartbeat".to_owned()),
                now.wall_ms,
            ),
            Input::Recorder(delivery) => self.on_recorder(delivery, now),
            Input::Told { alert, result } => self.on_told(&alert, result, now),
            Input::Attempt { plan, job, outcome } => self.on_attempt(&plan, job, outcome, now),
            Input::Console(ask) => self.on_console(*ask, now),
            Input::Tick => self.on_tick(now),
        }
        if !price {
            self.drive(now);
            self.pump_outbox();
        }
    }

    /// Four times a second: time passes for the ladder, the plans and the screen.
    fn on_tick(&mut self, now: Now) {
        if now.wall_ms.abs_diff(self.ticked_ms) >= 1_000 {
            self.ticked_ms = now.wall_ms;
            let verdict = self.ladder.tick(now.exchange_ms);
            self.settle(verdict, now);
            self.watch_disk(now);
            self.escalate(now);
            self.ask_kill_again(now);
            if now.wall_ms.saturating_sub(self.saved_ms) >= SAVE_MS {
                self.save(&[], now);
            }
        }
        self.judge_orders(now);
        self.publish_all(now);
    }

    /// Makes ladder, ledger and the given plans durable, together.
    fn save(&mut self, plans: &[&Plan], now: Now) {
        if self.broken.is_some() {
            // The unreadable state is evidence; it is not overwritten by an empty one.
            plans.iter().for_each(|plan| self.store.save_plan(plan));
            return;
        }
        let saved = Saved {
            ladder: self.ladder.to_bytes(),
            ledger: self.ledger.clone(),
        };
        self.store.save(&saved, plans);
        self.saved_ms = now.wall_ms;
    }

    fn account(&self) -> &str {
        self.config.account.as_str()
    }

    /// The journal's name of a rung in force.
    fn halt_id(&self, rung: Rung) -> String {
        let since_ms = self.ladder.latch_of(rung).map_or(0, |latch| latch.t_ms);
        format!("{}/{}/{since_ms}", self.account(), rung.name())
    }
}

/// How much may be lost of what is no event: the chart of the window, at most this.
const SAVE_MS: i64 = 5_000;
