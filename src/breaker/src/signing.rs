//! The key with which the breaker signs its requests to the revoker. Made at the first start,
//! readable by its owner alone; the public half stands beside it, to be enrolled at the revoker.

use crate::Error;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads the key of `state_dir`, or makes one.
pub(crate) fn load_or_make(state_dir: &Path) -> Result<Ed25519KeyPair, Error> {
    let path = state_dir.join("signing-key");
    let wrong = |why: String| Error::SigningKey {
        path: path.clone(),
        why,
    };
    if !path.exists() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| wrong("no randomness to make it".to_owned()))?;
        write_new(&path, 0o400, pkcs8.as_ref())?;
        tracing::info!(path = %path.display(), "made a signing key");
    }
    let meta = std::fs::metadata(&path).map_err(|e| wrong(e.to_string()))?;
    if meta.mode() & 0o077 != 0 {
        return Err(wrong("others may read it: chmod 0400".to_owned()));
    }
    let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
    let key = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|e| wrong(e.to_string()))?;
    let public = state_dir.join("signing-key.pub");
    let text = format!("{}\n", hex::encode(key.public_key().as_ref()));
    if std::fs::read_to_string(&public).ok().as_ref() != Some(&text) {
        let _ = std::fs::remove_file(&public);
        write_new(&public, 0o444, text.as_bytes())?;
    }
    Ok(key)
}

/// Makes the state directory, closed to everyone else.
pub(crate) fn make_state_dir(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io(format!("making {}", path.display())))
}

/// Writes a file that was not there, through to the disk.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        // Under another name first: half a key must not be taken for one.
        let draft = path.with_extension("new");
        let _ = std::fs::remove_file(&draft);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(Error::io(format!("writing {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_closed_to_others_and_its_public_half_stands_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path()).unwrap();
        let again = load_or_make(dir.path()).unwrap();
        assert_eq!(first.public_key().as_ref(), again.public_key().as_ref());
        let mode = std::fs::metadata(dir.path().join("signing-key"))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o777, 0o400);
        let text = std::fs::read_to_string(dir.path().join("signing-key.pub")).unwrap();
        assert_eq!(
            hex::decode(text.trim()).unwrap(),
            first.public_key().as_ref()
        );
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_broken_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing-key");
        write_new(&path, 0o400, b"nonsense").unwrap();
        assert!(matches!(
            load_or_make(dir.path()),
            Err(Error::SigningKey { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        write_new(&path, 0o444, b"nonsense").unwrap();
        let Err(error) = load_or_make(dir.path()) else {
            panic!("an open key was taken");
        };
        assert!(error.to_string().contains("chmod 0400"));
    }
}
