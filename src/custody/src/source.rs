use crate::{Secret, VaultError, VaultReader};
use serde::Deserialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a secret is kept. This, never the secret, stands in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// `file:/path`: a file that only its owner can read; one trailing line break is not part of
    /// the secret.
    File(PathBuf),
    /// `credential:NAME`: a file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `vault:PATH#FIELD`: a field of a KV v2 secret, the path as `mount/path`.
    Vault {
        /// `kv/trading/freqtrade-1`.
        path: String,
        /// `secret`.
        field: String,
    },
}

/// Why a secret could not be had. Never contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one of the three forms.
    #[error("{text:?} names no secret: expected file:/path, credential:NAME or vault:PATH#FIELD")]
    NotASource {
        /// What was written.
        text: String,
    },
    /// The file is not there or not readable.
    #[error("cannot read the secret file {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the secret file {path} has mode {mode:04o}: make it readable by its owner alone (chmod 0400)", path = .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("the secret file {path} belongs to uid {uid}, not to this program's user or root", path = .path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Nothing in it, or not text.
    #[error("the secret file {path} is empty or not text", path = .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Not started by systemd with credentials.
    #[error(
        "credential:{name} needs a service started with LoadCredential={name}:…, but CREDENTIALS_DIRECTORY is not set"
    )]
    NoCredentials {
        /// The credential.
        name: String,
    },
    /// A `vault:` source, and no Vault in the configuration.
    #[error("vault:{path} is named, but the configuration has no [vault]")]
    NoVault {
        /// The path.
        path: String,
    },
    /// Vault did not give it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl TryFrom<String> for Source {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let wrong = || Error::NotASource { text: text.clone() };
        match text.split_once(':').ok_or_else(wrong)? {
            ("file", path) if path.starts_with('/') => Ok(Self::File(path.into())),
            ("credential", name) if !name.is_empty() && !name.contains('/') => {
                Ok(Self::Credential(name.to_owned()))
            }
            ("vault", rest) => match rest.split_once('#') {
                Some((path, field)) if path.contains('/') && !field.is_empty() => Ok(Self::Vault {
                    path: path.to_owned(),
                    field: field.to_owned(),
                }),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl Source {
    /// Fetches the secret.
    ///
    /// # Errors
    /// [`Error`] names the place and what to mend, never the secret.
    pub async fn fetch(&self, vault: Option<&VaultReader>) -> Result<Secret, Error> {
        match self {
            Self::File(path) => read_file(path),
            Self::Credential(name) => {
                let dir = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| Error::NoCredentials { name: name.clone() })?;
                read_file(&Path::new(&dir).join(name))
            }
            Self::Vault { path, field } => {
                let vault = vault.ok_or_else(|| Error::NoVault { path: path.clone() })?;
                Ok(vault.field(path, field).await?)
            }
        }
    }
}

/// Reads a file that must belong to us (or root) and be closed to everyone else.
fn read_file(path: &Path) -> Result<Secret, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.into(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.mode() & 0o077 != 0 {
        return Err(Error::TooOpen {
            path: path.into(),
            mode: meta.mode() & 0o7777,
        });
    }
    if meta.uid() != rustix::process::geteuid().as_raw() && meta.uid() != 0 {
        return Err(Error::ForeignOwner {
            path: path.into(),
            uid: meta.uid(),
        });
    }
    let mut text = std::fs::read_to_string(path).map_err(unreadable)?;
    if text.ends_with('\n') {
        text.pop();
    }
    match text.is_empty() {
        true => Err(Error::Empty { path: path.into() }),
        false => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn source(text: &str) -> Result<Source, Error> {
        Source::try_from(text.to_owned())
    }

    #[test]
    fn only_the_three_forms_are_sources() {
        assert!(matches!(
            source("file:/etc/fusebox/key"),
            Ok(Source::File(_))
        ));
        assert!(matches!(
            source("credential:key"),
            Ok(Source::Credential(_))
        ));
        assert!(matches!(
            source("vault:kv/trading/bot#secret"),
            Ok(Source::Vault { .. })
        ));
        for wrong in [
            "hunter2",
            "file:relative",
            "credential:../x",
            "credential:",
            "vault:kv/x",
            "env:KEY",
        ] {
            assert!(
                matches!(source(wrong), Err(Error::NotASource { .. })),
                "{wrong}"
            );
        }
    }

    #[tokio::test]
    async fn a_secret_file_is_read_only_when_it_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "s3cret\n").unwrap();
        let fetch = async |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Source::File(path.clone()).fetch(None).await
        };
        assert!(matches!(
            fetch(0o644).await,
            Err(Error::TooOpen { mode: 0o644, .. })
        ));
        assert_eq!(fetch(0o400).await.unwrap().expose(), "s3cret");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(matches!(fetch(0o400).await, Err(Error::Empty { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            Source::File(path.clone()).fetch(None).await,
            Err(Error::Unreadable { .. })
        ));
    }
}
