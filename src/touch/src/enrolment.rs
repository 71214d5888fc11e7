//! The security keys that may approve something: public data only.

use crate::challenge::Action;
use crate::ssh::{Reader, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The relying party a credential was made for. Any other is refused when it is read: a key made
/// for something else must never be worth a touch here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Application {
    /// `ssh:fusebox`: a real security key.
    #[serde(rename = "ssh:fusebox")]
    Fusebox,
    /// `ssh:fusebox-demo`: the demo's software key, worth something in environment `sim` only.
    #[serde(rename = "ssh:fusebox-demo")]
    Demo,
}

impl Application {
    /// As written in credentials, and hashed into authenticator data.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fusebox => "ssh:fusebox",
            Self::Demo => "ssh:fusebox-demo",
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        [Self::Fusebox, Self::Demo]
            .into_iter()
            .find(|a| a.as_str().as_bytes() == bytes)
    }
}

impl std::fmt::Display for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The two signature algorithms that security keys of today speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// `ed25519-sk`.
    Ed25519,
    /// `ecdsa-sk`: ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The name of a security key's public key in SSH.
    pub fn ssh_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "sk-ssh-ed25519@openssh.com",
            Self::Es256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    pub(crate) fn from_ssh_name(name: &[u8]) -> Option<Self> {
        [Self::Ed25519, Self::Es256]
            .into_iter()
            .find(|a| a.ssh_name().as_bytes() == name)
    }
}

/// The handle by which a security key knows a credential; base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// Wraps the handle.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The handle.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for CredentialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl Serialize for CredentialId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CredentialId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(&text)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("expected base64 of a credential id"))
    }
}

/// A public key of the right length for its algorithm; hexadecimal in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPublicKey", into = "RawPublicKey")]
pub struct PublicKey {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct RawPublicKey {
    algorithm: Algorithm,
    #[serde(with = "hex::serde")]
    bytes: Vec<u8>,
}

impl TryFrom<RawPublicKey> for PublicKey {
    type Error = EnrolmentError;

    fn try_from(raw: RawPublicKey) -> Result<Self, EnrolmentError> {
        Self::new(raw.algorithm, raw.bytes)
    }
}

impl From<PublicKey> for RawPublicKey {
    fn from(key: PublicKey) -> Self {
        Self {
            algorithm: key.algorithm,
            bytes: key.bytes,
        }
    }
}

/// Why a credential cannot be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// Wrong length or form for the algorithm.
    #[error(
        "the public key has the wrong form: Ed25519 has 32 bytes, P-256 an uncompressed point of 65; make a new credential with ssh-keygen -t ed25519-sk or -t ecdsa-sk"
    )]
    Form,
    /// Not a public key of a security key in SSH's form.
    #[error(
        "this is not the public key of a security key; expected sk-ssh-ed25519@openssh.com or sk-ecdsa-sha2-nistp256@openssh.com"
    )]
    NotASecurityKey,
    /// Made for another application.
    #[error(
        "this credential was made for another application; make one with -O application=ssh:fusebox"
    )]
    Application,
}

impl PublicKey {
    /// Takes raw bytes: 32 for Ed25519, 65 (0x04, x, y) for P-256.
    ///
    /// # Errors
    /// [`EnrolmentError::Form`] for anything else.
    pub fn new(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, EnrolmentError> {
        let right = match algorithm {
            Algorithm::Ed25519 => bytes.len() == 32,
            Algorithm::Es256 => bytes.len() == 65 && bytes.first() == Some(&4),
        };
        right
            .then_some(Self { algorithm, bytes })
            .ok_or(EnrolmentError::Form)
    }

    /// Which algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The public key as an SSH agent lists it.
    pub fn to_ssh_blob(&self, application: Application) -> Vec<u8> {
        let mut out = Writer::default();
        out.str(self.algorithm.ssh_name().as_bytes());
        if self.algorithm == Algorithm::Es256 {
            out.str(b"nistp256");
        }
        out.str(&self.bytes);
        out.str(application.as_str().as_bytes());
        out.into_bytes()
    }

    /// Reads a public key as an SSH agent lists it, or as the base64 of a `.pub` file says.
    ///
    /// # Errors
    /// [`EnrolmentError`] when it is no security key, or one for another application.
    pub fn from_ssh_blob(blob: &[u8]) -> Result<(Self, Application), EnrolmentError> {
        let mut reader = Reader::new(blob);
        let algorithm = reader
            .str()
            .and_then(Algorithm::from_ssh_name)
            .ok_or(EnrolmentError::NotASecurityKey)?;
        if algorithm == Algorithm::Es256 && reader.str() != Some(b"nistp256") {
            return Err(EnrolmentError::NotASecurityKey);
        }
        let bytes = reader.str().ok_or(EnrolmentError::NotASecurityKey)?;
        let application = reader.str().ok_or(EnrolmentError::NotASecurityKey)?;
        reader.end().ok_or(EnrolmentError::NotASecurityKey)?;
        let application =
            Application::from_bytes(application).ok_or(EnrolmentError::Application)?;
        Ok((Self::new(algorithm, bytes.to_vec())?, application))
    }
}

/// One enrolled credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The operator's name for it, `yubikey-blue presence`.
    pub label: String,
    /// What it was made for.
    pub application: Application,
    /// Its handle.
    pub credential_id: CredentialId,
    /// Its public key.
    pub public_key: PublicKey,
    /// The model of the authenticator, 32 hexadecimal digits; empty when it was not attested.
    #[serde(default)]
    pub aaguid: String,
    /// The signature counter last seen.
    pub counter: u32,
    /// Whether the credential was made `verify-required`: it then always verifies its user.
    pub uv: bool,
    /// What it may approve.
    pub actions: Vec<Action>,
    /// The physical device, `yubikey-blue`; armed means two different ones.
    pub device: String,
    /// When it was enrolled, milliseconds since 1970 UTC.
    pub enrolled_ms: u64,
}
