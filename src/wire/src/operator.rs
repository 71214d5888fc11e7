//! `operator.sock`: what the console asks of the revoker.
//!
//! A run goes: [`Request::Plan`] (look) → [`Request::Challenge`] (bytes to sign, bound to the
//! plan) → touch → [`Request::Execute`] → [`Reply::Step`] … → [`Reply::Result`]. The console
//! names registry ids only, never keys, paths or URLs.

use crate::Signed;
use fusebox_domain::{
    AccountName, Decimal, Environment, KeyName, KeyRole, ObservedKey, Scope, Uid,
};
use fusebox_touch::{Application, Assertion, CredentialId, Nonce, PlanHash, PublicKey};
use serde::{Deserialize, Serialize};

/// What the console may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Who are you, who is enrolled, what runs?
    Status,
    /// Declared and observed keys.
    Keys,
    /// What would this do? Nothing is started.
    Plan {
        /// The wish.
        wish: Wish,
    },
    /// The same, with bytes to sign.
    Challenge {
        /// The wish.
        wish: Wish,
    },
    /// The signed challenge: starts the run, then steps and the result follow on this connection.
    Execute {
        /// Nonce of the challenge.
        nonce: Nonce,
        /// What the key signed.
        assertion: Assertion,
    },
    /// Steps and result of a run that was started elsewhere or earlier.
    Attach {
        /// The run's id.
        run: String,
    },
    /// Forget the pending challenge.
    Cancel,
}

/// What the operator wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Wish {
    /// Revoke what can trade or move money.
    Kill {
        /// One account, or all.
        account: Option<AccountName>,
        /// `true`: TOTAL instead of CONTAIN.
        #[serde(default)]
        total: bool,
        /// Close positions first.
        #[serde(default)]
        flatten: bool,
        /// A key leaked: all keys at once.
        #[serde(default)]
        key_theft: bool,
        /// Why, in the operator's words.
        #[serde(default)]
        reason: String,
    },
    /// Replace keys by new ones.
    Rotate {
        /// Which; empty with `due` is all that are due.
        keys: Vec<KeyName>,
        /// All that are due.
        #[serde(default)]
        due: bool,
        /// Why, in the operator's words.
        #[serde(default)]
        reason: String,
    },
    /// Release a latch.
    Resume {
        /// The account.
        account: AccountName,
        /// The rung, `R3`.
        rung: String,
        /// `release`, `rebase_month` or `rebase_peak`.
        release: String,
        /// Hash of the ladder configuration that the operator saw.
        config_hash: String,
        /// Why, in the operator's words.
        reason: String,
    },
}

/// What the revoker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Keys`].
    Keys(Keys),
    /// To [`Request::Plan`].
    Plan(Plan),
    /// To [`Request::Challenge`].
    Challenge(Challenge),
    /// The run has begun; its intent is durable.
    Started {
        /// The run's id.
        run: String,
    },
    /// One step changed its state.
    Step(Step),
    /// One key's verdict changed.
    Key(KeyProof),
    /// The run's result; the body is a [`Report`], purpose [`REPORT`].
    Result {
        /// The signed report.
        report: Signed,
    },
    /// After a resume: to be carried to the breaker.
    Certificate {
        /// Body is a [`crate::feed::Certificate`].
        certificate: Signed,
    },
    /// Not done.
    Refused(Refused),
    /// The pending challenge is forgotten.
    Cancelled,
}

/// Purpose under which the revoker signs a [`Report`].
pub const REPORT: &str = "fusebox/report/v1";

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Short and stable, for programs: `expired`, `replayed`, `user_presence`, `not_supported` …
    pub code: String,
    /// What was refused, why, what is now true, what to do next.
    pub message: String,
}

