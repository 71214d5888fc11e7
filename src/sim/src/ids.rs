//! Invented identifiers: keys, tokens, UUIDs and names of pods, all from one seed.
//!
//! The same seed gives the same names in the same order, so that a run can be repeated and compared.
//! Weak on purpose: whoever knows the seed knows every secret here. Nothing in it protects anything real.

use ring::digest;

/// A stream of unlike-looking, reproducible identifiers.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    seed: [u8; 32],
    counter: u64,
}

impl Ids {
    /// A stream of its own for each `(seed, room)`, so that one room asking more often moves no other room's names.
    pub(crate) fn new(seed: u64, room: &str) -> Self {
        let text = format!("fusebox-sim/{seed}/{room}");
        Self {
            seed: sha256(text.as_bytes()),
            counter: 0,
        }
    }

    /// The next 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut input = self.seed.to_vec();
        input.extend_from_slice(&self.counter.to_be_bytes());
        sha256(&input)
    }

    /// The next number below `bound` (0 when `bound` is 0).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let raw = self
            .bytes()
            .iter()
            .take(8)
            .fold(0u64, |acc, byte| (acc << 8) | u64::from(*byte));
        raw.checked_rem(bound).unwrap_or(0)
    }

    /// A UUID-shaped name in lower case.
    pub(crate) fn uuid(&mut self) -> String {
        let text: Vec<char> = hex::encode(self.bytes()).chars().collect();
        let part = |from: usize, len: usize| text.iter().skip(from).take(len).collect::<String>();
        format!(
            "{}-{}-4{}-a{}-{}",
            part(0, 8),
            part(8, 4),
            part(12, 3),
            part(15, 3),
            part(18, 12)
        )
    }

    /// `len` characters (at most 32) of `alphabet`.
    pub(crate) fn word(&mut self, alphabet: &str, len: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        self.bytes()
            .iter()
            .take(len)
            .filter_map(|byte| letters.get(usize::from(*byte) % letters.len().max(1)))
            .collect()
    }

    /// `len` letters and digits, as in tokens.
    pub(crate) fn token(&mut self, len: usize) -> String {
        self.word(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            len,
        )
    }

    /// `len` letters of the vowel-free alphabet that Kubernetes uses for the tails of pod names.
    pub(crate) fn pod_suffix(&mut self, len: usize) -> String {
        self.word("bcdfghjklmnpqrstvwxz2456789", len)
    }
}

fn sha256(input: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (to, from) in out
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, input).as_ref())
    {
        *to = *from;
    }
    out
}

/// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T08:30:32.785Z`.
pub(crate) fn rfc3339_ms(at_ms: i64) -> String {
    format_ms(at_ms, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

/// RFC 3339 in UTC in whole seconds, as Kubernetes writes times.
pub(crate) fn rfc3339_s(at_ms: i64) -> String {
    format_ms(at_ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// `at_ms` in UTC by a `strftime` pattern; empty when it is outside the calendar (year 9999).
pub(crate) fn format_ms(at_ms: i64, pattern: &str) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.strftime(pattern).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names_and_another_room_gives_others() {
        let (mut a, mut b, mut c) = (Ids::new(7, "x"), Ids::new(7, "x"), Ids::new(7, "y"));
        let first = a.uuid();
        assert_eq!(first, b.uuid());
        assert_ne!(first, c.uuid());
        assert_ne!(first, a.uuid());
        assert_eq!(first.len(), 36);
        assert_eq!(a.token(24).len(), 24);
    }

    #[test]
    fn times_read_as_the_services_write_them() {
        assert_eq!(rfc3339_ms(1_795_249_832_785), "2026-11-21T08:30:32.785Z");
        assert_eq!(rfc3339_s(1_795_249_832_785), "2026-11-21T08:30:32Z");
    }
}
