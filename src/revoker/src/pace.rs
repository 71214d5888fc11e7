//! Keeps to a rate limit instead of discovering it: at most `count` sends in any rolling second.
//!
//! Bybit counts arrivals and we know departures, so a slot is free again a little later than a
//! second after it was used: two requests may travel differently long.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_millis(1_000);
/// What the way of an early request may be shorter than that of a later one.
const MARGIN: Duration = Duration::from_millis(15);

/// A limiter shared by everyone who uses the same endpoint.
#[derive(Debug)]
pub(crate) struct Pace {
    count: usize,
    /// Times of the last `count` sends, past or booked, oldest first.
    booked: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub(crate) fn per_second(count: usize) -> Self {
        Self {
            count: count.max(1),
            booked: Mutex::new(VecDeque::new()),
        }
    }

    /// Waits until one more may be sent. First come, first served: the slot is booked at once.
    pub(crate) async fn slot(&self) {
        tokio::time::sleep_until(self.book(Instant::now())).await;
    }

    fn book(&self, now: Instant) -> Instant {
        let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match booked.len() < self.count {
            true => now,
            false => booked
                .pop_front()
                .map_or(now, |oldest| now.max(oldest + WINDOW + MARGIN)),
        };
        booked.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the moments of asking, no rolling second has more than five.
    #[test]
    fn no_rolling_second_has_more_than_the_limit() {
        let pace = Pace::per_second(5);
        let start = Instant::now();
        let asked = [
            0, 0, 0, 0, 150, 150, 150, 160, 1_100, 1_100, 1_900, 4_000, 4_000,
        ];
        let sent: Vec<u128> = asked
            .iter()
            .map(|ms| pace.book(start + Duration::from_millis(*ms)))
            .map(|at| at.duration_since(start).as_millis())
            .collect();
        for (i, from) in sent.iter().enumerate() {
            let within = sent[i..].iter().filter(|at| **at < from + 1_000).count();
            assert!(within <= 5, "{within} sends from {from} ms: {sent:?}");
        }
        assert_eq!(&sent[..6], [0, 0, 0, 0, 150, 1_015]);
        assert_eq!(sent[9], 1_165, "the slot of 150 ms is free at 1165 ms");
    }
}
