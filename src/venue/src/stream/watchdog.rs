//! When to ping, and when a line that looks open is dead. Pure: times are passed in.

/// The limits of one stream, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// A ping is sent this often.
    pub ping_ms: i64,
    /// Its pong must come within this.
    pub pong_ms: i64,
    /// Data must come within this; `None` for a stream that may be silent.
    pub silence_ms: Option<i64>,
}

impl Watch {
    /// The public stream: BTCUSDT never rests for 5 s.
    pub const PUBLIC: Self = Self {
        ping_ms: 20_000,
        pong_ms: 10_000,
        silence_ms: Some(5_000),
    };
    /// The private stream: it speaks only when something happens.
    pub const PRIVATE: Self = Self {
        ping_ms: 20_000,
        pong_ms: 10_000,
        silence_ms: None,
    };
}

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Watchdog {
    watch: Watch,
    pinged_ms: i64,
    awaiting_pong: bool,
    data_ms: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Send a ping.
    Ping,
    /// Look again at this time at the latest.
    WaitUntil(i64),
    /// The line is dead.
    Dead(&'static str),
}

impl Watchdog {
    pub(super) fn new(watch: Watch, now_ms: i64) -> Self {
        Self {
            watch,
            pinged_ms: now_ms,
            awaiting_pong: false,
            data_ms: now_ms,
        }
    }

    pub(super) fn pinged(&mut self, now_ms: i64) {
        self.pinged_ms = now_ms;
        self.awaiting_pong = true;
    }

    pub(super) fn pong(&mut self) {
        self.awaiting_pong = false;
    }

    pub(super) fn data(&mut self, now_ms: i64) {
        self.data_ms = now_ms;
    }

    pub(super) fn duty(&self, now_ms: i64) -> Duty {
        let pong_due = self.pinged_ms + self.watch.pong_ms;
        if self.awaiting_pong && now_ms >= pong_due {
            return Duty::Dead("no pong");
        }
        let data_due = self.watch.silence_ms.map(|ms| self.data_ms + ms);
        if data_due.is_some_and(|due| now_ms >= due) {
            return Duty::Dead("no data");
        }
        let ping_due = self.pinged_ms + self.watch.ping_ms;
        if !self.awaiting_pong && now_ms >= ping_due {
            return Duty::Ping;
        }
        let next = if self.awaiting_pong {
            pong_due
        } else {
            ping_due
        };
        Duty::WaitUntil(data_due.map_or(next, |due| due.min(next)))
    }
}

/// The pause before connection attempt number `failures` (from 1): 0.5 s doubling to 5 s, of
/// which a random part (0..=255 from `dice`) of up to a half is taken away, so that many clients
/// do not come back together.
pub(super) fn backoff_ms(failures: u32, dice: u8) -> u64 {
    let full = 500u64
        .saturating_mul(1 << failures.saturating_sub(1).min(5))
        .min(5_000);
    full - full * u64::from(dice) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_goes_out_every_twenty_seconds_and_its_pong_is_awaited() {
        let mut dog = Watchdog::new(Watch::PRIVATE, 0);
        assert_eq!(dog.duty(19_999), Duty::WaitUntil(20_000));
        assert_eq!(dog.duty(20_000), Duty::Ping);
        dog.pinged(20_000);
        assert_eq!(dog.duty(29_999), Duty::WaitUntil(30_000));
        assert_eq!(dog.duty(30_000), Duty::Dead("no pong"));
        dog.pong();
        assert_eq!(dog.duty(30_000), Duty::WaitUntil(40_000));
    }

    #[test]
    fn a_line_that_pongs_but_tells_nothing_is_dead() {
        let mut dog = Watchdog::new(Watch::PUBLIC, 0);
        dog.data(2_000);
        assert_eq!(dog.duty(6_999), Duty::WaitUntil(7_000));
        assert_eq!(dog.duty(7_000), Duty::Dead("no data"));
    }

    #[test]
    fn pauses_grow_to_five_seconds_and_are_never_nothing() {
        let full: Vec<_> = (1..=6).map(|n| backoff_ms(n, 0)).collect();
        assert_eq!(full, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert!(backoff_ms(1, 255) >= 250);
        assert_eq!(backoff_ms(u32::MAX, 0), 5_000);
    }
}
