//! `feed.sock`: what the breaker tells every console.
//!
//! After the greeting the breaker sends each section once, then again whenever it changed: a
//! section replaces the former one of its kind, so that a console which missed nothing in `seq`
//! has the same picture as the breaker. [`Marks`](Section::Marks) is the only partial one.
//! Ages are told as "how old at the moment of sending"; the console adds its own monotonic time.

use crate::Signed;
use fusebox_domain::{AccountName, Decimal, Environment, Limits, Order, Position, Symbol, Uid};
use serde::{Deserialize, Serialize};

/// What a console may say on the feed socket. Nothing of it can increase risk: the certificate
/// carries its own authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Marks a review as read (R1). It unblocks nothing else.
    Acknowledge {
        /// The alert's id.
        alert: String,
    },
    /// Carries a [`Certificate`] signed by the revoker after a touch.
    Release {
        /// The certificate; purpose [`CERTIFICATE`].
        certificate: Signed,
    },
}

/// Purpose under which the revoker signs a [`Certificate`].
pub const CERTIFICATE: &str = "fusebox/certificate/v1";

/// What alone can release a latch, loosen a limit or re-base: made by the revoker after a touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The account it is for.
    pub account: AccountName,
    /// The rung it releases, `R3`.
    pub rung: String,
    /// Rises with every certificate; an older one has no effect.
    pub sequence: u64,
    /// Wall-clock milliseconds after which it has no effect.
    pub expires_ms: i64,
    /// `release`, `rebase_month` or `rebase_peak`.
    pub action: String,
    /// Hash of the ladder configuration that the operator saw.
    pub config_hash: String,
    /// Why, in the operator's words.
    pub reason: String,
}

/// One message of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Rises by one with every message of a connection; a gap means that something was lost.
    pub seq: u64,
    /// The breaker's wall clock, milliseconds.
    pub sent_ms: i64,
    /// What changed.
    #[serde(flatten)]
    pub section: Section,
}

/// The sections of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "section", content = "data", rename_all = "snake_case")]
pub enum Section {
    /// Who speaks of what; first.
    Account(Account),
    /// Equity, now.
    Equity(Equity),
    /// Equity of the past, oldest first, in chunks; follows `Account`, then grows by `Equity`.
    History(Vec<Point>),
    /// The ladder.
    Ladder(Ladder),
    /// All open positions.
    Positions(Vec<Position>),
    /// New mark prices, only of symbols that changed.
    Marks(Vec<Mark>),
    /// All open orders.
    Orders(Vec<OpenOrder>),
    /// What was done automatically, newest last, at most 50.
    Actions(Vec<Action>),
    /// Alerts, newest last, at most 50.
    Alerts(Vec<Alert>),
    /// The components and services that the breaker sees.
    Health(Vec<Health>),
    /// Every feed of the breaker with its freshness.
    Sources(Vec<Source>),
    /// Nothing changed, but the breaker lives; at least every 2 s.
    Heartbeat,
    /// Answer to a [`Request`].
    Reply(Reply),
}

/// Whether a request was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Done or not.
    pub done: bool,
    /// In words for the operator.
    pub detail: String,
}

/// The account and the breaker's standing settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account.
    pub account: AccountName,
    /// Its number at the exchange.
    pub uid: Uid,
    /// `bybit`.
    pub venue: String,
    /// The environment.
    pub environment: Environment,
    /// `on`, `page_first` or `off`.
    pub auto_revoke: String,
    /// Whether the ladder runs with a base and readable state; not armed means entries stopped.
    pub armed: bool,
    /// Why it is not armed, if it is not.
    pub not_armed_because: Option<String>,
    /// Hash of the ladder configuration.
    pub config_hash: String,
    /// When the breaker started, wall-clock milliseconds.
    pub started_ms: i64,
}

/// The account's equity from two sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equity {
    /// Equity by the exchange's wallet (REST), USDT; `None` when there is none yet.
    pub wallet_usdt: Option<Decimal>,
    /// Age of `wallet_usdt` when this was sent, milliseconds.
    pub wallet_age_ms: Option<u64>,
    /// Equity replayed from ledger and positions × mark (WebSocket), USDT.
    pub replayed_usdt: Option<Decimal>,
    /// Age of the older of its parts, milliseconds.
    pub replayed_age_ms: Option<u64>,
    /// Whether the two agree within the limit; `None` while one is missing.
    pub agree: Option<bool>,
    /// Their difference in basis points of the larger.
    pub disagreement_bp: Option<i64>,
    /// NAV, 12 decimals, `None` before funding.
    pub nav: Option<String>,
    /// Change of equity per hour over the last minutes, flows excluded, USDT.
    pub per_hour_usdt: Option<Decimal>,
    /// Exchange time of the sample, milliseconds.
    pub exchange_ms: Option<i64>,
}

