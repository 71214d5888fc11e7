//! What a rung makes the breaker do, as a state machine. Pure: time and observations are passed
//! in, effects come out as [`Job`]s, and every state is durable before its effect.
//!
//! One plan per event, that of the gravest rung. A job is repeated until its end state was seen;
//! each is idempotent, so that a plan read back after a crash is simply begun again. The jobs of a
//! plan do not wait for each other unless [`Job::after`] says so: a bot that does not answer must
//! not hold up the cluster.

use fusebox_domain::{Decimal, Position, Side, Symbol};
use fusebox_ladder::{Action, Rung};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first pause after a failed attempt; doubles up to [`MAX_PAUSE_MS`].
const FIRST_PAUSE_MS: i64 = 500;

/// The longest pause between attempts.
const MAX_PAUSE_MS: i64 = 10_000;

/// An attempt that has not reported for this long is begun again.
const LOST_MS: i64 = 45_000;

/// One thing to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Job {
    /// The bot accepts no new entry.
    StopEntries,
    /// The bot is asked to leave half of each trade.
    Reduce,
    /// The exchange shows that exposure fell.
    VerifyReduced,
    /// The revoker cancels resting entries.
    CancelEntries,
    /// The Deployment wants zero replicas.
    ScaleZero,
    /// No pod of the bot is listed.
    VerifyNoPods,
    /// The revoker answered the kill request.
    RequestKill,
}

impl Job {
    /// What must be done before.
    fn after(self) -> Option<Job> {
        match self {
            Job::VerifyNoPods => Some(Job::ScaleZero),
            _ => None,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Job::StopEntries => "stop entries",
            Job::Reduce => "halve trades",
            Job::VerifyReduced => "verify exposure",
            Job::CancelEntries => "cancel entries",
            Job::ScaleZero => "scale to zero",
            Job::VerifyNoPods => "verify no pods",
            Job::RequestKill => "request kill",
        }
    }
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Pending,
    Running,
    Done,
    Failed,
    /// A graver plan took it over, or it became pointless.
    Left,
}

/// What an attempt led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its end state was seen.
    Done(String),
    /// Not yet, or not known: again after a pause that grows.
    Again(String),
    /// It takes its time: again after the longest pause.
    Later(String),
    /// It will not come about.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) state: State,
    pub(crate) attempts: u32,
    /// Not before this wall-clock time; while running: when it began.
    at_ms: i64,
    pub(crate) detail: String,
}

/// One size that R2 wants halved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) symbol: Symbol,
    pub(crate) side: Side,
    pub(crate) size: Decimal,
    /// The price by which sizes of several symbols are added up.
    pub(crate) price: Decimal,
}

/// What was held when R2 tripped, and how much of it may remain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// `None`: not seen yet, which is not "nothing held".
    pub(crate) held: Option<Vec<Held>>,
    /// Wall-clock time by which the exchange must show it, milliseconds.
    pub(crate) deadline_ms: i64,
    pub(crate) keep_percent: u32,
}

/// A plan. Written to disk whenever it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: String,
    /// `R1` … `R4`, `B1` … `B3`, `X`.
    pub(crate) rung: String,
    /// `alert`, `reduce`, `scale_zero`, `kill`, `stop_entries`.
    pub(crate) action: String,
    /// Why, in words.
    pub(crate) reason: String,
    /// Exchange time of the sample that tripped.
    pub(crate) t_ms: i64,
    pub(crate) started_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) baseline: Option<Baseline>,
}

/// The jobs of an action, in the order in which they are begun.
pub(crate) fn jobs(action: Action) -> &'static [Job] {
    match action {
        Action::Alert | Action::BlindWarn | Action::Release => &[],
        Action::BlindStop => &[Job::StopEntries],
        Action::Reduce => &[Job::StopEntries, Job::Reduce, Job::VerifyReduced],
        Action::ScaleZero | Action::BlindZero => &[
            Job::CancelEntries,
            Job::ScaleZero,
            Job::StopEntries,
            Job::VerifyNoPods,
        ],
        // The revoker does the rest of the kill; what the breaker can do with its own hands it
        // does beside it, so that a dead revoker does not leave the bot running.
        Action::Kill => &[
            Job::RequestKill,
            Job::ScaleZero,
            Job::StopEntries,
            Job::VerifyNoPods,
        ],
    }
}

/// The name of an action on the feed.
pub(crate) fn action_name(action: Action) -> &'static str {
    match action {
        Action::BlindStop => "stop_entries",
        Action::BlindZero => "scale_zero",
        Action::BlindWarn => "alert",
        other => other.name(),
    }
}

