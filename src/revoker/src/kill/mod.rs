//! The kill, top to bottom as the plan does it (study 5.2, rules K1 to K8 and K13 to K16).
//!
//! ```text
//! T0  intent durable, people told
//!  ├ workload  stop entries, scale to zero, delete pods            required: no pods
//!  ├ orders    sweep each account, once more after its keys died   required: last sweep empty
//!  ├ keys      move keys at once, trade keys after their sweep,
//!  │           the cancel key last; each: delete, prove            required: all dead
//!  └ secrets   each after its key's proofs, or after 10 s          required: all gone
//! R   residual report, result row       W  watch, closed row
//! ```
//!
//! The lanes run beside each other and never undo anything; no lane's failure stops another. What
//! happened is a table of facts, and the outcome follows from the facts alone.

mod gates;
mod keys;
mod orders;
mod residual;
pub(crate) use residual::outlook;
mod secrets;
mod watch;
mod workload;

use crate::outcome::{Fact, outcome};
use crate::plan::Contain;
use crate::run::Run;
use crate::world::World;
use fusebox_notify::{Field, Level};
use fusebox_wire::operator::{Outcome, REPORT, Report, Verdict};
use gates::Gates;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) use keys::{look_at, prove_again};
pub(crate) use orders::{resting, sweep};
pub(crate) use workload::to_zero;

/// Runs the plan to its `closed` row. The intent is durable (or known not to be) before this.
pub(crate) async fn contain(world: &World, plan: &Contain, run: &Run, intent_durable: bool) {
    world.kills.fetch_add(1, Ordering::SeqCst);
    announce(plan, run);
    let gates = Gates::new(plan);
    let lanes = async {
        tokio::join!(
            workload::lane(world, plan, run),
            orders::lane(world, plan, run, &gates),
            keys::lane(world, plan, run, &gates),
            secrets::lane(world, plan, run, &gates),
        );
    };
    // Whatever hangs, the result is written at 30 s with what is known then (K15).
    let limit = Duration::from_millis(world.config.limits.result_ms);
    let in_time = tokio::time::timeout(limit, lanes).await.is_ok();
    let mut ended = judge(plan, run);
    if !in_time {
        tracing::warn!(
            run = run.id,
            "the result is written before everything is known"
        );
    }
    if !intent_durable && ended == Outcome::Done {
        ended = Outcome::Partial; // K12: nothing was durable before the first effect
    }
    let residual = residual::look(world, plan, run, intent_durable).await;
    let report = run.report(ended, residual);
    tell(world, plan, run, &report);
    watch::watch(world, plan, run, ended).await;
    world.kills.fetch_sub(1, Ordering::SeqCst);
}

/// After a crash between result and `closed`: the watch goes on (K15).
pub(crate) async fn resume_watch(world: &World, plan: &Contain, run: &Run, result: Outcome) {
    world.kills.fetch_add(1, Ordering::SeqCst);
    watch::watch(world, plan, run, result).await;
    world.kills.fetch_sub(1, Ordering::SeqCst);
}

/// Lists what is to come, so that a console shows the whole plan from the first moment.
fn announce(plan: &Contain, run: &Run) {
    for account in &plan.accounts {
        run.pending(&orders::first(account));
        if let Some(deployment) = &account.deployment {
            run.pending(&workload::step(deployment));
        }
    }
    for key in &plan.delete {
        run.pending(&keys::step(&key.name));
        if run.verdict(&key.name).is_none() {
            run.key(key.proof(Verdict::Unknown));
        }
    }
    for account in &plan.accounts {
        run.pending(&orders::last(account));
    }
    secrets::steps(plan)
        .iter()
        .for_each(|step| run.pending(step));
    for key in &plan.keep {
        run.key(key.proof(Verdict::Kept));
    }
}

/// The outcome from the observed end states (K14). Alerts are not among them.
fn judge(plan: &Contain, run: &Run) -> Outcome {
    let steps = run.steps();
    let step = |name: String| {
        let found = steps.iter().find(|s| s.step == name);
        found.map_or(Fact::Unobserved, |s| Fact::from(s.state))
    };
    // All keys of the run: those of the plan, and whatever else was found to be able to write.
    let keys = run.keys();
    let keys = keys
        .iter()
        .filter(|k| k.verdict != Verdict::Kept)
        .map(|k| Fact::from(k.verdict));
    let sweeps = plan.accounts.iter().map(|a| step(orders::last(a)));
    let workloads = plan
        .accounts
        .iter()
        .filter_map(|a| a.deployment.as_deref())
        .map(|d| step(workload::step(d)));
    let secrets = secrets::steps(plan);
    let secrets = secrets.into_iter().map(step);
    let unresolved = plan.unresolved.iter().map(|_| Fact::Unobserved);
    let facts: Vec<Fact> = keys
        .chain(unresolved)
        .chain(sweeps)
        .chain(workloads)
        .chain(secrets)
        .collect();
    outcome(true, facts)
}

/// The signed result goes to the record and the consoles, its summary to people.
fn tell(world: &World, plan: &Contain, run: &Run, report: &Report) {
    let signed = match world.sign(REPORT, report) {
        Ok(signed) => signed,
        Err(error) => return tracing::error!(%error, "the report could not be signed"),
    };
    run.finish(report, signed);
    let dead = plan
        .delete
        .iter()
        .filter(|k| run.verdict(&k.name) == Some(Verdict::Dead))
        .count();
    let time = report
        .touch_to_dead_ms
        .map_or_else(|| "not all dead".to_owned(), |ms| format!("{ms} ms"));
    let level = match report.outcome {
        Outcome::Done => Level::Warn,
        Outcome::Partial | Outcome::Unknown | Outcome::Refused => Level::Critical,
    };
    world.pager.page(
        level,
        "KILL RESULT",
        run.plan.subject(),
        format!("{dead}/{} keys verified dead, {time}", plan.delete.len()),
        vec![
            Field::Environment(plan.head.environment.to_string()),
            Field::Outcome(format!("{:?}, run {}", report.outcome, run.id)),
            Field::Next("look at what it left open: fusebox status".to_owned()),
        ],
    );
}
