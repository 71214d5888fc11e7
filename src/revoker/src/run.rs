//! One run as it goes: its steps, its keys, who watches. The one place that writes them down.
//!
//! Every change goes three ways: into the intent log (durable, authoritative), to the consoles
//! that watch, and to the outbox for the journal. Times are milliseconds since the authorization.

use crate::intents::{Entry, Intents};
use crate::outbox::Outbox;
use crate::plan::Plan;
use fusebox_wire::Signed;
use fusebox_wire::operator::{
    KeyProof, Outcome, Reply, Report, Residual, RunSummary, Step, StepState, Verdict,
};
use serde_json::json;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Changes that a slow console may lag behind before it is told to look again.
const WATCHERS_LAG: usize = 1_024;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct End {
    pub state: StepState,
    pub detail: String,
}

impl End {
    pub(crate) fn done(detail: impl Into<String>) -> Self {
        Self::of(StepState::Done, detail)
    }

    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::of(StepState::Refused, detail)
    }

    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        Self::of(StepState::Unknown, detail)
    }

    pub(crate) fn skipped(detail: impl Into<String>) -> Self {
        Self::of(StepState::Skipped, detail)
    }

    fn of(state: StepState, detail: impl Into<String>) -> Self {
        Self {
            state,
            detail: detail.into(),
        }
    }
}

pub(crate) struct Run {
    pub id: String,
    pub action: &'static str,
    pub trigger: String,
    pub plan: Plan,
    pub touch_id: Option<String>,
    pub started_ms: i64,
    began: Instant,
    state: Mutex<State>,
    updates: broadcast::Sender<Reply>,
    intents: Intents,
    outbox: Outbox,
}

#[derive(Default)]
struct State {
    steps: Vec<Step>,
    keys: Vec<KeyProof>,
    outcome: Option<Outcome>,
    report: Option<Signed>,
    certificate: Option<Signed>,
}

/// What a run is made of, at its begin or from the record.
pub(crate) struct Origin {
    pub id: String,
    pub trigger: String,
    pub plan: Plan,
    pub touch_id: Option<String>,
    pub started_ms: i64,
    /// How long ago the authorization was.
    pub age: Duration,
}

impl Run {
    pub(crate) fn new(origin: Origin, intents: Intents, outbox: Outbox) -> Self {
        let now = Instant::now();
        Self {
            id: origin.id,
            action: origin.plan.word(),
            trigger: origin.trigger,
            plan: origin.plan,
            touch_id: origin.touch_id,
            started_ms: origin.started_ms,
            began: now.checked_sub(origin.age).unwrap_or(now),
            state: Mutex::default(),
            updates: broadcast::channel(WATCHERS_LAG).0,
            intents,
            outbox,
        }
    }

    /// Takes back what the record knows of a run that was interrupted or finished.
    pub(crate) fn restore(
        &self,
        steps: Vec<Step>,
        keys: Vec<KeyProof>,
        report: Option<(Outcome, Signed)>,
    ) {
        let mut state = self.state();
        state.steps = steps;
        state.keys = keys;
        if let Some((outcome, report)) = report {
            state.outcome = Some(outcome);
            state.report = Some(report);
        }
    }