/// The revoker's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which host's revoker, part of every challenge.
    pub host_id: String,
    /// The environment.
    pub environment: Environment,
    /// Enrolled devices; armed means two.
    pub devices: Vec<Device>,
    /// Whether two devices are enrolled (in `sim`: one is enough).
    pub armed: bool,
    /// `on`, `page_first` or `off`.
    pub auto_revoke: String,
    /// Ed25519 public key for its signatures, hex; pinned by the console's configuration.
    pub public_key: String,
    /// The accounts it guards.
    pub accounts: Vec<AccountName>,
    /// Runs, newest last, at most 20.
    pub runs: Vec<RunSummary>,
    /// What it sees of the world: ("vault", "ok"), ("exchange", "retCode 10002 …").
    pub services: Vec<(String, String)>,
    /// When the last positive control of every revocable key answered, wall-clock milliseconds.
    pub controlled_ms: Option<i64>,
}

/// An enrolled device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The operator's label.
    pub label: String,
    /// `ssh:fusebox`, or `ssh:fusebox-demo`.
    pub application: String,
    /// What it may approve: "kill", "rotate", "resume", "enrol".
    pub actions: Vec<String>,
}

/// One run in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's id.
    pub run: String,
    /// `kill`, `rotate` …
    pub action: String,
    /// `operator`, `ladder`, `inventory`.
    pub trigger: String,
    /// Begin, wall-clock milliseconds.
    pub started_ms: i64,
    /// Outcome, `None` while it runs.
    pub outcome: Option<Outcome>,
}

/// The key registry beside what the exchange lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Every declared key and every observed one.
    pub keys: Vec<RegisteredKey>,
    /// Age of the last complete listing, milliseconds.
    pub listing_age_ms: Option<u64>,
    /// What cannot be seen: "other master keys: not observable".
    pub blind_spots: Vec<String>,
}

/// One line of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredKey {
    /// Its name; for an undeclared key its short id.
    pub name: KeyName,
    /// Declared role; `None`: nobody declared it.
    pub role: Option<KeyRole>,
    /// Its account, where declared.
    pub account: Option<AccountName>,
    /// Uid of the (sub-)account.
    pub uid: Uid,
    /// What the exchange lists; `None`: not listed.
    pub observed: Option<ObservedKey>,
    /// Scopes that it has beyond its role.
    pub excess: Vec<Scope>,
    /// Age in days.
    pub age_days: Option<i64>,
    /// Days until rotation is due; negative is overdue.
    pub rotation_due_days: Option<i64>,
    /// Findings in words, worst first.
    pub findings: Vec<String>,
    /// When its positive control last answered, wall-clock milliseconds.
    pub controlled_ms: Option<i64>,
}

/// A plan, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `kill`, `rotate`, `resume`.
    pub action: String,
    /// One line: "KILL trading-1".
    pub title: String,
    /// The environment.
    pub environment: Environment,
    /// SHA-256 of the canonical plan.
    pub hash: PlanHash,
    /// The six words of that hash.
    pub words: Vec<String>,
    /// The canonical plan itself, so that anyone can check the hash.
    pub canonical: String,
    /// The keys it touches.
    pub keys: Vec<PlannedKey>,
    /// What happens to orders, in words.
    pub orders: Vec<String>,
    /// What happens to the bot, in words.
    pub workload: Vec<String>,
    /// What happens to secrets, in words.
    pub secrets: Vec<String>,
    /// What it will leave open, in words with numbers.
    pub leaves: Vec<String>,
    /// Whether the touch needs a PIN as well (user verification).
    pub needs_pin: bool,
}

/// A key in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedKey {
    /// Its name.
    pub name: KeyName,
    /// Its role.
    pub role: KeyRole,
    /// Its account.
    pub account: AccountName,
    /// Last four characters of its public half.
    pub short: String,
    /// `delete`, `keep`, `replace`.
    pub effect: String,
}

/// Bytes to sign, bound to one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The plan that a signature will start.
    pub plan: Plan,
    /// What a security key signs; its nonce names it.
    pub document: fusebox_touch::Challenge,
    /// Credentials that may answer.
    pub credentials: Vec<Credential>,
}

