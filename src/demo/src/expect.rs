//! What each scenario must lead to. The report's `ok` is this table compared with what happened.

use crate::args::{Args, Scenario};
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
    /// Rungs, in the order in which they fire.
    pub(crate) rungs: &'static [&'static str],
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
        match args.scenario {
            Scenario::Calm => Self {
                rungs: &[],
                done: &[],
                killer: Killer::Nobody,
                kill_after: "",
                quiet: Duration::from_secs(20),
            },
            Scenario::Slide => Self {
                rungs: &["R1", "R2"],
                done: &["R1", "R2"],
                killer: Killer::Nobody,
                kill_after: "",
                quiet,
            },
            Scenario::Crash => Self {
                rungs: &["R1", "R2", "R3", "R4"],
                done: &["R1", "R2", "R3", "R4"],
                killer,
                kill_after: "R3",
                quiet,
            },
            // A foreign order stops entries at once; only a person decides that keys must die.
            Scenario::Rogue => Self {
                rungs: &["X"],
                done: &["X"],
                killer: Killer::Operator,
                kill_after: "X",
                quiet,
            },
            Scenario::Blind => Self {
                rungs: &["B1", "B2", "B3"],
                done: &["B3"],
                killer: Killer::Nobody,
                kill_after: "",
                quiet,
            },
        }
    }
}
