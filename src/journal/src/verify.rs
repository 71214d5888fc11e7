//! Checks a journal row by row and names the first row that is wrong, and why.
//!
//! Rows are given in order; nothing is kept but the chain's end, so a journal of any length is
//! checked in constant memory. Reason words are a contract: the verifier in another language
//! (`tests/verifier`) prints the same.
//!
//! Weak spot, by nature: a chain cut at its end is still a chain. Only a remembered checkpoint
//! shows that.

use crate::row::{Chain, Fields, Hash, Row};
use serde::Serialize;

/// Why a row is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A column has another type or length than a journal's.
    NotCanonical,
    /// The row that should stand here is missing or stands elsewhere.
    Gap,
    /// It does not follow the row before.
    PrevMismatch,
    /// Its contents are not what was sealed.
    HashMismatch,
    /// The journal ends before a checkpoint that was signed or remembered.
    Truncated,
    /// It is another row than the checkpoint vouches for: history was rewritten.
    Forked,
    /// The database could not be read to its end.
    Unreadable,
}

impl Reason {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotCanonical => "not-canonical",
            Self::Gap => "gap",
            Self::PrevMismatch => "prev-mismatch",
            Self::HashMismatch => "hash-mismatch",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The first thing wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {bad_seq}: {}", .reason.as_str())]
pub struct Fault {
    /// The row concerned; for a missing row, the number it should have had.
    pub bad_seq: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// A row as it was found, before anything about it is believed. `None` in a column means that it
/// has the wrong type.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// `seq` column.
    pub seq: Option<i64>,
    /// `time` column.
    pub time_ms: Option<i64>,
    /// `kind` column.
    pub kind: Option<&'a str>,
    /// `author` column.
    pub author: Option<&'a str>,
    /// `body` column.
    pub body: Option<&'a str>,
    /// `prev` column, 32 bytes.
    pub prev: Option<Hash>,
    /// `hash` column, 32 bytes.
    pub hash: Option<Hash>,
}

impl<'a> From<&'a Row> for Found<'a> {
    fn from(row: &'a Row) -> Self {
        Self {
            seq: i64::try_from(row.seq).ok(),
            time_ms: Some(row.time_ms),
            kind: Some(&row.kind),
            author: Some(&row.author),
            body: Some(&row.body),
            prev: Some(row.prev),
            hash: Some(row.hash),
        }
    }
}

/// A running check.
#[derive(Debug, Default)]
pub struct Verifier {
    chain: Chain,
    remembered: Vec<Chain>,
    buffer: Vec<u8>,
}

