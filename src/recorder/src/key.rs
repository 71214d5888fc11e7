//! The files around the journal: the checkpoint key, its public half, the latest checkpoint.

use crate::Error;
use fusebox_journal::{Checkpoint, CheckpointKey};
use ring::rand::SecureRandom as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// `path` with `ending` appended: `journal.db.checkpoint`, `journal.db.vkey`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads the checkpoint key, or makes it at the first start: 32 random bytes in hexadecimal, in a
/// file that only its owner reads.
pub(crate) async fn checkpoint_key(path: &Path, name: &str) -> Result<CheckpointKey, Error> {
    if !path.exists() {
        let mut seed = [0; 32];
        ring::rand::SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| Error::file(path)(std::io::Error::other("no random bytes to be had")))?;
        write_whole(path, hex::encode(seed).as_bytes(), 0o400)?;
    }
    let absolute = std::path::absolute(path).map_err(Error::file(path))?;
    let text = fusebox_custody::Source::File(absolute).fetch(None).await?;
    let seed = hex::decode(text.expose()).unwrap_or_default();
    Ok(CheckpointKey::from_seed(
        &format!("fusebox/journal/{name}"),
        &seed,
    )?)
}

/// The checkpoint beside the journal from the last run, if there is one.
pub(crate) fn last_checkpoint(
    journal: &Path,
    key: &CheckpointKey,
) -> Result<Option<Checkpoint>, Error> {
    let path = beside(journal, ".checkpoint");
    match std::fs::read_to_string(&path) {
        Ok(note) => Ok(Some(Checkpoint::open(&note, &key.verifier())?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file(&path)(e)),
    }
}

/// Replaces a file as a whole: a reader, and a crash, see the old or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let part = beside(path, ".part");
    let write = || {
        let _ = std::fs::remove_file(&part);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(Error::file(path))
}
