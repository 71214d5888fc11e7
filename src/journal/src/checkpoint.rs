//! Signed statements "the journal had N rows ending in hash H at time T", in the signed-note form
//! of C2SP (`signed-note`, with the three lines of `tlog-checkpoint`), and the rule by which a
//! component that remembers one refuses an older or rewritten journal.
//!
//! The third line is the head of a hash chain, not of a Merkle tree: what proves that one
//! checkpoint extends another is the rows between them. Timestamps are the signer's word.

use crate::Error;
use crate::row::{Chain, Hash};
use crate::verify::{Fault, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Algorithm byte of Ed25519 in C2SP key hashes and verifier keys.
const ED25519_ALGORITHM: u8 = 1;
/// Longest checkpoint text accepted.
const MAX_NOTE_BYTES: usize = 4096;

/// What a checkpoint states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which journal, `fusebox/journal/<name>`.
    pub origin: String,
    /// Rows so far and the hash of the last one.
    pub chain: Chain,
    /// When it was signed, UTC milliseconds.
    pub time_ms: i64,
}

impl Checkpoint {
    /// The signed text: origin, size, head in base64, time; each line ends in a line feed.
    fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\ntime {}\n",
            self.origin,
            self.chain.size,
            BASE64.encode(self.chain.head.as_bytes()),
            self.time_ms
        )
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|line| !line.is_empty())?.to_owned();
        let size = lines.next()?.parse().ok()?;
        let head = Hash::from_bytes(&BASE64.decode(lines.next()?).ok()?)?;
        let time_ms = lines.next()?.strip_prefix("time ")?.parse().ok()?;
        let checkpoint = Self {
            origin,
            chain: Chain { size, head },
            time_ms,
        };
        // One text per statement: whatever parses must print back to the same bytes.
        (lines.next().is_none() && checkpoint.text() == text).then_some(checkpoint)
    }

    /// Reads a note and checks the signature line that `key` made; lines of other keys are
    /// passed over, as witnesses may add theirs.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not a checkpoint, [`Error::BadSignature`] when no line of
    /// this key verifies.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, Error> {
        let (text, signatures) = split(note)?;
        let checkpoint = Self::parse_text(text).ok_or_else(not_a_checkpoint)?;
        let signed = signatures.lines().any(|line| key.verifies(text, line));
        signed
            .then_some(checkpoint)
            .ok_or_else(|| Error::BadSignature(key.name.clone()))
    }

    /// Reads a note without checking its signature: for a reader that has no key, who must say so.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not a checkpoint.
    pub fn read_unchecked(note: &str) -> Result<Self, Error> {
        let (text, _) = split(note)?;
        Self::parse_text(text).ok_or_else(not_a_checkpoint)
    }
}

fn not_a_checkpoint() -> Error {
    Error::Malformed("not a checkpoint (origin, size, base64 hash, time, signature)".to_owned())
}

/// Splits a note at its blank line into the signed text and the signature lines.
fn split(note: &str) -> Result<(&str, &str), Error> {
    if note.len() > MAX_NOTE_BYTES || !note.ends_with('\n') {
        return Err(not_a_checkpoint());
    }
    let blank = note.rfind("\n\n").ok_or_else(not_a_checkpoint)?;
    let text_end = blank.saturating_add(1);
    let text = note.get(..text_end).ok_or_else(not_a_checkpoint)?;
    let signatures = note
        .get(text_end.saturating_add(1)..)
        .ok_or_else(not_a_checkpoint)?;
    Ok((text, signatures))
}

/// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
fn key_hash(name: &str, public: &[u8]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ED25519_ALGORITHM]);
    bytes.extend_from_slice(public);
    let [a, b, c, d, ..] = *Hash::of(&bytes).as_bytes();
    [a, b, c, d]
}

/// A name usable in a signature line: no space, no plus, no control character.
fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c != '+' && !c.is_whitespace() && !c.is_control())
}

/// The public half, as it is handed to whoever remembers checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Reads the C2SP form `name+hex(key hash)+base64(0x01 ‖ public key)`.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parse = || {
            let mut parts = text.trim().splitn(3, '+');
            let name = parts.next().filter(|name| is_key_name(name))?.to_owned();
            let hash = hex::decode(parts.next()?).ok()?;
            let bytes = BASE64.decode(parts.next()?).ok()?;
            let (algorithm, public) = bytes.split_first()?;
            let public: [u8; 32] = public.try_into().ok()?;
            let matches = *algorithm == ED25519_ALGORITHM && hash == key_hash(&name, &public);
            matches.then_some(Self { name, public })
        };
        parse().ok_or_else(|| {
            Error::Malformed("not a verifier key (name+hash+base64, Ed25519)".to_owned())
        })
    }

    /// The key's name, which is also the journal's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn verifies(&self, text: &str, line: &str) -> bool {
        let check = || {
            let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let blob = BASE64.decode(blob).ok()?;
            let (hash, signature) = blob.split_at_checked(4)?;
            let ours = name == self.name && hash == key_hash(&self.name, &self.public);
            let key = UnparsedPublicKey::new(&ED25519, &self.public);
            (ours && key.verify(text.as_bytes(), signature).is_ok()).then_some(())
        };
        check().is_some()
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![ED25519_ALGORITHM];
        bytes.extend_from_slice(&self.public);
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(key_hash(&self.name, &self.public)),
            BASE64.encode(bytes)
        )
    }
}

/// The recorder's checkpoint key. It signs statements about the journal and nothing else.
pub struct CheckpointKey {
    name: String,
    pair: Ed25519KeyPair,
}

