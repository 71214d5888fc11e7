//! What each scenario must lead to. The report's `ok` is this table compared with what happened.

use crate::args::{Args, Scenario};
use crate::headless::Kill;
use crate::watch::Watch;
use fusebox_wire::operator::{KeyProof, Outcome, Report, Verdict};
use std::time::Duration;

/// Who kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killer {
    Nobody,
    Operator,
    Ladder,
}

/// What must happen, no less and no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    /// Rungs, in the order in which they fire; `None`: the price comes from a file, and whichever
    /// fire are right.
    pub(crate) rungs: Option<&'static [&'static str]>,
    /// Rungs whose automatic action must end well.
    pub(crate) done: &'static [&'static str],
    /// Who kills, and after which rung a person does.
    pub(crate) killer: Killer,
    pub(crate) kill_after: &'static str,
    /// How long nothing further may happen before the scenario counts as over.
    pub(crate) quiet: Duration,
}

impl Expectation {
    pub(crate) fn of(args: &Args) -> Self {
        let killer = if args.hands_off {
            Killer::Ladder
        } else {
            Killer::Operator
        };
        let quiet = Duration::from_secs(3);
        if args.candles.is_some() {
            return Self {
                rungs: None,
                done: &[],
                killer,
                kill_after: "R3",
                quiet,
            };
        }
        match args.scenario {
            Scenario::Calm => Self {
                rungs: Some(&[]),
                done: &[],
                killer: Killer::Nobody,
                kill_after: "",
                quiet: Duration::from_secs(20),
            },
            Scenario::Slide => Self {
                rungs: Some(&["R1", "R2"]),
                done: &["R1", "R2"],
                killer: Killer::Nobody,
                kill_after: "",
                quiet,
            },
            Scenario::Crash => Self {
                rungs: Some(&["R1", "R2", "R3", "R4"]),
                done: &["R1", "R2", "R3", "R4"],
                killer,
                kill_after: "R3",
                quiet,
            },
            // A foreign order stops entries at once; only a person decides that keys must die.
            Scenario::Rogue => Self {
                rungs: Some(&["X"]),
                done: &["X"],
                killer: Killer::Operator,
                kill_after: "X",
                quiet,
            },
            Scenario::Blind => Self {
                rungs: Some(&["B1", "B2", "B3"]),
                done: &["B3"],
                killer: Killer::Nobody,
                kill_after: "",
                quiet,
            },
        }
    }

    /// Whether everything that must happen has happened. A market from a file goes on to the end
    /// of the run.
    pub(crate) fn is_complete(&self, watch: &Watch) -> bool {
        let fired = |rungs: &[&str]| rungs.iter().all(|rung| watch.has_fired(rung));
        self.rungs.is_some_and(fired) && self.done.iter().all(|rung| watch.is_done(rung))
    }

    /// Who must have killed, after what was seen.
    pub(crate) fn killer(&self, watch: &Watch) -> Killer {
        let (fatal, killer) = match self.killer {
            Killer::Ladder => ("R4", Killer::Ladder),
            killer => (self.kill_after, killer),
        };
        match self.rungs.is_some() || watch.has_fired(fatal) {
            true => killer,
            false => Killer::Nobody,
        }
    }
}

/// Compares what happened with what had to; one sentence for each difference.
pub(crate) fn judge(expected: Expectation, watch: &Watch, kill: &Kill) -> Vec<String> {
    let mut failures = Vec::new();
    let fired: Vec<_> = watch.fired.iter().map(|f| f.rung.as_str()).collect();
    if let Some(rungs) = expected.rungs.filter(|rungs| fired != *rungs) {
        failures.push(format!("rungs fired: {fired:?}, expected {rungs:?}"));
    }
    for rung in expected.done.iter().filter(|rung| !watch.is_done(rung)) {
        let of_rung = watch.actions.iter().filter(|a| a.rung == **rung);
        let seen: Vec<_> = of_rung
            .map(|a| format!("{} {:?}: {}", a.action, a.state, a.detail))
            .collect();
        failures.push(format!("the action of {rung} did not end well: {seen:?}"));
    }
    let wanted = match expected.killer(watch) {
        Killer::Nobody => None,
        Killer::Operator => Some("operator"),
        Killer::Ladder => Some("ladder"),
    };
    match (wanted, kill) {
        (None, None) => {}
        (Some(by), None) => failures.push(format!("no kill by the {by}")),
        (None, Some(_)) => failures.push("there was a kill, and none was expected".to_owned()),
        (Some(_), Some(Err(e))) => failures.push(e.clone()),
        (Some(by), Some(Ok(report))) => {
            if report.trigger != by {
                failures.push(format!(
                    "the kill was started by {}, expected {by}",
                    report.trigger
                ));
            }
            failures.extend(judge_keys(report));
        }
    }
    failures
}

/// Every declared key must be dead. Of a key that somebody made behind our back nobody here has
/// the secret, so it cannot be probed: gone from the list is all there is, and the outcome must
/// then say `unknown` (K6, K14).
fn judge_keys(report: &Report) -> Vec<String> {
    let undeclared =
        |k: &&KeyProof| k.name.as_str().starts_with("undeclared") && k.proofs == ["absent"];
    let expected = match report.keys.iter().any(|k| undeclared(&k)) {
        true => Outcome::Unknown,
        false => Outcome::Done,
    };
    let alive = report.keys.iter().filter(|k| !undeclared(k));
    let alive = alive.filter(|k| !matches!(k.verdict, Verdict::Dead | Verdict::Kept));
    let mut failures: Vec<_> = alive
        .map(|k| format!("key {} is {:?}: {}", k.name, k.verdict, k.detail))
        .collect();
    if report.outcome != expected {
        failures.push(format!(
            "the kill ended as {:?}, expected {expected:?}",
            report.outcome
        ));
    }
    failures
}
