//! How old a reading may be before it stops being a fact. Computed when it is asked for, never
//! stored: a stored "fresh" is wrong a moment later.

use serde::{Deserialize, Serialize};

/// The age limits of one feed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From this age on the reading is ageing: shown, but marked.
    pub aging_ms: u64,
    /// From this age on the reading is stale: dimmed, prefixed, unfit for a decision.
    pub stale_ms: u64,
}

/// What the age of a reading means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fresh {
    /// Young enough to act on.
    Live {
        /// Age in milliseconds.
        age_ms: u64,
    },
    /// Still shown as it is, with a mark.
    Aging {
        /// Age in milliseconds.
        age_ms: u64,
    },
    /// Not a fact any more.
    Stale {
        /// Age in milliseconds.
        age_ms: u64,
    },
    /// Nothing was ever received.
    Never,
}

impl Limits {
    /// Judges an age; `None` means that nothing was ever received.
    pub fn judge(self, age_ms: Option<u64>) -> Fresh {
        match age_ms {
            None => Fresh::Never,
            Some(age_ms) if age_ms >= self.stale_ms => Fresh::Stale { age_ms },
            Some(age_ms) if age_ms >= self.aging_ms => Fresh::Aging { age_ms },
            Some(age_ms) => Fresh::Live { age_ms },
        }
    }
}

impl Fresh {
    /// Whether a decision may rest on the reading.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Live { .. } | Self::Aging { .. })
    }
}
