//! What a security key answered, brought to one form whichever way it came.

use crate::enrolment::{Algorithm, Application, CredentialId};
use crate::sha256;
use crate::ssh::{Reader, padded};
use serde::{Deserialize, Serialize};

/// Length of authenticator data without attested credential data and extensions.
pub(crate) const AUTH_DATA_LEN: usize = 37;

/// An assertion in normal form. It is a claim until [`crate::verify`] has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// Which enrolled credential says it answered.
    pub credential_id: CredentialId,
    /// `SHA-256(application) || flags || counter`, big endian; 37 bytes when it is right.
    #[serde(with = "hex::serde")]
    pub auth_data: Vec<u8>,
    /// Ed25519: as it is; ES256: r and s, 32 bytes each. 64 bytes when it is right.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// An answer of a security key or an agent that is not an assertion at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The DER of an ECDSA signature is broken.
    #[error(
        "the security key's ECDSA signature is not DER of two integers; nothing was approved; touch again"
    )]
    Der,
    /// The agent's answer cannot be read.
    #[error(
        "the SSH agent's answer is not a security-key signature; nothing was approved; check that the key is an sk key and touch again"
    )]
    Agent,
}

impl Assertion {
    /// From CTAP2: `signature` is raw for Ed25519 and DER for ES256.
    ///
    /// # Errors
    /// [`AssertionError::Der`] when an ES256 signature is not DER.
    pub fn from_ctap2(
        credential_id: CredentialId,
        algorithm: Algorithm,
        auth_data: &[u8],
        signature: &[u8],
    ) -> Result<Self, AssertionError> {
        let signature = match algorithm {
            Algorithm::Ed25519 => signature.to_vec(),
            Algorithm::Es256 => fixed_from_der(signature).ok_or(AssertionError::Der)?,
        };
        Ok(Self {
            credential_id,
            auth_data: auth_data.to_vec(),
            signature,
        })
    }

    /// From an SSH agent: `answer` is the signature blob of SSH_AGENT_SIGN_RESPONSE,
    /// `str(type) || str(signature) || u8 flags || u32 counter`.
    ///
    /// # Errors
    /// [`AssertionError::Agent`] when it is anything else.
    pub fn from_agent(
        credential_id: CredentialId,
        application: Application,
        answer: &[u8],
    ) -> Result<Self, AssertionError> {
        Self::parse_agent(credential_id, application, answer).ok_or(AssertionError::Agent)
    }

    fn parse_agent(
        credential_id: CredentialId,
        application: Application,
        answer: &[u8],
    ) -> Option<Self> {
        let mut reader = Reader::new(answer);
        let kind = reader.str()?;
        let inner = reader.str()?;
        let flags = reader.u8()?;
        let counter = reader.u32()?;
        reader.end()?;
        let signature = match Algorithm::from_ssh_name(kind)? {
            Algorithm::Ed25519 => inner.to_vec(),
            Algorithm::Es256 => {
                let mut scalars = Reader::new(inner);
                let (r, s) = (scalars.scalar()?, scalars.scalar()?);
                scalars.end()?;
                [r, s].concat()
            }
        };
        Some(Self {
            credential_id,
            auth_data: Self::auth_data(application, flags, counter),
            signature,
        })
    }

    /// The authenticator data of `application`, `flags` and `counter`, which the agent's protocol
    /// sends in parts. Also what a software key signs (with [`crate::Challenge::signed_bytes`]).
    pub fn auth_data(application: Application, flags: u8, counter: u32) -> Vec<u8> {
        let mut out = sha256(application.as_str().as_bytes()).to_vec();
        out.push(flags);
        out.extend_from_slice(&counter.to_be_bytes());
        out
    }

    /// SHA-256 over the whole assertion: two equal ids are the same touch (K10). Worth nothing
    /// as an authority; it only finds the run that the touch started.
    pub fn id(&self) -> [u8; 32] {
        let mut all = sha256(self.credential_id.as_bytes()).to_vec();
        all.extend_from_slice(&sha256(&self.auth_data));
        all.extend_from_slice(&self.signature);
        sha256(&all)
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` to r and s of 32 bytes each. Lengths of a P-256 signature
/// fit one byte, so the long form is refused.
fn fixed_from_der(der: &[u8]) -> Option<Vec<u8>> {
    let body = tagged(der, 0x30).filter(|(_, rest)| rest.is_empty())?.0;
    let (r, rest) = tagged(body, 0x02)?;
    let (s, rest) = tagged(rest, 0x02)?;
    let negative = |n: &[u8]| n.first().is_none_or(|first| *first >= 0x80);
    if !rest.is_empty() || negative(r) || negative(s) {
        return None;
    }
    Some([padded(r)?, padded(s)?].concat())
}

/// One DER element with the tag, and what follows it.
fn tagged(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let [found, len] = *head;
    if found != tag || len >= 0x80 {
        return None;
    }
    rest.split_at_checked(usize::from(len))
}