impl Verifier {
    /// Starts before the first row. Every chain end in `remembered` (from checkpoints) must be
    /// met on the way.
    pub fn new(remembered: impl IntoIterator<Item = Chain>) -> Self {
        Self {
            remembered: remembered.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Starts behind a row whose hash is already trusted.
    pub fn resume(chain: Chain) -> Self {
        Self {
            chain,
            ..Self::default()
        }
    }

    /// Checks the next row.
    ///
    /// # Errors
    /// The first [`Fault`]; what follows is not worth checking.
    pub fn push(&mut self, found: Found<'_>) -> Result<(), Fault> {
        let expected = self.chain.size.saturating_add(1);
        let fault = |bad_seq, reason| Err(Fault { bad_seq, reason });
        let Some(seq) = found.seq.and_then(|seq| u64::try_from(seq).ok()) else {
            return fault(expected, Reason::NotCanonical);
        };
        if seq != expected {
            return fault(expected.min(seq), Reason::Gap);
        }
        let (Some(time_ms), Some(kind), Some(author), Some(body), Some(prev), Some(hash)) = (
            found.time_ms,
            found.kind,
            found.author,
            found.body,
            found.prev,
            found.hash,
        ) else {
            return fault(seq, Reason::NotCanonical);
        };
        if prev != self.chain.head {
            return fault(seq, Reason::PrevMismatch);
        }
        let fields = Fields {
            seq,
            time_ms,
            kind,
            author,
            body,
        };
        if fields.hash(&prev, &mut self.buffer) != hash {
            return fault(seq, Reason::HashMismatch);
        }
        let here = Chain {
            size: seq,
            head: hash,
        };
        if self
            .remembered
            .iter()
            .any(|r| r.size == seq && r.head != hash)
        {
            return fault(seq, Reason::Forked);
        }
        self.chain = here;
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// A [`Fault`] when a remembered checkpoint lies beyond the last row.
    pub fn finish(self) -> Result<Chain, Fault> {
        let longest = self.remembered.iter().map(|r| r.size).max();
        if longest.is_some_and(|size| size > self.chain.size) {
            return Err(Fault {
                bad_seq: self.chain.size.saturating_add(1),
                reason: Reason::Truncated,
            });
        }
        Ok(self.chain)
    }

    /// How far the check came: rows found good so far.
    pub fn so_far(&self) -> Chain {
        self.chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: u64) -> Vec<Row> {
        let mut chain = Chain::default();
        (0..n)
            .map(|i| {
                let body = format!("{{\"n\":{i}}}");
                chain.seal(i as i64, "system", "recorder", body).unwrap()
            })
            .collect()
    }

    fn check(rows: &[Row], remembered: Option<Chain>) -> Result<Chain, (u64, Reason)> {
        let mut verifier = Verifier::new(remembered);
        rows.iter()
            .try_for_each(|row| verifier.push(row.into()))
            .and_then(|()| verifier.finish())
            .map_err(|fault| (fault.bad_seq, fault.reason))
    }

    fn end(rows: &[Row]) -> Chain {
        let last = rows.last().unwrap();
        Chain {
            size: last.seq,
            head: last.hash,
        }
    }

    #[test]
    fn an_untouched_chain_verifies_against_any_of_its_checkpoints() {
        let rows = rows(5);
        for n in 1..=5 {
            assert_eq!(check(&rows, Some(end(&rows[..n]))), Ok(end(&rows)));
        }
        assert_eq!(check(&[], None), Ok(Chain::default()));
    }

    #[test]
    fn every_changed_column_is_named() {
        type Tamper = fn(&mut Row);
        let cases: [(Tamper, Reason); 7] = [
            (|r| r.seq = 9, Reason::Gap),
            (|r| r.time_ms += 1, Reason::HashMismatch),
            (|r| r.kind = "trade".into(), Reason::HashMismatch),
            (|r| r.author = "operator".into(), Reason::HashMismatch),
            (|r| r.body = "{\"n\":7}".into(), Reason::HashMismatch),
            (|r| r.prev = Hash::of(b""), Reason::PrevMismatch),
            (|r| r.hash = Hash::of(b""), Reason::HashMismatch),
        ];
        for (tamper, reason) in cases {
            let mut rows = rows(4);
            tamper(&mut rows[2]);
            assert_eq!(check(&rows, None), Err((3, reason)));
        }
    }

    #[test]
    fn a_row_resealed_in_place_breaks_its_successor_or_the_checkpoint() {
        let good = rows(4);
        let mut forged = good.clone();
        forged[2].body = "{\"n\":9}".into();
        forged[2].hash = forged[2].expected_hash();
        assert_eq!(check(&forged, None), Err((4, Reason::PrevMismatch)));
        forged[3].prev = forged[2].hash;
        forged[3].hash = forged[3].expected_hash();
        assert!(
            check(&forged, None).is_ok(),
            "a whole rewritten tail is a chain"
        );
        assert_eq!(check(&forged, Some(end(&good))), Err((4, Reason::Forked)));
        assert_eq!(
            check(&forged, Some(end(&good[..3]))),
            Err((3, Reason::Forked))
        );
    }

    #[test]
    fn dropped_swapped_and_cut_rows_are_named() {
        let good = rows(5);
        let mut dropped = good.clone();
        dropped.remove(1);
        assert_eq!(check(&dropped, None), Err((2, Reason::Gap)));
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert_eq!(check(&swapped, None), Err((2, Reason::Gap)));
        assert_eq!(
            check(&good[..3], Some(end(&good))),
            Err((4, Reason::Truncated))
        );
        let mut twice = good.clone();
        twice.insert(3, good[2].clone());
        assert_eq!(check(&twice, None), Err((3, Reason::Gap)));
    }
}