/// Of the rungs that one event put in force, the one whose plan is executed: the gravest. An
/// alert alone needs no plan of jobs but is one too, so that it is seen.
pub(crate) fn gravest(rungs: impl Iterator<Item = Rung>) -> Option<Rung> {
    const ORDER: [Rung; 8] = [
        Rung::R4,
        Rung::R3,
        Rung::B3,
        Rung::R2,
        Rung::X,
        Rung::B2,
        Rung::R1,
        Rung::B1,
    ];
    let place = |rung: &Rung| ORDER.iter().position(|r| r == rung);
    rungs.min_by_key(|rung| place(rung).unwrap_or(ORDER.len()))
}

impl Plan {
    /// A plan that begins now.
    pub(crate) fn new(id: String, rung: Rung, reason: String, t_ms: i64, now_ms: i64) -> Self {
        let action = rung.rule().action;
        let task = |job: &Job| Task {
            job: *job,
            state: State::Pending,
            attempts: 0,
            at_ms: now_ms,
            detail: String::new(),
        };
        let tasks: Vec<Task> = jobs(action).iter().map(task).collect();
        Self {
            id,
            rung: rung.name().to_owned(),
            action: action_name(action).to_owned(),
            reason,
            t_ms,
            started_ms: now_ms,
            ended_ms: tasks.is_empty().then_some(now_ms),
            tasks,
            baseline: None,
        }
    }

    /// After a restart: whatever was running is begun again.
    pub(crate) fn resume(&mut self, now_ms: i64) {
        for task in &mut self.tasks {
            if task.state == State::Running {
                task.state = State::Pending;
                task.at_ms = now_ms;
            }
        }
    }

    /// The jobs to begin now; they count as running from here on.
    pub(crate) fn due(&mut self, now_ms: i64) -> Vec<Job> {
        let done: Vec<Job> = self.jobs_in(State::Done);
        let blind = self.baseline.as_ref().is_some_and(|b| b.held.is_none());
        let mut begun = Vec::new();
        for task in &mut self.tasks {
            let lost = task.state == State::Running && now_ms - task.at_ms >= LOST_MS;
            let waits = task.state == State::Pending && task.at_ms <= now_ms;
            let free = task.job.after().is_none_or(|before| done.contains(&before));
            let possible = match task.job {
                // The exposure is watched, not asked for: [`Plan::observe`].
                Job::VerifyReduced => false,
                // Half of what nobody has seen yet cannot be asked for.
                Job::Reduce => !blind,
                _ => true,
            };
            if possible && free && (lost || waits) {
                task.state = State::Running;
                task.at_ms = now_ms;
                task.attempts = task.attempts.saturating_add(1);
                begun.push(task.job);
            }
        }
        begun
    }

    /// Notes what an attempt led to.
    pub(crate) fn report(&mut self, job: Job, outcome: Outcome, now_ms: i64) {
        let Some(task) = self.tasks.iter_mut().find(|t| t.job == job) else {
            return;
        };
        if !matches!(task.state, State::Pending | State::Running) {
            return;
        }
        match outcome {
            Outcome::Done(detail) => {
                task.state = State::Done;
                task.detail = detail;
            }
            Outcome::Failed(detail) => {
                task.state = State::Failed;
                task.detail = detail;
            }
            Outcome::Later(detail) => {
                task.state = State::Pending;
                task.detail = detail;
                task.at_ms = now_ms + MAX_PAUSE_MS;
            }
            Outcome::Again(detail) => {
                task.state = State::Pending;
                task.detail = detail;
                let doublings = task.attempts.saturating_sub(1).min(5);
                task.at_ms = now_ms + (FIRST_PAUSE_MS << doublings).min(MAX_PAUSE_MS);
            }
        }
        if job == Job::VerifyNoPods && self.state_of(job) == Some(State::Done) {
            // Without a pod there is no bot that could enter, or could be asked not to.
            self.finish_unless_done(Job::StopEntries, "no pod of the bot runs");
        }
        self.close(now_ms);
    }

    /// R2: what was held when the exchange was first looked at after the trip.
    pub(crate) fn hold(&mut self, held: impl FnOnce() -> Vec<Held>) {
        if let Some(baseline) = &mut self.baseline
            && baseline.held.is_none()
        {
            baseline.held = Some(held());
        }
    }

    /// R2: looks at what the exchange shows. `positions` is `None` while nothing fresh is known.
    /// Fails at the deadline: the bot may have said yes and done nothing.
    pub(crate) fn observe(&mut self, positions: Option<&[Position]>, now_ms: i64) {
        let Some(baseline) = self.baseline.clone() else {
            return;
        };
        if self.state_of(Job::VerifyReduced) != Some(State::Pending) {
            return;
        }
        if let Some(percent) = positions.and_then(|p| remaining_percent(&baseline, p)) {
            if percent <= u64::from(baseline.keep_percent) {
                let detail = format!("exposure is at {percent} % of what it was");
                self.finish_unless_done(Job::Reduce, "seen on the exchange");
                self.report(Job::VerifyReduced, Outcome::Done(detail), now_ms);
                return;
            }
            if let Some(task) = self.tasks.iter_mut().find(|t| t.job == Job::VerifyReduced) {
                task.detail = format!("exposure is at {percent} %");
            }
        }
        if now_ms >= baseline.deadline_ms {
            let seconds = (baseline.deadline_ms - self.started_ms) / 1_000;
            let detail = format!("not reduced within {seconds} s: treated as R3");
            self.report(Job::VerifyReduced, Outcome::Failed(detail), now_ms);
            // Asking on would work against the plan that follows.
            self.abandon("to R3");
            self.close(now_ms);
        }
    }

