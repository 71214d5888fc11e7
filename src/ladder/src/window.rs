//! The confirming window (L9): the shortest suffix of at least three accepted samples over at least 2 s.

use crate::nav::Nav;
use alloc::vec::Vec;

/// Samples needed to confirm.
pub(crate) const SAMPLES: usize = 3;
/// Time they must span, in ms.
pub(crate) const SPAN_MS: i64 = 2_000;
/// Times are whole, strictly rising milliseconds, so the suffix cannot be longer at any sample rate: that the
/// edge decimates to 4 Hz saves work, and correctness does not rest on it.
pub(crate) const CAPACITY: usize = SPAN_MS as usize + 1;

/// The three values of a confirmed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Exchange time of the window's last sample, in ms.
    pub t_ms: i64,
    /// The largest value: every sample is at or below it. Trips use it.
    pub dn: Nav,
    /// The lower median. Anchors and rolling references use it.
    pub mid: Nav,
    /// The smallest value: every sample is at or above it. The peak and releases use it.
    pub up: Nav,
}

/// Entries are kept in order of value, which is what is asked for; of their times only the age matters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) entries: Vec<(Nav, i64)>,
    /// Times of the last three samples, oldest first; `i64::MAX` where there is none yet.
    pub(crate) latest: [i64; SAMPLES],
}

impl Window {
    pub(crate) fn new() -> Window {
        Window {
            entries: Vec::with_capacity(CAPACITY),
            latest: [i64::MAX; SAMPLES],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.latest = [i64::MAX; SAMPLES];
    }

    /// Adds the newest sample and drops what the shortest suffix does not need.
    pub(crate) fn push(&mut self, t_ms: i64, nav: Nav) {
        let [_, third, second] = self.latest;
        self.latest = [third, second, t_ms];
        let spanning = self
            .entries
            .iter()
            .map(|(_, t)| *t)
            .filter(|t| *t <= t_ms - SPAN_MS)
            .max();
        if let Some(oldest) = spanning.map(|spanning| spanning.min(third)) {
            self.entries.retain(|(_, t)| *t >= oldest);
        }
        let place = self
            .entries
            .partition_point(|(held, _)| held.compare(nav).is_le());
        self.entries.insert(place, (nav, t_ms));
    }

    pub(crate) fn confirmed(&self) -> Option<Confirmed> {
        let entries = &self.entries;
        let [.., t_ms] = self.latest;
        let oldest = entries.iter().map(|(_, t)| *t).min()?;
        if entries.len() < SAMPLES || t_ms - oldest < SPAN_MS {
            return None;
        }
        let (up, _) = *entries.first()?;
        let (mid, _) = *entries.get((entries.len() - 1) / 2)?;
        let (dn, _) = *entries.last()?;
        Some(Confirmed { t_ms, dn, mid, up })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn navs(window: Option<Confirmed>) -> Option<(Nav, Nav, Nav)> {
        window.map(|c| (c.dn, c.mid, c.up))
    }

    #[test]
    fn three_samples_999_ms_apart_do_not_confirm_and_four_do() {
        let mut window = Window::new();
        for t_ms in [0, 999, 1_998] {
            window.push(t_ms, Nav::ONE);
            assert_eq!(window.confirmed(), None);
        }
        window.push(2_997, Nav::ONE);
        assert_eq!(
            navs(window.confirmed()),
            Some((Nav::ONE, Nav::ONE, Nav::ONE))
        );
    }

    proptest! {
        /// Against the definition, over a list of all samples, at rates from 0.1 Hz to 1 kHz.
        #[test]
        fn is_the_shortest_sufficient_suffix(
            fastest in 1i64..5_000, steps in proptest::collection::vec((0i64..10_000, 1i128..6), 1..120)
        ) {
            let (mut window, mut all, mut t) = (Window::new(), Vec::new(), 0);
            for (step, value) in steps {
                t += 1 + step % fastest;
                let nav = Nav::new(value, 1);
                window.push(t, nav);
                all.push((t, nav));
                let suffix = (0..all.len())
                    .rev()
                    .map(|from| &all[from..])
                    .find(|suffix| suffix.len() >= 3 && t - suffix[0].0 >= 2_000);
                let expected = suffix.map(|suffix| {
                    let mut sorted: Vec<Nav> = suffix.iter().map(|(_, nav)| *nav).collect();
                    sorted.sort_by(|a, b| a.compare(*b));
                    (sorted[sorted.len() - 1], sorted[(sorted.len() - 1) / 2], sorted[0])
                });
                prop_assert_eq!(navs(window.confirmed()), expected);
            }
        }
    }

    #[test]
    fn holds_a_sample_every_millisecond() {
        let mut window = Window::new();
        for t_ms in 0..10_000 {
            window.push(t_ms, Nav::new(i128::from(t_ms) + 1, 1));
        }
        let confirmed = window.confirmed().unwrap();
        assert_eq!(
            (confirmed.up, confirmed.dn),
            (Nav::new(8_000, 1), Nav::new(10_000, 1))
        );
    }
}
