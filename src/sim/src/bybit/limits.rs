//! Rate limits: so many calls per endpoint and uid in any one second.
//!
//! `Assumption`: a refused call does not count against the limit.

use std::collections::{HashMap, VecDeque};

const WINDOW_MS: i64 = 1_000;

/// What the `X-Bapi-Limit` headers say of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    /// Calls left in this window.
    pub(crate) left: u32,
    /// When the oldest call of the window leaves it (or now, while calls are left), Unix ms.
    pub(crate) reset_ms: i64,
    pub(crate) granted: bool,
}

/// Calls of the last second, by uid and endpoint.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    calls: HashMap<(u64, &'static str), VecDeque<i64>>,
}

impl Limits {
    /// Counts one call.
    pub(crate) fn take(
        &mut self,
        uid: u64,
        path: &'static str,
        limit: u32,
        now_ms: i64,
    ) -> Allowance {
        let calls = self.calls.entry((uid, path)).or_default();
        // A clock that was set back leaves calls in the future: forget them.
        while calls
            .front()
            .is_some_and(|at| now_ms - at >= WINDOW_MS || *at > now_ms)
        {
            calls.pop_front();
        }
        let used = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let granted = used < limit;
        if granted {
            calls.push_back(now_ms);
        }
        let left = limit
            .saturating_sub(used)
            .saturating_sub(u32::from(granted));
        let reset_ms = if granted {
            now_ms
        } else {
            calls.front().map_or(now_ms, |at| at + WINDOW_MS)
        };
        Allowance {
            limit,
            left,
            reset_ms,
            granted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_at_once_then_the_sixth_waits_a_full_second() {
        let mut limits = Limits::default();
        let mut at = |ms| limits.take(1, "/v5/user/delete-sub-api", 5, ms);
        let left: Vec<u32> = (0..5).map(|i| at(i).left).collect();
        assert_eq!(left, [4, 3, 2, 1, 0]);
        let refused = at(900);
        assert_eq!((refused.granted, refused.reset_ms), (false, 1_000));
        assert!(at(1_000).granted);
        assert!(!at(1_000).granted);
    }

    #[test]
    fn other_accounts_and_endpoints_have_their_own_budget() {
        let mut limits = Limits::default();
        assert!(limits.take(1, "/a", 1, 0).granted);
        assert!(limits.take(2, "/a", 1, 0).granted);
        assert!(limits.take(1, "/b", 1, 0).granted);
        assert!(!limits.take(1, "/a", 1, 0).granted);
    }
}
