//! One row, its canonical bytes, and the chain that rows form.
//!
//! The bytes are canonical by construction: fixed-width integers and length-prefixed texts in a
//! fixed order behind a versioned tag, so that no two different rows share an encoding. The same
//! description, for other languages, is in `FORMAT.md` beside this crate.

use crate::Error;
use serde::{Deserialize, Serialize};

/// First bytes of every row's canonical form; another layout gets another tag.
const TAG: &[u8] = b"fusebox/journal/row/1\n";

/// Longest body a row may carry, bytes of UTF-8. Fits a 64 KiB frame with its envelope.
pub const MAX_BODY_BYTES: usize = 48 * 1024;
/// Longest kind or author, bytes of UTF-8.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first row follows: 32 zero bytes.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut hash = [0; 32];
        // SHA-256 has 32 bytes; `zip` says so without a panic path.
        for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// Takes exactly 32 bytes; `None` otherwise.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl std::str::FromStr for Hash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        hex::decode(text)
            .ok()
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| Error::Malformed("a hash is 64 hexadecimal digits".to_owned()))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A sealed row. As JSON this is one line of an export and of a [`crate::ChainLog`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Position, counted from 1 without gaps.
    pub seq: u64,
    /// When it was written, UTC milliseconds; the body's `happened_ms` says when the fact happened.
    #[serde(rename = "time")]
    pub time_ms: i64,
    /// What it is; [`crate::Kind`] lists the words of `journal.db`.
    pub kind: String,
    /// Who says so: a component, or `role:uid` of the socket it came through.
    pub author: String,
    /// A JSON object, as text: exactly these bytes are hashed.
    pub body: String,
    /// Hash of the row before; [`Hash::ZERO`] for the first.
    pub prev: Hash,
    /// SHA-256 of `prev` and the canonical bytes.
    pub hash: Hash,
}

impl Row {
    /// The hash that this row's contents demand.
    pub fn expected_hash(&self) -> Hash {
        let mut buffer = Vec::new();
        Fields {
            seq: self.seq,
            time_ms: self.time_ms,
            kind: &self.kind,
            author: &self.author,
            body: &self.body,
        }
        .hash(&self.prev, &mut buffer)
    }

    /// The body as a JSON object; empty when it is not one.
    pub fn fields(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// When the fact happened, UTC milliseconds: `happened_ms` of the body, else the row's time.
    pub fn happened_ms(&self) -> i64 {
        self.fields()
            .get("happened_ms")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or(self.time_ms)
    }
}

/// What of a row enters the hash, borrowed, so that verifying copies nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub seq: u64,
    pub time_ms: i64,
    pub kind: &'a str,
    pub author: &'a str,
    pub body: &'a str,
}

impl Fields<'_> {
    /// SHA-256(prev ‖ canonical bytes); `buffer` is scratch space kept between rows.
    pub(crate) fn hash(&self, prev: &Hash, buffer: &mut Vec<u8>) -> Hash {
        buffer.clear();
        buffer.extend_from_slice(prev.as_bytes());
        buffer.extend_from_slice(TAG);
        buffer.extend_from_slice(&self.seq.to_be_bytes());
        buffer.extend_from_slice(&self.time_ms.to_be_bytes());
        for text in [self.kind, self.author, self.body] {
            // Texts are bounded far below 4 GiB where rows are made; a longer one in a tampered
            // file saturates here and so cannot match.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            buffer.extend_from_slice(&length.to_be_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
        Hash::of(buffer)
    }
}

/// The end of a chain: all that is needed to seal the next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Rows so far; also the last row's `seq`.
    pub size: u64,
    /// Hash of the last row; [`Hash::ZERO`] while there is none.
    pub head: Hash,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            size: 0,
            head: Hash::ZERO,
        }
    }
}

impl Chain {
    /// Seals the next row and moves to it. The row counts once it is durable; a caller that
    /// fails to store it must go back to its copy of the chain.
    ///
    /// # Errors
    /// [`Error::TooLong`] for a kind, author or body over its limit, [`Error::NotAnObject`] for a
    /// body that is not a JSON object. The chain is then unchanged.
    pub fn seal(
        &mut self,
        time_ms: i64,
        kind: &str,
        author: &str,
        body: String,
    ) -> Result<Row, Error> {
        for (what, text, limit) in [
            ("kind", kind, MAX_NAME_BYTES),
            ("author", author, MAX_NAME_BYTES),
            ("body", body.as_str(), MAX_BODY_BYTES),
        ] {
            if text.len() > limit {
                return Err(Error::TooLong {
                    what,
                    bytes: text.len(),
                    limit,
                });
            }
        }
        if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body).is_err() {
            return Err(Error::NotAnObject);
        }
        let seq = self.size.saturating_add(1);
        let fields = Fields {
            seq,
            time_ms,
            kind,
            author,
            body: &body,
        };
        let hash = fields.hash(&self.head, &mut Vec::new());
        let row = Row {
            seq,
            time_ms,
            kind: kind.to_owned(),
            author: author.to_owned(),
            prev: self.head,
            hash,
            body,
        };
        *self = Self {
            size: seq,
            head: hash,
        };
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_bytes_are_as_the_format_says() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0; 32]);
        bytes.extend_from_slice(b"fusebox/journal/row/1\n");
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend_from_slice(&[0xff; 8]);
        bytes.extend_from_slice(b"\0\0\0\x06system\0\0\0\x08recorder\0\0\0\x02{}");
        let row = Chain::default()
            .seal(-1, "system", "recorder", "{}".to_owned())
            .unwrap();
        assert_eq!(row.hash, Hash::of(&bytes));
        assert_eq!(row.expected_hash(), row.hash);
    }

    #[test]
    fn text_cannot_move_from_one_field_to_the_next() {
        let one = Chain::default()
            .seal(0, "ab", "c", "{}".to_owned())
            .unwrap();
        let two = Chain::default()
            .seal(0, "a", "bc", "{}".to_owned())
            .unwrap();
        assert_ne!(one.hash, two.hash);
    }

    #[test]
    fn a_bad_body_is_refused_and_leaves_the_chain_alone() {
        let mut chain = Chain::default();
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for body in ["", "[]", "1", "{\"a\":}", deep.as_str()] {
            assert!(matches!(
                chain.seal(0, "system", "recorder", body.to_owned()),
                Err(Error::NotAnObject)
            ));
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
        assert!(matches!(
            chain.seal(0, "system", "recorder", long),
            Err(Error::TooLong { what: "body", .. })
        ));
        assert_eq!(chain, Chain::default());
    }

    #[test]
    fn a_row_survives_its_json_line() {
        let row = Chain::default()
            .seal(
                5,
                "plan",
                "revoker",
                "{\"b\": 1,\"a\":\"\u{e9}\"}".to_owned(),
            )
            .unwrap();
        let line = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&line).unwrap(), row);
    }
}
