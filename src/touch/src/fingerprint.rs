//! Six words for a plan, to be compared between the console and a second channel (threat T06).

use crate::challenge::PlanHash;

/// 256 words, one a byte, no two alike in their first three letters.
const WORDS: &str = include_str!("../data/words.txt");
const COUNT: usize = 6;

/// The first six bytes of a plan's hash as words. 48 bits: enough against a plan that an attacker
/// can only choose among those that the revoker itself would build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint([&'static str; COUNT]);

impl Fingerprint {
    pub(crate) fn of(hash: &PlanHash) -> Self {
        let mut words = [""; COUNT];
        for (word, byte) in words.iter_mut().zip(hash.as_bytes()) {
            // The list has a word for every byte (tested), so the dash is never seen.
            *word = WORDS.lines().nth(usize::from(*byte)).unwrap_or("-");
        }
        Self(words)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_byte_has_a_short_word_of_its_own() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(words.len(), 256);
        let heads: BTreeSet<&str> = words.iter().map(|w| &w[..3]).collect();
        assert_eq!(heads.len(), 256, "two words start alike");
        assert!(words.iter().all(|w| (3..=7).contains(&w.len())));
    }

    #[test]
    fn other_hash_other_words() {
        let mut bytes = [0; 32];
        bytes[..6].copy_from_slice(&[0, 1, 2, 253, 254, 255]);
        let words = PlanHash(bytes).fingerprint().to_string();
        assert_eq!(words.split(' ').count(), 6);
        bytes[5] = 0;
        assert_ne!(PlanHash(bytes).fingerprint().to_string(), words);
    }
}