/// A credential that may answer a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The handle by which the key knows it.
    pub id: CredentialId,
    /// Application (relying party id).
    pub application: Application,
    /// Its public key.
    pub public_key: PublicKey,
    /// The operator's label of the device.
    pub label: String,
    /// Whether it verifies its user (PIN) on every use.
    pub verifies_user: bool,
}

/// How a step stands (study 5.3). A timeout is Unknown, never Failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Durable, not begun.
    Pending,
    /// Sent, no answer yet.
    Sent,
    /// Its end state was observed.
    Done,
    /// The other side refused.
    Refused,
    /// Not observed.
    Unknown,
    /// Not part of this plan's need, left out with the reason in `detail`.
    Skipped,
}

/// One step of a run. Times are milliseconds since the authorization (the verified touch).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable id, `delete freqtrade-1`.
    pub step: String,
    /// How it stands.
    pub state: StepState,
    /// Begin; `None` before it.
    pub started_ms: Option<u64>,
    /// End; `None` before it.
    pub ended_ms: Option<u64>,
    /// Evidence or reason, in words.
    pub detail: String,
}

/// What is known of a key after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Two proofs and a positive control.
    Dead,
    /// It still works, or still stands in the list.
    Alive,
    /// Not observed well enough to say.
    Unknown,
    /// Kept on purpose.
    Kept,
}

/// A key and its proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// Its name.
    pub name: KeyName,
    /// Its role.
    pub role: KeyRole,
    /// Last four characters of its public half.
    #[serde(default)]
    pub short: String,
    /// What is known.
    pub verdict: Verdict,
    /// `absent` (from a complete listing), `refused` (its own signed probe).
    pub proofs: Vec<String>,
    /// The answers, in words.
    #[serde(default)]
    pub detail: String,
    /// When the last proof stood, milliseconds since the authorization.
    #[serde(default)]
    pub proven_ms: Option<u64>,
}

/// How a run ended (K14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every required end state was observed.
    Done,
    /// A required end state was observed false.
    Partial,
    /// One was not observed.
    Unknown,
    /// Nothing was attempted.
    Refused,
}

/// What a run leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residual {
    /// Open positions.
    pub positions: Vec<ResidualPosition>,
    /// Entry orders still resting.
    pub resting_entries: u32,
    /// Protective stops kept.
    pub stops_kept: u32,
    /// Equity after the run, USDT.
    pub equity_usdt: Option<Decimal>,
    /// Age of these numbers in words, or why there are none.
    pub seen: String,
    /// Everything else, in words.
    pub notes: Vec<String>,
}

/// A position that nothing manages any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidualPosition {
    /// The instrument.
    pub symbol: String,
    /// `long` or `short`.
    pub side: String,
    /// Size in the base coin.
    pub size: Decimal,
    /// Mark price.
    pub mark_price: Option<Decimal>,
    /// Price of its stop; `None`: no stop.
    pub stop_price: Option<Decimal>,
    /// Loss from mark to stop, USDT; `None` without a stop.
    pub at_risk_usdt: Option<Decimal>,
    /// Liquidation price, where the exchange names one.
    pub liquidation_price: Option<Decimal>,
    /// Distance to liquidation, basis points of the mark price.
    pub liquidation_bp: Option<i64>,
}

/// The record of a run; `fusebox kill --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The run's id.
    pub id: String,
    /// `kill`, `rotate` …
    pub action: String,
    /// `operator`, `ladder`, `inventory`.
    pub trigger: String,
    /// How it ended.
    pub outcome: Outcome,
    /// From the verified touch to the last proof of the last trade or move key; `None` unless all
    /// of them are dead (K15).
    pub touch_to_dead_ms: Option<u64>,
    /// Every step.
    pub steps: Vec<Step>,
    /// Every key of the plan.
    pub keys: Vec<KeyProof>,
    /// What is left.
    pub residual: Residual,
    /// Hash of the plan, hex.
    #[serde(default)]
    pub plan_hash: String,
    /// Begin, wall-clock milliseconds.
    #[serde(default)]
    pub started_ms: i64,
}
