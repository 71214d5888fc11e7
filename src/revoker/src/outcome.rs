//! How a run ended (K14). Pure.

use fusebox_wire::operator::{Outcome, StepState, Verdict};

/// One required end state: a key dead, an account swept, a workload at zero, a secret gone.
/// Alerts are never required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Observed as required.
    Holds,
    /// Observed otherwise.
    Fails,
    /// Not observed.
    Unobserved,
}

impl From<Verdict> for Fact {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Dead => Self::Holds,
            Verdict::Alive => Self::Fails,
            Verdict::Unknown | Verdict::Kept => Self::Unobserved,
        }
    }
}

impl From<StepState> for Fact {
    fn from(state: StepState) -> Self {
        match state {
            StepState::Done | StepState::Skipped => Self::Holds,
            StepState::Refused => Self::Fails,
            StepState::Pending | StepState::Sent | StepState::Unknown => Self::Unobserved,
        }
    }
}

/// The first that matches: refused, partial, unknown, done.
pub(crate) fn outcome(attempted: bool, required: impl IntoIterator<Item = Fact>) -> Outcome {
    if !attempted {
        return Outcome::Refused;
    }
    let worst = required
        .into_iter()
        .fold(Fact::Holds, |worst, fact| match (worst, fact) {
            (Fact::Fails, _) | (_, Fact::Fails) => Fact::Fails,
            (Fact::Unobserved, _) | (_, Fact::Unobserved) => Fact::Unobserved,
            (Fact::Holds, Fact::Holds) => Fact::Holds,
        });
    match worst {
        Fact::Fails => Outcome::Partial,
        Fact::Unobserved => Outcome::Unknown,
        Fact::Holds => Outcome::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fact::{Fails, Holds, Unobserved};

    #[test]
    fn the_first_match_decides() {
        let table: [(&str, bool, &[Fact], Outcome); 6] = [
            ("nothing attempted", false, &[Fails], Outcome::Refused),
            ("all observed", true, &[Holds, Holds], Outcome::Done),
            (
                "8 dead, 1 timeout",
                true,
                &[Holds, Unobserved],
                Outcome::Unknown,
            ),
            ("one alive", true, &[Holds, Fails], Outcome::Partial),
            (
                "alive beats unknown",
                true,
                &[Unobserved, Fails, Unobserved],
                Outcome::Partial,
            ),
            ("nothing required", true, &[], Outcome::Done),
        ];
        for (name, attempted, facts, expected) in table {
            assert_eq!(
                outcome(attempted, facts.iter().copied()),
                expected,
                "{name}"
            );
        }
    }
}