    /// Whether R2 failed, so that R3 must follow.
    pub(crate) fn reduction_failed(&self) -> bool {
        self.state_of(Job::VerifyReduced) == Some(State::Failed)
    }

    /// Gives up what a graver plan makes pointless.
    pub(crate) fn supersede(&mut self, by: &str, now_ms: i64) {
        self.abandon(&format!("to {by}"));
        self.close(now_ms);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.ended_ms.is_none()
    }

    /// Whether every job's end state was seen.
    pub(crate) fn has_done_all(&self) -> bool {
        self.tasks.iter().all(|task| task.state == State::Done)
    }

    pub(crate) fn state_of(&self, job: Job) -> Option<State> {
        self.tasks.iter().find(|t| t.job == job).map(|t| t.state)
    }

    /// Each job with its state, in words.
    pub(crate) fn detail(&self) -> String {
        let tasks = self.tasks.iter().map(|task| {
            let state = match task.state {
                State::Pending => "waiting",
                State::Running => "running",
                State::Done => "done",
                State::Failed => "failed",
                State::Left => "left",
            };
            match task.detail.is_empty() {
                true => format!("{}: {state}", task.job.words()),
                false => format!("{}: {state} ({})", task.job.words(), task.detail),
            }
        });
        let parts: Vec<String> = std::iter::once(self.reason.clone()).chain(tasks).collect();
        parts.join("; ")
    }

    fn jobs_in(&self, state: State) -> Vec<Job> {
        self.tasks
            .iter()
            .filter(|t| t.state == state)
            .map(|t| t.job)
            .collect()
    }

    fn finish_unless_done(&mut self, job: Job, detail: &str) {
        for task in self.tasks.iter_mut().filter(|t| t.job == job) {
            if matches!(task.state, State::Pending | State::Running) {
                task.state = State::Done;
                task.detail = detail.to_owned();
            }
        }
    }

    fn abandon(&mut self, why: &str) {
        for task in &mut self.tasks {
            if matches!(task.state, State::Pending | State::Running) {
                task.state = State::Left;
                task.detail = why.to_owned();
            }
        }
    }

    fn close(&mut self, now_ms: i64) {
        let open = |t: &Task| matches!(t.state, State::Pending | State::Running);
        if self.ended_ms.is_none() && !self.tasks.iter().any(open) {
            self.ended_ms = Some(now_ms);
        }
    }
}

/// How much of the baseline's exposure is left, in per cent, rounded up; positions that were not
/// there count in full at their mark. `None`: nothing was seen yet, or a sum is out of range.
fn remaining_percent(baseline: &Baseline, positions: &[Position]) -> Option<u64> {
    let mut prices: BTreeMap<&Symbol, Decimal> = BTreeMap::new();
    let mut before = Decimal::ZERO;
    let all_held = baseline.held.as_ref()?;
    for held in all_held {
        before = before.checked_add(held.size.checked_mul(held.price)?)?;
        prices.insert(&held.symbol, held.price);
    }
    if before.is_zero() {
        return Some(0);
    }
    let mut now = Decimal::ZERO;
    for position in positions {
        let price = prices
            .get(&position.symbol)
            .copied()
            .or(position.mark_price)
            .unwrap_or(position.entry_price);
        now = now.checked_add(position.size.checked_mul(price)?)?;
    }
    let percent = now
        .checked_mul(Decimal::ONE_HUNDRED)?
        .checked_div(before)?
        .ceil();
    u64::try_from(percent).ok()
}

/// How much the bot should leave of a trade so that half of the baseline remains of its symbol.
/// Asking twice asks for nothing more: that makes the request idempotent.
pub(crate) fn to_leave(
    baseline: &Baseline,
    symbol: &Symbol,
    side: Side,
    amount: Decimal,
) -> Decimal {
    let held: Decimal = baseline
        .held
        .iter()
        .flatten()
        .filter(|h| h.symbol == *symbol && h.side == side)
        .fold(Decimal::ZERO, |sum, h| sum.saturating_add(h.size));
    let target = held / Decimal::TWO;
    amount.saturating_sub(target).max(Decimal::ZERO)
}

#[cfg(test)]
mod tests;
