//! The simulated exchange's clock: the machine's wall clock plus a skew that the control API sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Cheap to clone; all clones share the skew.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    skew_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Exchange time, Unix ms.
    pub(crate) fn now_ms(&self) -> i64 {
        self.wall_ms().saturating_add(self.skew_ms())
    }

    /// The machine's own time, Unix ms.
    pub(crate) fn wall_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }

    /// How far exchange time is ahead of the machine's, ms.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.skew_ms.load(Ordering::Relaxed)
    }

    /// Moves exchange time against the machine's.
    pub(crate) fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}
