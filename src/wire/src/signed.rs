use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A statement with its author's Ed25519 signature. The signed bytes are the JSON text as it
/// stands in `body`, after a tag that names what kind of statement it is, so that a signature
/// made for one purpose is worth nothing for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The statement: JSON text, verified before it is parsed.
    pub body: String,
    /// The signature, 64 bytes in lower-case hex.
    pub signature: String,
}

/// Why a signed statement is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// The signature does not belong to this body, purpose and key.
    #[error(
        "the signature does not match: the statement is not by the expected component, or was changed"
    )]
    Forged,
    /// Signed, but not of the expected form.
    #[error("the signed statement was not understood: {0}")]
    NotUnderstood(#[source] serde_json::Error),
    /// A value that does not become JSON.
    #[error("a statement could not be written as JSON: {0}")]
    NotWritable(#[source] serde_json::Error),
}

impl Signed {
    /// Signs `statement` for `purpose` (a constant such as `"fusebox/stop/v1"`).
    ///
    /// # Errors
    /// [`SignedError::NotWritable`] if the statement has no JSON form.
    pub fn sign<T: Serialize>(
        purpose: &str,
        statement: &T,
        key: &Ed25519KeyPair,
    ) -> Result<Self, SignedError> {
        let body = serde_json::to_string(statement).map_err(SignedError::NotWritable)?;
        let signature = hex::encode(key.sign(&signed_bytes(purpose, &body)));
        Ok(Self { body, signature })
    }

    /// Verifies the signature, then parses the body.
    ///
    /// # Errors
    /// [`SignedError::Forged`] before anything of the body is looked at.
    pub fn open<T: DeserializeOwned>(
        &self,
        purpose: &str,
        public_key: &[u8],
    ) -> Result<T, SignedError> {
        let signature = hex::decode(&self.signature).map_err(|_| SignedError::Forged)?;
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(&signed_bytes(purpose, &self.body), &signature)
            .map_err(|_| SignedError::Forged)?;
        self.peek()
    }

    /// Parses the body without believing it: for showing it marked as UNTRUSTED.
    ///
    /// # Errors
    /// [`SignedError::NotUnderstood`].
    pub fn peek<T: DeserializeOwned>(&self) -> Result<T, SignedError> {
        serde_json::from_str(&self.body).map_err(SignedError::NotUnderstood)
    }
}

/// `purpose`, a zero byte, the body.
fn signed_bytes(purpose: &str, body: &str) -> Vec<u8> {
    [purpose.as_bytes(), &[0], body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair;

    #[test]
    fn a_statement_is_bound_to_its_purpose_its_author_and_its_text() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let signed = Signed::sign("stop", &("kill", 3), &key).unwrap();
        let author = key.public_key().as_ref();
        assert_eq!(
            signed.open::<(String, u8)>("stop", author).unwrap(),
            ("kill".to_owned(), 3)
        );
        let refused = |s: &Signed, purpose: &str, by: &[u8]| {
            matches!(
                s.open::<(String, u8)>(purpose, by),
                Err(SignedError::Forged)
            )
        };
        assert!(refused(&signed, "release", author));
        assert!(refused(&signed, "stop", other.public_key().as_ref()));
        let changed = Signed {
            body: signed.body.replace('3', "4"),
            ..signed.clone()
        };
        assert!(refused(&changed, "stop", author));
        assert!(refused(
            &Signed {
                signature: "zz".into(),
                ..signed
            },
            "stop",
            author
        ));
    }
}
