use crate::{Error, Offer};
use fusebox_touch::{Algorithm, Application, Assertion, Challenge, CredentialId, PublicKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The demo's stand-in for a security key: an Ed25519 key in a file, made for the application
/// `ssh:fusebox-demo`, which a revoker accepts only in environment `sim`. It says "present" and
/// "verified" of whoever presses the key that the console names, so it proves nothing about a
/// person; everything else about it is as with a real key, the rising counter included.
#[derive(Debug)]
pub struct SoftKey {
    path: PathBuf,
    stored: Stored,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    seed: String,
    #[zeroize(skip)]
    credential_id: CredentialId,
    counter: u32,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "software key, counter {}", self.counter)
    }
}

/// User present and user verified.
const FLAGS: u8 = 0x05;

impl SoftKey {
    /// Makes a new key and writes it to `path`, readable by its owner alone.
    ///
    /// # Errors
    /// [`Error::SoftKeyFile`], also when the file is there already.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let wrong = |what: String| Error::SoftKeyFile {
            path: path.into(),
            what,
        };
        let mut bytes = [0; 64];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| wrong("no randomness".to_owned()))?;
        let (seed, handle) = bytes.split_at(32);
        let stored = Stored {
            seed: hex::encode(seed),
            credential_id: CredentialId::new(handle),
            counter: 0,
        };
        bytes.zeroize();
        if path.exists() {
            return Err(wrong("it exists already".to_owned()));
        }
        let key = Self {
            path: path.into(),
            stored,
        };
        key.save()?;
        Ok(key)
    }

    /// Opens an existing key.
    ///
    /// # Errors
    /// [`Error::SoftKeyFile`] says what is wrong with the file, never what is in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |what: String| Error::SoftKeyFile {
            path: path.into(),
            what,
        };
        let mut text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let stored =
            serde_json::from_str(&text).map_err(|_| wrong("it is not a software key".to_owned()));
        text.zeroize();
        Ok(Self {
            path: path.into(),
            stored: stored?,
        })
    }

    /// What is enrolled at the revoker.
    ///
    /// # Errors
    /// [`Error::SoftKeyFile`] if the seed is damaged.
    pub fn offer(&self) -> Result<Offer, Error> {
        let public = self.pair()?.public_key().as_ref().to_vec();
        let public_key =
            PublicKey::new(Algorithm::Ed25519, public).map_err(|e| self.wrong(e.to_string()))?;
        Ok(Offer {
            application: Application::Demo,
            credential_id: self.stored.credential_id.clone(),
            public_key,
        })
    }

    /// "Touches" the key: raises its counter, on disk first, and signs.
    ///
    /// # Errors
    /// [`Error::DemoNotAccepted`] if the revoker did not offer this credential.
    pub fn sign(&mut self, challenge: &Challenge, offers: &[Offer]) -> Result<Assertion, Error> {
        let mine = self.offer()?;
        if !offers.contains(&mine) {
            return Err(Error::DemoNotAccepted);
        }
        self.stored.counter = self
            .stored
            .counter
            .checked_add(1)
            .ok_or_else(|| self.wrong("its counter is used up".to_owned()))?;
        self.save()?;
        let auth_data = Assertion::auth_data(Application::Demo, FLAGS, self.stored.counter);
        let signature = self.pair()?.sign(&challenge.signed_bytes(&auth_data));
        Ok(Assertion {
            credential_id: mine.credential_id,
            auth_data,
            signature: signature.as_ref().to_vec(),
        })
    }

    fn pair(&self) -> Result<Ed25519KeyPair, Error> {
        let mut seed = hex::decode(&self.stored.seed)
            .map_err(|_| self.wrong("its seed is damaged".to_owned()))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        seed.zeroize();
        pair.map_err(|_| self.wrong("its seed is damaged".to_owned()))
    }

    /// Writes beside the file and renames, so that a crash leaves the old or the new one.
    fn save(&self) -> Result<(), Error> {
        let beside = self.path.with_extension("new");
        let write = || {
            let mut text = serde_json::to_string(&self.stored)?;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            let written = file.write_all(text.as_bytes());
            text.zeroize();
            written?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(|e: std::io::Error| self.wrong(e.to_string()))
    }

    fn wrong(&self, what: String) -> Error {
        Error::SoftKeyFile {
            path: self.path.clone(),
            what,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fusebox_touch::{Action, Nonce, PlanHash};

    pub(crate) fn challenge() -> Challenge {
        Challenge::new(
            "host",
            Action::Contain,
            PlanHash::of(b"plan"),
            Nonce([1; 32]),
            0,
            "operator uid 1000",
        )
    }

    /// One key per directory, opened as often as it is asked for.
    pub(crate) fn soft_key(dir: &tempfile::TempDir) -> (SoftKey, Offer) {
        let path = dir.path().join("key");
        let key = SoftKey::open(&path)
            .or_else(|_| SoftKey::create(&path))
            .unwrap();
        let offer = key.offer().unwrap();
        (key, offer)
    }

    #[test]
    fn the_counter_rises_even_across_restarts_and_the_signature_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let counters: Vec<_> = (0..3)
            .map(|_| {
                let (mut key, offer) = soft_key(&dir);
                let assertion = key
                    .sign(&challenge(), std::slice::from_ref(&offer))
                    .unwrap();
                ring::signature::UnparsedPublicKey::new(
                    &ring::signature::ED25519,
                    offer.public_key.as_bytes(),
                )
                .verify(
                    &challenge().signed_bytes(&assertion.auth_data),
                    &assertion.signature,
                )
                .unwrap();
                assertion.auth_data[36]
            })
            .collect();
        assert_eq!(counters, [1, 2, 3]);
    }

    #[test]
    fn a_key_that_was_not_offered_does_not_sign() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            soft_key(&dir).0.sign(&challenge(), &[]),
            Err(Error::DemoNotAccepted)
        ));
    }

    #[test]
    fn a_damaged_file_is_named_and_its_content_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "{\"seed\":\"5ec7e7\"").unwrap();
        let got = SoftKey::open(&path).unwrap_err().to_string();
        assert!(
            got.contains("is not a software key") && !got.contains("5ec7e7"),
            "{got}"
        );
        let (key, _) = soft_key(&tempfile::tempdir().unwrap());
        assert!(!format!("{key:?}").contains(&key.stored.seed));
    }
}
