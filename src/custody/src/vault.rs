//! Reading from Vault or OpenBao (KV version 2). Writing and destroying is the revoker's.

use crate::{Error, Secret, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A reader of a KV v2 store.
#[derive(Debug, Clone)]
pub struct VaultReader {
    http: reqwest::Client,
    address: String,
    token: Secret,
}

/// The current version of a secret.
#[derive(Debug)]
pub struct VaultSecret {
    /// Its version, for check-and-set.
    pub version: u64,
    /// Its fields.
    pub fields: BTreeMap<String, Secret>,
}

/// Why Vault did not give a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// No answer.
    #[error(
        "vault at {address} does not answer ({what}); nothing was read, try again or check the address"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// The transport's words.
        what: String,
    },
    /// An answer that is not the wanted one.
    #[error("vault refused to read {path}: HTTP {status}{}", .errors.first().map(|e| format!(" ({e})")).unwrap_or_default())]
    Refused {
        /// The secret's path.
        path: String,
        /// HTTP status: 403 no permission, 404 no such secret, 503 sealed.
        status: u16,
        /// Vault's own words.
        errors: Vec<String>,
    },
    /// An answer of another form.
    #[error("vault's answer for {path} was not understood: {what}")]
    NotUnderstood {
        /// The secret's path.
        path: String,
        /// What was expected.
        what: String,
    },
    /// `path` is not `mount/path`.
    #[error("{path:?} is not a path of a KV store: expected mount/path")]
    NotAPath {
        /// What was written.
        path: String,
    },
}

#[derive(Deserialize)]
struct Envelope {
    data: Inner,
}

#[derive(Deserialize)]
struct Inner {
    data: Option<BTreeMap<String, Secret>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl VaultReader {
    /// A reader at `address` (`https://vault:8200`) with a token.
    ///
    /// # Errors
    /// [`VaultError::Unreachable`] if no HTTP client can be built (no TLS provider installed).
    pub fn new(address: &str, token: Secret) -> Result<Self, VaultError> {
        let address = address.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(|e| VaultError::Unreachable {
                address: address.clone(),
                what: e.to_string(),
            })?;
        Ok(Self {
            http,
            address,
            token,
        })
    }

    /// Reads the token from `source` (which cannot be `vault:` itself) and builds a reader.
    ///
    /// # Errors
    /// [`Error`] of the source, or of the client.
    pub async fn login(address: &str, source: &Source) -> Result<Self, Error> {
        let token = source.fetch(None).await?;
        Ok(Self::new(address, token)?)
    }

    /// Reads the current version of `mount/path`.
    ///
    /// # Errors
    /// [`VaultError`]; HTTP 404 means that there is none or that it was deleted.
    pub async fn read(&self, path: &str) -> Result<VaultSecret, VaultError> {
        let (mount, rest) = path.split_once('/').ok_or_else(|| VaultError::NotAPath {
            path: path.to_owned(),
        })?;
        let url = format!("{}/v1/{mount}/data/{rest}", self.address);
        let unreachable = |e: reqwest::Error| VaultError::Unreachable {
            address: self.address.clone(),
            what: e.without_url().to_string(),
        };
        let answer = self
            .http
            .get(url)
            .header("X-Vault-Token", self.token.expose())
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(unreachable)?;
        if status != 200 {
            let errors = serde_json::from_slice::<Errors>(&body)
                .map(|e| e.errors)
                .unwrap_or_default();
            return Err(VaultError::Refused {
                path: path.to_owned(),
                status,
                errors,
            });
        }
        // The parser's own message could quote the secret, so only its category is kept.
        let not_understood = |what: &str| VaultError::NotUnderstood {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let envelope: Envelope = serde_json::from_slice(&body)
            .map_err(|_| not_understood("expected a KV v2 secret whose fields are texts"))?;
        let fields = envelope
            .data
            .data
            .ok_or_else(|| not_understood("the current version was deleted"))?;
        Ok(VaultSecret {
            version: envelope.data.metadata.version,
            fields,
        })
    }

    /// Reads one field of `mount/path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`VaultError::NotUnderstood`] if the field is missing.
    pub async fn field(&self, path: &str, field: &str) -> Result<Secret, VaultError> {
        let mut secret = self.read(path).await?;
        secret
            .fields
            .remove(field)
            .ok_or_else(|| VaultError::NotUnderstood {
                path: path.to_owned(),
                what: format!("it has no field {field:?}"),
            })
    }
}