impl CheckpointKey {
    /// Makes the key from its 32 secret bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another length, or a name that cannot stand in a signature line.
    pub fn from_seed(name: &str, seed: &[u8]) -> Result<Self, Error> {
        if !is_key_name(name) {
            return Err(Error::Malformed(
                "a checkpoint key's name has no space, plus or control character".to_owned(),
            ));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::Malformed("a checkpoint key is 32 bytes".to_owned()))?;
        Ok(Self {
            name: name.to_owned(),
            pair,
        })
    }

    /// The public half.
    pub fn verifier(&self) -> VerifierKey {
        let mut public = [0; 32];
        for (to, from) in public.iter_mut().zip(self.pair.public_key().as_ref()) {
            *to = *from;
        }
        VerifierKey {
            name: self.name.clone(),
            public,
        }
    }

    /// Signs that the journal ends in `chain` at `time_ms`; the result is the note's full text.
    pub fn sign(&self, chain: Chain, time_ms: i64) -> String {
        let checkpoint = Checkpoint {
            origin: self.name.clone(),
            chain,
            time_ms,
        };
        let text = checkpoint.text();
        let mut blob = key_hash(&self.name, &self.verifier().public).to_vec();
        blob.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.name, BASE64.encode(blob))
    }
}

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({}, secret hidden)", self.name)
    }
}

/// The newest checkpoint that a component has seen. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered(Chain);

impl Remembered {
    /// Starts from a checkpoint whose signature was checked.
    pub fn new(checkpoint: &Checkpoint) -> Self {
        Self(checkpoint.chain)
    }

    /// The chain end that is remembered.
    pub fn chain(&self) -> Chain {
        self.0
    }

    /// Accepts a newer checkpoint of the same history. `hash_at` gives the hash of a row of the
    /// journal at hand; a signature alone does not prove that the newer checkpoint extends the
    /// remembered one.
    ///
    /// # Errors
    /// [`Reason::Truncated`] for a shorter journal, [`Reason::Forked`] for another history.
    pub fn advance(
        &mut self,
        newer: &Checkpoint,
        hash_at: impl Fn(u64) -> Option<Hash>,
    ) -> Result<(), Fault> {
        let (old, new) = (self.0, newer.chain);
        let fault = |bad_seq, reason| Err(Fault { bad_seq, reason });
        if new.size < old.size {
            return fault(new.size.saturating_add(1), Reason::Truncated);
        }
        for end in [old, new] {
            if end.size == 0 {
                continue;
            }
            match hash_at(end.size) {
                Some(hash) if hash == end.head => {}
                Some(_) => return fault(end.size, Reason::Forked),
                None => return fault(end.size, Reason::Truncated),
            }
        }
        self.0 = new;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CheckpointKey {
        CheckpointKey::from_seed("fusebox/journal/test", &[7; 32]).unwrap()
    }

    fn chain(size: u64) -> Chain {
        Chain {
            size,
            head: Hash::of(&size.to_be_bytes()),
        }
    }

    #[test]
    fn a_signed_checkpoint_opens_and_its_key_survives_its_text() {
        let note = key().sign(chain(12), 1_790_000_000_123);
        let verifier = VerifierKey::parse(&key().verifier().to_string()).unwrap();
        let opened = Checkpoint::open(&note, &verifier).unwrap();
        assert_eq!(opened.chain, chain(12));
        assert_eq!(opened.time_ms, 1_790_000_000_123);
        assert_eq!(opened.origin, "fusebox/journal/test");
        let witnessed = format!("{note}\u{2014} witness.example AAAA\n");
        assert_eq!(Checkpoint::open(&witnessed, &verifier).unwrap(), opened);
    }

    #[test]
    fn no_byte_of_a_checkpoint_can_be_changed() {
        let note = key().sign(chain(12), 1_790_000_000_123);
        let verifier = key().verifier();
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&changed, &verifier).is_err(), "byte {at}");
            }
        }
        for cut in 0..note.len() {
            if let Some(short) = note.get(..cut) {
                assert!(Checkpoint::open(short, &verifier).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn another_key_is_refused_by_name() {
        let other = CheckpointKey::from_seed("fusebox/journal/test", &[8; 32]).unwrap();
        let note = other.sign(chain(1), 0);
        assert!(matches!(
            Checkpoint::open(&note, &key().verifier()),
            Err(Error::BadSignature(_))
        ));
        assert!(Checkpoint::read_unchecked(&note).is_ok());
    }

    #[test]
    fn a_remembered_checkpoint_refuses_shorter_and_rewritten_journals() {
        let at = |size| Checkpoint {
            origin: "o".into(),
            chain: chain(size),
            time_ms: 0,
        };
        let honest = |size: u64| Some(chain(size).head);
        let mut memory = Remembered::new(&at(5));
        assert_eq!(memory.advance(&at(5), honest), Ok(()));
        assert_eq!(memory.advance(&at(9), honest), Ok(()));
        let refused = |bad_seq, reason| Err(Fault { bad_seq, reason });
        assert_eq!(
            memory.advance(&at(8), honest),
            refused(9, Reason::Truncated)
        );
        let rewritten = |_| Some(Hash::of(b"other"));
        assert_eq!(
            memory.advance(&at(12), rewritten),
            refused(9, Reason::Forked)
        );
        let cut = |size| (size < 12).then(|| chain(size).head);
        assert_eq!(memory.advance(&at(12), cut), refused(12, Reason::Truncated));
        assert_eq!(memory.chain(), chain(9), "a refusal changes nothing");
    }
}