    /// Milliseconds since the authorization.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.elapsed_ms()).unwrap_or(i64::MAX);
        self.started_ms.saturating_add(elapsed)
    }

    /// Does one step: written down before it begins and after it ended.
    pub(crate) async fn step(&self, name: &str, work: impl Future<Output = End>) -> StepState {
        self.sent(name);
        let end = work.await;
        self.ended(name, end)
    }

    pub(crate) fn pending(&self, name: &str) {
        self.change(name, |step, _| step.state = StepState::Pending);
    }

    pub(crate) fn sent(&self, name: &str) {
        self.change(name, |step, now| {
            step.state = StepState::Sent;
            step.started_ms.get_or_insert(now);
            step.ended_ms = None;
        });
    }

    pub(crate) fn ended(&self, name: &str, end: End) -> StepState {
        let state = end.state;
        tracing::info!(
            run = self.id,
            step = name,
            ?state,
            detail = end.detail,
            t_ms = self.elapsed_ms(),
            "step"
        );
        self.change(name, |step, now| {
            step.state = end.state;
            step.started_ms.get_or_insert(now);
            step.ended_ms = Some(now);
            step.detail = end.detail;
        });
        state
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Step, u64)) {
        let now = self.elapsed_ms();
        let step = {
            let mut state = self.state();
            let at = state.steps.iter().position(|s| s.step == name);
            let mut step = match at {
                Some(at) => state.steps.remove(at),
                None => Step {
                    step: name.to_owned(),
                    state: StepState::Pending,
                    started_ms: None,
                    ended_ms: None,
                    detail: String::new(),
                },
            };
            change(&mut step, now);
            let at = at.unwrap_or(state.steps.len());
            state.steps.insert(at, step.clone());
            step
        };
        let run = self.id.clone();
        self.write(Entry::Step {
            run,
            step: step.clone(),
        });
        let _ = self.updates.send(Reply::Step(step));
    }

    /// Says what is known of a key now.
    pub(crate) fn key(&self, mut proof: KeyProof) {
        let run = self.id.clone();
        {
            let mut state = self.state();
            let old = state.keys.iter().position(|k| k.name == proof.name);
            if proof.verdict == Verdict::Dead {
                proof.proven_ms.get_or_insert(self.elapsed_ms());
            }
            match old.and_then(|at| state.keys.get_mut(at)) {
                // A second look that finds the same does not move the proof's time.
                Some(known) if known.verdict == Verdict::Dead && proof.verdict == Verdict::Dead => {
                    return;
                }
                Some(known) => *known = proof.clone(),
                None => state.keys.push(proof.clone()),
            }
        }
        self.write(Entry::Key {
            run,
            key: proof.clone(),
        });
        let _ = self.updates.send(Reply::Key(proof));
    }

    /// Writes a row of this run.
    pub(crate) fn write(&self, entry: Entry) {
        let now_ms = self.now_ms();
        self.outbox.plan_row(now_ms, self.action, &entry);
        self.intents.note(now_ms, entry);
    }

    /// Writes a row that must be durable before what it announces.
    pub(crate) async fn write_durably(&self, entry: Entry) -> bool {
        let now_ms = self.now_ms();
        self.outbox.plan_row(now_ms, self.action, &entry);
        self.intents
            .durable(now_ms, entry, Duration::from_secs(5))
            .await
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    pub(crate) fn keys(&self) -> Vec<KeyProof> {
        self.state().keys.clone()
    }

    pub(crate) fn verdict(&self, key: &fusebox_domain::KeyName) -> Option<Verdict> {
        let state = self.state();
        state
            .keys
            .iter()
            .find(|k| k.name == *key)
            .map(|k| k.verdict)
    }

    /// Puts the report together: the `result` row (K15).
    pub(crate) fn report(&self, outcome: Outcome, residual: Residual) -> Report {
        let (steps, keys) = (self.steps(), self.keys());
        fit(Report {
            id: self.id.clone(),
            action: self.action.to_owned(),
            trigger: self.trigger.clone(),
            outcome,
            touch_to_dead_ms: match self.plan {
                Plan::Contain(_) => touch_to_dead_ms(&keys),
                Plan::Rotate(_) | Plan::Resume(_) => None,
            },
            steps,
            keys,
            residual,
            plan_hash: self.plan.hash().to_string(),
            started_ms: self.started_ms,
        })
    }

    pub(crate) fn finish(&self, report: &Report, signed: Signed) {
        self.write(Entry::Result {
            run: self.id.clone(),
            report: Box::new(report.clone()),
        });
        let mut state = self.state();
        state.outcome = Some(report.outcome);
        state.report = Some(signed.clone());
        drop(state);
        let _ = self.updates.send(Reply::Result { report: signed });
    }

    pub(crate) fn certify(&self, certificate: Signed) {
        self.state().certificate = Some(certificate.clone());
        let _ = self.updates.send(Reply::Certificate { certificate });
    }

    pub(crate) fn close(&self, outcome: Outcome, detail: String) {
        self.state().outcome = Some(outcome);
        self.write(Entry::Closed {
            run: self.id.clone(),
            outcome,
            detail,
        });
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome
    }

    /// Everything so far, and what comes: for a console that attaches. A result ends it.
    pub(crate) fn watch(&self) -> (Vec<Reply>, broadcast::Receiver<Reply>) {
        // Subscribed first: a change may then come twice, but never be missed.
        let updates = self.updates.subscribe();
        let state = self.state();
        let mut past = vec![Reply::Started {
            run: self.id.clone(),
        }];
        past.extend(state.steps.iter().cloned().map(Reply::Step));
        past.extend(state.keys.iter().cloned().map(Reply::Key));
        past.extend(
            state
                .certificate
                .iter()
                .cloned()
                .map(|certificate| Reply::Certificate { certificate }),
        );
        past.extend(
            state
                .report
                .iter()
                .cloned()
                .map(|report| Reply::Result { report }),
        );
        (past, updates)
    }

    pub(crate) fn summary(&self) -> RunSummary {
        RunSummary {
            run: self.id.clone(),
            action: self.action.to_owned(),
            trigger: self.trigger.clone(),
            started_ms: self.started_ms,
            outcome: self.outcome(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the authorization to the last proof of the last trade or move key; `None` unless all of
/// them are dead (K15).
fn touch_to_dead_ms(keys: &[KeyProof]) -> Option<u64> {
    let times: Option<Vec<u64>> = keys
        .iter()
        .filter(|k| k.role.is_revocable() && k.verdict != Verdict::Kept)
        .map(|k| k.proven_ms.filter(|_| k.verdict == Verdict::Dead))
        .collect();
    times?.into_iter().max()
}

/// Longest report, bytes of JSON: it must fit a row of the log, and a frame once more.
const REPORT_MAX: usize = 40 * 1024;

/// A report of very many keys gives up words, never facts: first the details of what went well,
/// then all of them; every one is in the record anyway.
fn fit(mut report: Report) -> Report {
    let is_short = |r: &Report| serde_json::to_vec(r).is_ok_and(|json| json.len() <= REPORT_MAX);
    if !is_short(&report) {
        let well = report
            .steps
            .iter_mut()
            .filter(|s| s.state == StepState::Done);
        well.for_each(|s| s.detail.clear());
        let dead = report
            .keys
            .iter_mut()
            .filter(|k| k.verdict == Verdict::Dead);
        dead.for_each(|k| k.detail.clear());
    }
    if !is_short(&report) {
        report.steps.iter_mut().for_each(|s| s.detail.clear());
        report.keys.iter_mut().for_each(|k| k.detail.clear());
    }
    report
}

/// The body of a plan's row in the journal: the same facts under the journal's names.
pub(crate) fn journal_body(action: &str, entry: &Entry) -> serde_json::Value {
    let body = |run: &str, more: serde_json::Value| {
        let mut body = json!({"plan_id": run, "event": entry.word(), "action": action});
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    };
    match entry {
        Entry::Intent(i) => body(
            &i.run,
            json!({
                "plan": serde_json::from_str::<serde_json::Value>(&i.plan).unwrap_or_default(),
                "assertion": i.touch.as_ref().map(|t| t.id.clone()),
                "detail": format!("by {}: {}", i.trigger, i.basis), "state": "authorised",
            }),
        ),
        Entry::Step { run, step } => body(
            run,
            json!({"step": step.step, "state": step.state, "detail": step.detail,
                "started_ms": step.started_ms, "ended_ms": step.ended_ms}),
        ),
        Entry::Key { run, key } => body(
            run,
            json!({"step": format!("prove {}", key.name), "state": key.verdict,
                "detail": key.detail, "proofs": key.proofs}),
        ),
        Entry::Made { run, key, api_key } | Entry::Current { run, key, api_key } => body(
            run,
            json!({"step": format!("{} {key}", entry.word()), "state": "done",
                "detail": api_key.short()}),
        ),
        Entry::Result { run, report } => body(
            run,
            json!({"state": report.outcome, "detail": in_a_line(report),
                "report": report}),
        ),
        Entry::Closed {
            run,
            outcome,
            detail,
        } => body(run, json!({"state": outcome, "detail": detail})),
        Entry::Heard { account, sequence } => {
            json!({"plan_id": "", "event": "heard", "action": action,
                "detail": format!("request {sequence} of {account}")})
        }
    }
}

/// What a result comes to, in words.
fn in_a_line(report: &Report) -> String {
    match (report.action.as_str(), report.touch_to_dead_ms) {
        (_, Some(ms)) => format!("all keys dead {ms} ms after the authorization"),
        ("kill", None) => "not every key is proven dead".to_owned(),
        (action, None) => format!("{action} ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_domain::KeyRole;

    #[test]
    fn a_report_of_very_many_keys_gives_up_words_and_no_facts() {
        let step = |n: usize| Step {
            step: format!("delete key-{n}"),
            state: StepState::Done,
            started_ms: Some(1),
            ended_ms: Some(2),
            detail: "x".repeat(200),
        };
        let report = Report {
            id: "a".into(),
            action: "kill".into(),
            trigger: "operator".into(),
            outcome: Outcome::Done,
            touch_to_dead_ms: None,
            steps: (0..200).map(step).collect(),
            keys: Vec::new(),
            residual: Residual::default(),
            plan_hash: String::new(),
            started_ms: 0,
        };
        let short = fit(report);
        assert_eq!(short.steps.len(), 200);
        assert!(serde_json::to_vec(&short).unwrap().len() <= REPORT_MAX);
    }

    #[test]
    fn touch_to_dead_is_the_last_proof_and_null_unless_all_are_dead() {
        let key = |role, verdict, proven_ms| KeyProof {
            name: "k".into(),
            role,
            short: String::new(),
            verdict,
            proofs: Vec::new(),
            detail: String::new(),
            proven_ms,
        };
        let dead = |ms| key(KeyRole::Trade, Verdict::Dead, Some(ms));
        let kept = key(KeyRole::Read, Verdict::Kept, None);
        assert_eq!(
            touch_to_dead_ms(&[dead(300), dead(900), kept.clone()]),
            Some(900)
        );
        let alive = key(KeyRole::Move, Verdict::Alive, None);
        assert_eq!(touch_to_dead_ms(&[dead(300), alive, kept]), None);
    }
}
