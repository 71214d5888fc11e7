//! What time it is at the exchange, measured from its own answers.

/// Readings kept; the one with the shortest round trip counts.
const KEPT: usize = 8;

/// A reading older than this is not trusted any more if a younger one exists.
const TRUSTED_MS: i64 = 60_000;

/// A reading further off than this and the round trip is a jump, not noise.
const JUMP_MS: i64 = 1_000;

/// Bybit refuses a stamp one second ahead of its clock whatever the window is, but accepts one
/// `recv_window` behind; so a request is stamped this much early.
const SAFETY_MS: i64 = 150;

/// The exchange's clock, as a distance from this machine's monotonic clock. The wall clock plays
/// no part, so that setting it moves nothing. Pure: times are passed in.
#[derive(Debug, Clone, Default)]
pub struct ServerClock {
    readings: Vec<Reading>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Exchange time minus monotonic time.
    offset_ms: i64,
    round_trip_ms: i64,
    at_mono_ms: i64,
}

impl ServerClock {
    /// Notes an answer: sent and received on the monotonic clock, and the exchange's own time in
    /// it, all in milliseconds.
    pub fn observe(&mut self, sent_mono_ms: i64, received_mono_ms: i64, server_ms: i64) {
        let round_trip_ms = received_mono_ms.saturating_sub(sent_mono_ms).max(0);
        let middle = sent_mono_ms.saturating_add(round_trip_ms / 2);
        let offset_ms = server_ms.saturating_sub(middle);
        if let Some(best) = self.best(received_mono_ms) {
            // An answer can be old (a cache, a replay) but not from the future: what sets the
            // clock back is not believed, what sets it forward replaces everything before it.
            let jump_ms = offset_ms.saturating_sub(best.offset_ms);
            let doubt_ms = JUMP_MS.saturating_add(round_trip_ms.max(best.round_trip_ms));
            if jump_ms < -doubt_ms {
                return;
            }
            if jump_ms > doubt_ms {
                self.readings.clear();
            }
        }
        if self.readings.len() == KEPT {
            self.readings.remove(0);
        }
        self.readings.push(Reading {
            offset_ms,
            round_trip_ms,
            at_mono_ms: received_mono_ms,
        });
    }

    /// Forgets everything: after a 10002 the old readings are wrong (a suspended machine).
    pub fn reset(&mut self) {
        self.readings.clear();
    }

    /// Exchange time at the given monotonic time, milliseconds; `None` before the first answer.
    pub fn now_ms(&self, mono_ms: i64) -> Option<i64> {
        Some(mono_ms.saturating_add(self.best(mono_ms)?.offset_ms))
    }

    fn best(&self, mono_ms: i64) -> Option<Reading> {
        let fresh = |r: &&Reading| mono_ms.saturating_sub(r.at_mono_ms) <= TRUSTED_MS;
        self.readings
            .iter()
            .filter(fresh)
            .min_by_key(|r| r.round_trip_ms)
            .or(self.readings.last())
            .copied()
    }

    /// The stamp for a request sent at the given monotonic time: exchange time, a little early.
    pub fn stamp_ms(&self, mono_ms: i64) -> Option<i64> {
        Some(self.now_ms(mono_ms)?.saturating_sub(SAFETY_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        assert_eq!(ServerClock::default().now_ms(5), None);
    }

    #[test]
    fn the_shortest_round_trip_wins_while_it_is_young() {
        let mut clock = ServerClock::default();
        clock.observe(1_000, 1_010, 5_001_005);
        clock.observe(2_000, 2_900, 5_002_050);
        assert_eq!(clock.now_ms(3_000), Some(5_003_000));
        // A minute later only the slow reading is young: its middle was 2450.
        assert_eq!(
            clock.now_ms(62_500),
            Some(62_500 + (5_002_050 - 2_450)),
            "the old reading is not trusted"
        );
    }

    #[test]
    fn a_stamp_is_never_a_second_ahead_even_with_a_one_sided_delay() {
        let mut clock = ServerClock::default();
        // The whole delay of 600 ms lies on the way back: the estimate is 300 ms fast.
        clock.observe(0, 600, 1_000_000);
        let truth_at_600 = 1_000_600;
        let stamp = clock.stamp_ms(600).unwrap();
        assert!(stamp < truth_at_600 + 1_000);
        assert!(stamp > truth_at_600 - 5_000);
    }

    #[test]
    fn a_stale_answer_does_not_set_the_clock_back_and_a_jump_forward_is_believed() {
        let mut clock = ServerClock::default();
        clock.observe(0, 10, 1_000_005);
        clock.observe(20_000, 20_002, 1_000_005);
        assert_eq!(
            clock.now_ms(20_002),
            Some(1_020_002),
            "the answer was 20 s old"
        );
        clock.observe(30_000, 30_900, 9_000_450);
        assert_eq!(clock.now_ms(31_000), Some(9_001_000));
    }

    #[test]
    fn after_a_reset_the_next_answer_alone_counts() {
        let mut clock = ServerClock::default();
        clock.observe(0, 2, 1_000);
        clock.reset();
        clock.observe(10, 20, 9_015);
        assert_eq!(clock.now_ms(20), Some(9_020));
    }
}
