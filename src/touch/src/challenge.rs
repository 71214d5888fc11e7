//! The document that is signed. Its bytes are canonical by construction: fixed order, every
//! variable part length-prefixed, so that no two challenges have the same bytes.

use crate::fingerprint::Fingerprint;
use crate::sha256;
use crate::ssh::Writer;
use serde::{Deserialize, Serialize};

/// How long a challenge may be answered, in milliseconds.
pub const LIFETIME_MS: u64 = 60_000;

/// The SSHSIG namespace: a signature made for anything else never verifies here.
pub const NAMESPACE: &str = "fusebox-touch@v1";

const VERSION: u8 = 1;

/// Defines a 32-byte value that is written as 64 hexadecimal digits.
macro_rules! bytes32 {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub [u8; 32]);

        impl $type {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let mut bytes = [0; 32];
                hex::decode_to_slice(&text, &mut bytes).map_err(|_| {
                    serde::de::Error::custom("expected 64 hexadecimal digits")
                })?;
                Ok(Self(bytes))
            }
        }
    };
}

bytes32! {
    /// SHA-256 of a plan's canonical bytes.
    PlanHash
}
bytes32! {
    /// 32 random bytes, used once.
    Nonce
}

impl PlanHash {
    /// Hashes the canonical bytes of a plan.
    pub fn of(canonical: &[u8]) -> Self {
        Self(sha256(canonical))
    }

    /// Six words that a person can compare between two screens.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }
}

/// What is asked for. Stopping needs a touch; whatever starts, loosens or makes keys needs the
/// PIN as well (threat T07: a stolen key can stop trading, not start it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Kill: revoke every key that can trade or move money; keep the eyes and the manager.
    Contain,
    /// Kill everything, the read keys and the manager too.
    Total,
    /// Close the positions, before any key dies.
    Flatten,
    /// Freeze a sub-account.
    Freeze,
    /// Try everything that a kill needs without doing it.
    Drill,
    /// Replace one key, or all that are due.
    Rotate,
    /// Release a latch of the ladder, start again.
    Resume,
    /// Add or remove a security key.
    Enrol,
}

impl Action {
    /// Every action, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Contain,
        Self::Total,
        Self::Flatten,
        Self::Freeze,
        Self::Drill,
        Self::Rotate,
        Self::Resume,
        Self::Enrol,
    ];

    /// The word in the signed bytes, in JSON and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contain => "contain",
            Self::Total => "total",
            Self::Flatten => "flatten",
            Self::Freeze => "freeze",
            Self::Drill => "drill",
            Self::Rotate => "rotate",
            Self::Resume => "resume",
            Self::Enrol => "enrol",
        }
    }

    /// Whether the person must be verified (PIN or finger) and not just present.
    pub fn needs_verification(self) -> bool {
        matches!(self, Self::Rotate | Self::Resume | Self::Enrol)
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The document to sign, made by the revoker and by nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Version of the canonical form; 1.
    pub version: u8,
    /// Which revoker asks, so that an assertion for one host is worth nothing on another.
    pub host_id: String,
    /// What is asked for.
    pub action: Action,
    /// Hash of exactly the plan that will run.
    pub plan: PlanHash,
    /// Used once.
    pub nonce: Nonce,
    /// When it was made, milliseconds since 1970 UTC, the revoker's clock.
    pub issued_ms: u64,
    /// From when on it is worthless; `issued_ms` + [`LIFETIME_MS`].
    pub expires_ms: u64,
    /// Who asked, as the revoker sees the peer: `operator uid 1000`.
    pub requester: String,
}

impl Challenge {
    /// Makes a challenge that lives for [`LIFETIME_MS`].
    pub fn new(
        host_id: impl Into<String>,
        action: Action,
        plan: PlanHash,
        nonce: Nonce,
        issued_ms: u64,
        requester: impl Into<String>,
    ) -> Self {
        Self {
            version: VERSION,
            host_id: host_id.into(),
            action,
            plan,
            nonce,
            issued_ms,
            expires_ms: issued_ms.saturating_add(LIFETIME_MS),
            requester: requester.into(),
        }
    }

    /// Whether this build knows the canonical form of the challenge.
    pub fn is_known_version(&self) -> bool {
        self.version == VERSION
    }

    /// The canonical bytes: what [`blob`](Self::blob) hashes.
    pub fn message(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(b"FUSEBOX-TOUCH");
        out.u8(self.version);
        out.str(self.host_id.as_bytes());
        out.str(self.action.as_str().as_bytes());
        out.raw(self.plan.as_bytes());
        out.raw(self.nonce.as_bytes());
        out.u64(self.issued_ms);
        out.u64(self.expires_ms);
        out.str(self.requester.as_bytes());
        out.into_bytes()
    }

    /// The SSHSIG structure to hand to an SSH agent as the data to sign
    /// (`PROTOCOL.sshsig` of OpenSSH, reserved field empty, sha512).
    pub fn blob(&self) -> Vec<u8> {
        let digest = ring::digest::digest(&ring::digest::SHA512, &self.message());
        let mut out = Writer::default();
        out.raw(b"SSHSIG");
        out.str(NAMESPACE.as_bytes());
        out.str(b"");
        out.str(b"sha512");
        out.str(digest.as_ref());
        out.into_bytes()
    }

    /// SHA-256 of [`blob`](Self::blob): the `clientDataHash` to hand to a key over USB.
    pub fn client_data_hash(&self) -> [u8; 32] {
        sha256(&self.blob())
    }

    /// What a security key signs for this challenge: `auth_data || clientDataHash`.
    pub fn signed_bytes(&self, auth_data: &[u8]) -> Vec<u8> {
        let mut out = auth_data.to_vec();
        out.extend_from_slice(&self.client_data_hash());
        out
    }
}
