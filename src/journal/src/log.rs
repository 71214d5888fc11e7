//! A chained log in a plain file: one sealed row as JSON per line, each durable before it counts.
//!
//! For a component whose own record must not depend on the recorder (the revoker's intents). It
//! has one writer, held by a file lock. A last line without its line feed was never acknowledged
//! (the process or the machine died while writing it) and is cut off; anything else that does not
//! verify is refused, never repaired.

use crate::Error;
use crate::row::{Chain, Row};
use crate::verify::{Fault, Reason, Verifier};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// An open log, at its end.
#[derive(Debug)]
pub struct ChainLog {
    path: PathBuf,
    file: File,
    chain: Chain,
    /// Bytes of whole, verified lines.
    length: u64,
}

impl ChainLog {
    /// Opens or creates (mode 0600) the log, verifies all of it, and returns its rows.
    ///
    /// # Errors
    /// [`Error::Locked`] when it has a writer, [`Error::Broken`] when a row does not verify,
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<(Self, Vec<Row>), Error> {
        let io = || Error::io(path);
        let existed = path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io())?;
        lock(&file, path)?;
        if !existed {
            sync_directory(path).map_err(io())?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io())?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at.saturating_add(1));
        let rows = read_rows(bytes.get(..whole).unwrap_or_default())?;
        let length = whole as u64;
        if whole < bytes.len() {
            file.set_len(length).map_err(io())?;
            file.sync_all().map_err(io())?;
        }
        file.seek(SeekFrom::Start(length)).map_err(io())?;
        let chain = rows.last().map_or_else(Chain::default, |row| Chain {
            size: row.seq,
            head: row.hash,
        });
        let log = Self {
            path: path.to_owned(),
            file,
            chain,
            length,
        };
        Ok((log, rows))
    }

    /// Seals a row, writes it and waits until it is on the disk.
    ///
    /// # Errors
    /// As [`Chain::seal`], or [`Error::Io`]; the log is then as before.
    pub fn append(
        &mut self,
        time_ms: i64,
        kind: &str,
        author: &str,
        body: String,
    ) -> Result<Row, Error> {
        let mut next = self.chain;
        let row = next.seal(time_ms, kind, author, body)?;
        let mut line = serde_json::to_string(&row).map_err(|e| Error::Malformed(e.to_string()))?;
        line.push('\n');
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line may be there: go back, so that the next row does not follow garbage. If
            // that fails as well, the next open cuts it off.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(Error::io(&self.path)(source));
        }
        self.length = self.length.saturating_add(line.len() as u64);
        self.chain = next;
        Ok(row)
    }

    /// Where the log ends.
    pub fn chain(&self) -> Chain {
        self.chain
    }
}

fn read_rows(bytes: &[u8]) -> Result<Vec<Row>, Fault> {
    let mut verifier = Verifier::default();
    let mut rows: Vec<Row> = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let row: Row = serde_json::from_slice(line).map_err(|_| Fault {
            bad_seq: verifier.so_far().size.saturating_add(1),
            reason: Reason::NotCanonical,
        })?;
        verifier.push((&row).into())?;
        rows.push(row);
    }
    Ok(rows)
}

/// Takes the writer's lock, which the system gives back when the process ends in any way.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    use rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(file, NonBlockingLockExclusive)
        .map_err(|_| Error::Locked(path.display().to_string()))
}

/// Makes a new file's name durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &Path, n: usize) -> Vec<Row> {
        let (mut log, _) = ChainLog::open(path).unwrap();
        (0..n)
            .map(|i| {
                log.append(i as i64, "intent", "revoker", format!("{{\"n\":{i}}}"))
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn rows_are_there_again_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intents.jsonl");
        let written = filled(&path, 3);
        let (mut log, rows) = ChainLog::open(&path).unwrap();
        assert_eq!(rows, written);
        assert_eq!(
            log.append(9, "step", "revoker", "{}".into()).unwrap().seq,
            4
        );
    }

    #[test]
    fn a_torn_last_line_is_cut_at_every_length_and_a_changed_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intents.jsonl");
        let written = filled(&path, 3);
        let whole = std::fs::read(&path).unwrap();
        let third = serde_json::to_string(&written[2]).unwrap().len() + 1;
        for cut in whole.len() - third..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (log, rows) = ChainLog::open(&path).unwrap();
            assert_eq!(rows, written[..2], "cut at {cut}");
            assert_eq!(log.chain().size, 2);
        }
        for at in (0..whole.len() - 1).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(
                matches!(ChainLog::open(&path), Err(Error::Broken(_))),
                "byte {at}"
            );
        }
    }

    #[test]
    fn there_is_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intents.jsonl");
        let (_log, _) = ChainLog::open(&path).unwrap();
        assert!(matches!(ChainLog::open(&path), Err(Error::Locked(_))));
    }
}
