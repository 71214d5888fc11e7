//! What the exchange's answers prove about a key (study 5.4, K5 to K7). Pure.
//!
//! Nothing here believes a deletion: a key is dead when a complete listing, begun after the last
//! attempt to delete it, does not have it, **and** its own signed probe, begun after the same, is
//! refused as unknown, **and** that probe is known to have worked before.

use fusebox_wire::operator::Verdict;

/// What a signed `query-api` of the key itself answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Not asked, or asked too early.
    NotAsked,
    /// `retCode` of an answer.
    Code(i64),
    /// No answer, or none that was understood.
    Silent(String),
}

/// What a listing of the account's keys said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Not asked, or asked too early.
    NotAsked,
    /// Complete, and the key is not in it.
    Absent,
    /// The key stands in it.
    Present,
    /// Not complete, or no answer.
    Silent(String),
}

/// Everything known about one key after its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub listing: Listing,
    pub probe: Probe,
    /// The probe answered 0 for this key on this host within 24 h before T0 (K5).
    pub positive_control: bool,
}

/// What one answer to a probe means (table of study 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Refused,
    Works,
    Nothing,
}

fn meaning(probe: &Probe) -> Meaning {
    match probe {
        // Unknown key, or expired.
        Probe::Code(10003 | 33004 | -2015) => Meaning::Refused,
        // 0 works; 10004 wrong signature, 10005 scope, 10010 address: the key exists (K6).
        Probe::Code(0 | 10004 | 10005 | 10010) => Meaning::Works,
        Probe::Code(_) | Probe::Silent(_) | Probe::NotAsked => Meaning::Nothing,
    }
}

impl Evidence {
    pub(crate) fn none(positive_control: bool) -> Self {
        Self {
            listing: Listing::NotAsked,
            probe: Probe::NotAsked,
            positive_control,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match (&self.listing, meaning(&self.probe)) {
            (Listing::Present, _) | (_, Meaning::Works) => Verdict::Alive,
            (Listing::Absent, Meaning::Refused) if self.positive_control => Verdict::Dead,
            _ => Verdict::Unknown,
        }
    }

    /// The proofs that hold, in the words of the report.
    pub(crate) fn proofs(&self) -> Vec<String> {
        let mut proofs = Vec::new();
        if self.listing == Listing::Absent {
            proofs.push("absent".to_owned());
        }
        if meaning(&self.probe) == Meaning::Refused {
            proofs.push("refused".to_owned());
        }
        proofs
    }

    /// Whether asking again could change the verdict to the better.
    pub(crate) fn is_complete(&self) -> bool {
        self.listing == Listing::Absent && meaning(&self.probe) == Meaning::Refused
    }

    /// The answers, in words.
    pub(crate) fn words(&self) -> String {
        let listing = match &self.listing {
            Listing::NotAsked => "not listed yet".to_owned(),
            Listing::Absent => "absent from the complete listing".to_owned(),
            Listing::Present => "still in the listing".to_owned(),
            Listing::Silent(why) => format!("no complete listing ({why})"),
        };
        let probe = match &self.probe {
            Probe::NotAsked => "not probed yet".to_owned(),
            Probe::Code(code) => format!("its own probe answered retCode {code}"),
            Probe::Silent(why) => format!("its own probe got no answer ({why})"),
        };
        let control = match self.positive_control {
            true => "",
            false => "; no positive control within 24 h before, so a refusal proves nothing",
        };
        format!("{listing}; {probe}{control}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Alive, Dead, Unknown};

    #[test]
    fn dead_needs_both_proofs_and_a_positive_control() {
        let silent = || Listing::Silent("timeout".into());
        let table = [
            (Listing::Absent, Probe::Code(10003), true, Dead),
            (Listing::Absent, Probe::Code(33004), true, Dead),
            (Listing::Absent, Probe::Code(10003), false, Unknown),
            (Listing::Absent, Probe::NotAsked, true, Unknown),
            (Listing::NotAsked, Probe::Code(10003), true, Unknown),
            (silent(), Probe::Code(10003), true, Unknown),
            (
                Listing::Absent,
                Probe::Silent("timeout".into()),
                true,
                Unknown,
            ),
            (Listing::Absent, Probe::Code(10002), true, Unknown),
            (Listing::Absent, Probe::Code(10006), true, Unknown),
            (Listing::Absent, Probe::Code(10016), true, Unknown),
            (Listing::Present, Probe::Code(10003), true, Alive),
            (Listing::Present, Probe::NotAsked, false, Alive),
            (Listing::Absent, Probe::Code(0), true, Alive),
            (Listing::Absent, Probe::Code(10005), true, Alive),
            (Listing::Absent, Probe::Code(10004), true, Alive),
            (Listing::Absent, Probe::Code(10010), true, Alive),
        ];
        for (listing, probe, positive_control, verdict) in table {
            let evidence = Evidence {
                listing,
                probe,
                positive_control,
            };
            assert_eq!(evidence.verdict(), verdict, "{evidence:?}");
        }
    }
}
