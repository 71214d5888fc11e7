//! The runs: begun on an authorization, found again by id or touch, resumed from the record.

use crate::authorization::Authorization;
use crate::intents::{DURABLE_WITHIN, Entry, Intent, Past, PastRun};
use crate::plan::{Contain, Plan};
use crate::run::{Origin, Run, journal_body};
use crate::world::{World, now_ms};
use crate::{kill, planner, resume, rotate};
use fusebox_notify::{Field, Level};
use fusebox_touch::PlanHash;
use fusebox_wire::operator::{Outcome, REPORT, Refused, Residual, RunSummary, Verdict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Runs that can be attached to and are shown.
const KEPT: usize = 20;

#[derive(Default)]
pub(crate) struct Runs {
    list: Mutex<Vec<Arc<Run>>>,
}

impl Runs {
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Run>> {
        self.list().iter().find(|r| r.id == id).cloned()
    }

    /// K10: the run that this very assertion started.
    pub(crate) fn of_touch(&self, touch_id: &str) -> Option<Arc<Run>> {
        let started = |r: &&Arc<Run>| r.touch_id.as_deref() == Some(touch_id);
        self.list().iter().find(started).cloned()
    }

    /// A kill that still runs and covers the same accounts: a new wish attaches to it.
    pub(crate) fn live_kill(&self, plan: &Contain) -> Option<Arc<Run>> {
        let list = self.list();
        let live = list.iter().rev().find(|r| {
            r.outcome().is_none() && matches!(&r.plan, Plan::Contain(c) if covers(c, plan))
        });
        live.cloned()
    }

    /// The last kill that left every key of the plan dead, whatever became of the rest.
    pub(crate) fn deadly_kill(&self, plan: &Contain) -> Option<Arc<Run>> {
        let list = self.list();
        let done = list.iter().rev().find(|r| {
            r.outcome().is_some()
                && matches!(&r.plan, Plan::Contain(c) if covers(c, plan))
                && plan
                    .delete
                    .iter()
                    .all(|k| r.verdict(&k.name) == Some(Verdict::Dead))
        });
        done.cloned()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.list().iter().any(|r| r.outcome().is_none())
    }

    pub(crate) fn summaries(&self) -> Vec<RunSummary> {
        self.list().iter().map(|r| r.summary()).collect()
    }

    fn add(&self, run: &Arc<Run>) {
        let mut list = self.list();
        list.push(run.clone());
        if list.len() > KEPT {
            list.remove(0);
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether every key that `small` deletes is deleted by `large`.
fn covers(large: &Contain, small: &Contain) -> bool {
    let deletes = |key: &fusebox_domain::ApiKeyId| large.delete.iter().any(|k| k.api_key == *key);
    small.delete.iter().all(|k| deletes(&k.api_key)) && (large.key_theft || !small.key_theft)
}

/// Starts an authorised plan: intent first, then the effects.
///
/// # Errors
/// [`Refused`] when something loosening could not be made durable first (K12).
pub(crate) async fn start(
    world: &Arc<World>,
    runs: &Arc<Runs>,
    authorization: Authorization,
    plan: Plan,
) -> Result<Arc<Run>, Refused> {
    if let Plan::Contain(contain) = &plan
        && let Some(live) = runs.live_kill(contain)
    {
        return Ok(live);
    }
    let touched = authorization.touched().cloned();
    let salt = match &touched {
        Some(touched) => touched.id.clone(),
        None => crate::random::id().map_err(|e| planner::refused("randomness", e))?,
    };
    let hash = PlanHash::of(format!("{}{salt}", plan.hash()).as_bytes()).to_string();
    let started_ms = now_ms();
    let origin = Origin {
        id: hash.chars().take(16).collect(),
        trigger: authorization.trigger().to_owned(),
        touch_id: touched.as_ref().map(|t| t.id.clone()),
        started_ms,
        age: Duration::ZERO,
        plan,
    };
    let intent = Entry::Intent(Box::new(Intent {
        run: origin.id.clone(),
        trigger: origin.trigger.clone(),
        plan: origin.plan.canonical(),
        started_ms,
        touch: touched,
        basis: authorization.words(),
    }));
    let run = Arc::new(Run::new(
        origin,
        world.intents.clone(),
        world.outbox.clone(),
    ));
    world.outbox.plan_row(started_ms, run.action, &intent);
    let durable = world
        .intents
        .durable(started_ms, intent, DURABLE_WITHIN)
        .await;
    if !durable && run.plan.action().needs_verification() {
        let message = "the intent could not be written durably within 100 ms; nothing was done; check the disk and try again";
        return Err(planner::refused("not_durable", message));
    }
    runs.add(&run);
    announce(world, &run);
    spawn(world, &run, durable);
    Ok(run)
}

/// The fingerprint goes out on a second way, so that a lying console is seen (threat T06).
fn announce(world: &World, run: &Run) {
    let words = run.plan.hash().fingerprint();
    let what = run.plan.title();
    tracing::warn!(run = run.id, fingerprint = %words, trigger = run.trigger, "{what}");
    let started = format!("started by {} on {}", run.trigger, world.config.host_id);
    world.pager.page(
        Level::Critical,
        &run.action.to_uppercase(),
        run.plan.subject(),
        started,
        vec![
            Field::Environment(world.config.environment.to_string()),
            Field::Words(run.plan.words()),
            Field::Begun(format!("run {}", run.id)),
        ],
    );
}

fn spawn(world: &Arc<World>, run: &Arc<Run>, durable: bool) {
    let (world, run) = (world.clone(), run.clone());
    tokio::spawn(async move {
        match &run.plan {
            Plan::Contain(plan) => kill::contain(&world, plan, &run, durable).await,
            Plan::Rotate(plan) => rotate::rotate(&world, plan, &run).await,
            Plan::Resume(plan) => resume::certify(&world, plan, &run).await,
        }
    });
}

/// Takes the record back: finished runs to be looked at, unfinished ones to be finished (K9).
pub(crate) fn restore(world: &Arc<World>, runs: &Arc<Runs>, past: Past) {
    let skip = past.runs.len().saturating_sub(KEPT);
    for old in past.runs.into_iter().skip(skip) {
        restore_one(world, runs, old);
    }
}

fn restore_one(world: &Arc<World>, runs: &Arc<Runs>, old: PastRun) {
    let Ok(plan) = serde_json::from_str::<Plan>(&old.intent.plan) else {
        return tracing::error!(
            run = old.intent.run,
            "a recorded plan is not understood; it is not resumed"
        );
    };
    let age_ms = u64::try_from(now_ms().saturating_sub(old.intent.started_ms)).ok();
    let origin = Origin {
        id: old.intent.run.clone(),
        trigger: old.intent.trigger.clone(),
        touch_id: old.intent.touch.as_ref().map(|t| t.id.clone()),
        started_ms: old.intent.started_ms,
        age: Duration::from_millis(age_ms.unwrap_or(0)),
        plan,
    };
    let run = Arc::new(Run::new(
        origin,
        world.intents.clone(),
        world.outbox.clone(),
    ));
    let report = old.report.as_ref().and_then(|report| {
        let signed = world.sign(REPORT, report).ok()?;
        Some((report.outcome, signed))
    });
    let finished = report.is_some();
    if let Plan::Contain(plan) = &run.plan {
        let dead = |k: &&crate::plan::PlannedKey| {
            let proof = old.keys.iter().find(|p| p.name == k.name);
            proof.is_some_and(|p| p.verdict == Verdict::Dead)
        };
        let buried = plan.delete.iter().filter(dead);
        buried.for_each(|k| {
            world.registry.bury(&k.api_key);
            world.registry.vacate(&k.name);
        });
    }
    run.restore(old.steps, old.keys, report);
    runs.add(&run);
    if old.closed {
        return;
    }
    // A clock that was set back counts as expired (K9).
    let in_time = age_ms.is_some_and(|age| age <= world.config.limits.resume_ms);
    // The intent again, under another name: its first copy may have died on the way to the outbox.
    let intent = Entry::Intent(Box::new(old.intent));
    let mut body = journal_body(run.action, &intent);
    if let Some(body) = body.as_object_mut() {
        body.insert("event".to_owned(), "resumed".into());
    }
    world.outbox.row(now_ms(), "plan", body);
    match (&run.plan, in_time) {
        (Plan::Contain(_), true) | (Plan::Rotate(_), true) => {
            tracing::warn!(run = run.id, finished, "resuming an interrupted run");
            world.pager.page(
                Level::Critical,
                &run.action.to_uppercase(),
                run.plan.subject(),
                "resumed after a restart",
                vec![Field::Begun(format!("run {}", run.id))],
            );
            let made = old.made;
            resume_run(world, &run, made);
        }
        (Plan::Contain(_), false) => {
            // Deleting the frozen key ids stays authorised until it is done (K9); nothing else.
            tracing::warn!(
                run = run.id,
                "an old kill is finished: only its keys are deleted"
            );
            resume_run(world, &run, Vec::new());
        }
        (Plan::Rotate(_) | Plan::Resume(_), _) => {
            if !finished {
                give_up(world, &run);
            }
            let detail = "interrupted, and its authority is over: ask again with a new touch";
            run.close(run.outcome().unwrap_or(Outcome::Unknown), detail.to_owned());
        }
    }
}

/// A run that cannot be resumed still has a result, so that nobody waits for one.
fn give_up(world: &World, run: &Run) {
    let mut residual = Residual::default();
    residual
        .notes
        .push("the revoker was interrupted and its authority is over".to_owned());
    let report = run.report(Outcome::Unknown, residual);
    match world.sign(REPORT, &report) {
        Ok(signed) => run.finish(&report, signed),
        Err(error) => tracing::error!(%error, "the report could not be signed"),
    }
}

fn resume_run(
    world: &Arc<World>,
    run: &Arc<Run>,
    made: Vec<(fusebox_domain::KeyName, fusebox_domain::ApiKeyId)>,
) {
    let (world, run) = (world.clone(), run.clone());
    let old = run.elapsed_ms() > world.config.limits.resume_ms;
    tokio::spawn(async move {
        match &run.plan {
            Plan::Contain(plan) if run.outcome().is_some() => {
                let result = run.outcome().unwrap_or(Outcome::Unknown);
                kill::resume_watch(&world, plan, &run, result).await;
            }
            Plan::Contain(plan) if old => {
                let mut keys_only = plan.clone();
                keys_only
                    .accounts
                    .iter_mut()
                    .for_each(|a| a.deployment = None);
                (keys_only.secret, keys_only.external_secret) = (None, None);
                keys_only.lease_prefixes.clear();
                keys_only
                    .delete
                    .iter_mut()
                    .for_each(|k| k.vault_path = None);
                kill::contain(&world, &keys_only, &run, true).await;
            }
            Plan::Contain(plan) => kill::contain(&world, plan, &run, true).await,
            Plan::Rotate(plan) => rotate::resume(&world, plan, &run, &made).await,
            Plan::Resume(_) => {}
        }
    });
}
