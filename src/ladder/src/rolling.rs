//! The rolling companions (L14): "the value 24 hours ago" from bounded memory.
//!
//! Time is cut into grains (1 min, 10 min, 1 h). Slot `i` holds the latest mid at or before `i · grain`, and
//! a silence is filled forward, so a lookup is one read. Exact history at 1 Hz would be 80 MB a month.

use crate::nav::Nav;
use alloc::boxed::Box;
use alloc::vec;

/// More grains than there are until the year 9999.
const FAR: i64 = 1 << 40;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rolling {
    span_ms: i64,
    grain_ms: i64,
    /// The value for every time before `first`: that of the funding or of the re-base.
    pub(crate) base: Nav,
    pub(crate) first: i64,
    pub(crate) last: i64,
    slots: Box<[Nav]>,
}

impl Rolling {
    pub(crate) fn new(span_ms: i64, grain_ms: i64) -> Self {
        // The span in grains, the grain being looked at, and the one being written.
        let slots = vec![Nav::ONE; (span_ms / grain_ms) as usize + 2].into_boxed_slice();
        Rolling {
            span_ms,
            grain_ms,
            base: Nav::ONE,
            first: 0,
            last: 0,
            slots,
        }
    }

    /// Forgets all history: `nav` is the reference until newer mids are old enough.
    pub(crate) fn restart(&mut self, t_ms: i64, nav: Nav) {
        self.base = nav;
        self.first = self.grain_above(t_ms);
        self.last = self.first;
        self.write(self.last, nav);
    }

    /// Notes a confirmed mid; times rise.
    pub(crate) fn record(&mut self, t_ms: i64, mid: Nav) {
        let now = self.grain_above(t_ms).max(self.last);
        let held = self.read(self.last);
        for slot in (self.last + 1).max(now - self.len() + 1)..now {
            self.write(slot, held);
        }
        self.last = now;
        self.write(now, mid);
    }

    /// The latest mid at or before `floor((t − span) / grain) · grain`.
    pub(crate) fn reference(&self, t_ms: i64) -> Nav {
        let slot = (t_ms - self.span_ms).div_euclid(self.grain_ms);
        if slot < self.first {
            self.base
        } else {
            self.read(slot.min(self.last))
        }
    }

    /// The slots in use, oldest first (for saving). `None`: not those of any history.
    pub(crate) fn live(&self) -> Option<core::ops::RangeInclusive<i64>> {
        let sound = self.first <= self.last && (-FAR..FAR).contains(&self.first) && self.last < FAR;
        sound.then(|| self.first.max(self.last - self.len() + 1)..=self.last)
    }

    fn len(&self) -> i64 {
        self.slots.len() as i64
    }

    fn grain_above(&self, t_ms: i64) -> i64 {
        -(-t_ms).div_euclid(self.grain_ms)
    }

    pub(crate) fn read(&self, slot: i64) -> Nav {
        self.slots
            .get(slot.rem_euclid(self.len()) as usize)
            .copied()
            .unwrap_or(self.base)
    }

    pub(crate) fn write(&mut self, slot: i64, nav: Nav) {
        let index = slot.rem_euclid(self.len()) as usize;
        if let Some(place) = self.slots.get_mut(index) {
            *place = nav;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// Against the definition, over a list of all mids.
        #[test]
        fn finds_what_the_whole_history_would_give(
            start in 0i64..1_000, steps in proptest::collection::vec((1i64..260, 1i128..1_000), 1..200)
        ) {
            let (span, grain) = (1_000, 100);
            let mut rolling = Rolling::new(span, grain);
            rolling.restart(start, Nav::ONE);
            let (mut all, mut t) = (Vec::from([(start, Nav::ONE)]), start);
            for (step, value) in steps {
                t += if step > 250 { step * 20 } else { step };
                let cut = (t - span).div_euclid(grain) * grain;
                let expected = all.iter().rev().find(|(at, _)| *at <= cut).map_or(Nav::ONE, |(_, nav)| *nav);
                prop_assert_eq!(rolling.reference(t), expected);
                let mid = Nav::new(value, 7);
                rolling.record(t, mid);
                all.push((t, mid));
                prop_assert_eq!(rolling.reference(t), expected);
            }
        }
    }
}