/// One point of the equity chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Exchange time, milliseconds.
    pub t_ms: i64,
    /// Equity, USDT; `None` is a gap.
    pub equity_usdt: Option<Decimal>,
}

/// The ladder as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// R1 to R4, in order.
    pub rungs: Vec<Rung>,
    /// `B1`, `B2`, `B3` while blind.
    pub blind: Option<String>,
    /// Age of the last accepted sample, milliseconds.
    pub sample_age_ms: Option<u64>,
    /// Integrity rule X in force, with its reasons.
    pub integrity: Vec<String>,
    /// The next boundary at which anchors roll, exchange time in milliseconds.
    pub next_reset_ms: Option<i64>,
    /// What changes at that boundary, in words: "R1 clears, room 180.62 USDT".
    pub after_reset: Option<String>,
}

/// Where a rung stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungState {
    /// Below its threshold.
    Clear,
    /// In force.
    Latched,
    /// No fresh data: neither safe nor tripped.
    Unknown,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// `R1` … `R4`.
    pub rung: String,
    /// `day`, `week`, `month`, `peak`.
    pub basis: String,
    /// Loss at which it trips, basis points, positive (500 is −5 %).
    pub threshold_bp: u32,
    /// Confirmed change against the basis, basis points, negative is loss.
    pub change_bp: Option<i64>,
    /// The same against the rolling companion.
    pub rolling_change_bp: Option<i64>,
    /// Loss still possible before it trips, USDT, against the higher base.
    pub room_usdt: Option<Decimal>,
    /// The same in basis points of equity.
    pub room_bp: Option<i64>,
    /// Equity at which it trips, USDT: for the chart's line.
    pub trips_at_usdt: Option<Decimal>,
    /// Where it stands.
    pub state: RungState,
    /// Since when it is latched, exchange time in milliseconds.
    pub since_ms: Option<i64>,
    /// What it does when it trips: "alert", "halve positions", "scale to zero", "revoke keys".
    pub action: String,
    /// What it has done, in words, once it tripped.
    pub done: Option<String>,
    /// The alert whose review is open (R1).
    pub review: Option<String>,
}

/// A new mark price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The instrument.
    pub symbol: Symbol,
    /// Its mark price.
    pub price: Decimal,
}

/// An open order and what the breaker thinks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// The order.
    pub order: Order,
    /// Not placed by the bot: an incident.
    pub foreign: bool,
    /// An entry that is not PostOnly.
    pub not_post_only: bool,
}

/// How an automatic action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// Durable, not begun.
    Pending,
    /// Under way.
    Running,
    /// Done and verified.
    Done,
    /// Did not work, with what follows.
    Failed,
    /// Outcome not observed.
    Unknown,
}

/// One automatic action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Unique.
    pub id: String,
    /// Why: `R1` … `R4`, `B1` … `B3`, `X`.
    pub rung: String,
    /// `alert`, `reduce`, `scale_zero`, `kill`, `stop_entries`, `release`.
    pub action: String,
    /// How it stands.
    pub state: ActionState,
    /// Begin, wall-clock milliseconds.
    pub started_ms: i64,
    /// End, wall-clock milliseconds.
    pub ended_ms: Option<i64>,
    /// In words, with numbers.
    pub detail: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Needs a person.
    Critical,
}

/// An alert and who was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Unique.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What, on which account.
    pub title: String,
    /// Numbers and next step.
    pub detail: String,
    /// When, wall-clock milliseconds.
    pub raised_ms: i64,
    /// Until when it must be acknowledged before it escalates, wall-clock milliseconds.
    pub ack_by_ms: Option<i64>,
    /// Acknowledged.
    pub acknowledged: bool,
    /// Each channel and what it answered: ("telegram", "ok").
    pub channels: Vec<(String, String)>,
}

/// Whether something answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    /// Answers.
    Up,
    /// Answers, but not as it should.
    Degraded,
    /// Does not answer.
    Down,
    /// Was never asked, or not configured.
    Unknown,
}

/// One component or service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `revoker`, `recorder`, `bot`, `k3s`, `exchange`, `telegram` …
    pub name: String,
    /// Whether it answers.
    pub up: Up,
    /// In words.
    pub detail: String,
    /// Since when, wall-clock milliseconds.
    pub since_ms: i64,
}

/// One feed of the breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `wallet rest`, `positions ws`, `tickers ws` …
    pub name: String,
    /// Age of its last datum when this was sent, milliseconds; `None` is never.
    pub age_ms: Option<u64>,
    /// From which age on it is stale.
    pub limits: Limits,
    /// Connection state in words.
    pub link: String,
    /// Reconnects since the start.
    pub reconnects: u32,
}
