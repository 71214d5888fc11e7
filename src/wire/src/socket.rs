use crate::{Error, Frames};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Version of the messages; raised when one changes its meaning.
pub const PROTOCOL: u32 = 1;

/// How long a greeting may take. A peer that connects and says nothing must not hold a place.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The operator's console and its commands.
    Console,
    /// The breaker.
    Breaker,
    /// The recorder.
    Recorder,
    /// The revoker.
    Revoker,
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Console => "console",
            Self::Breaker => "breaker",
            Self::Recorder => "recorder",
            Self::Revoker => "revoker",
        })
    }
}

/// The first message, each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The speaker's [`PROTOCOL`].
    pub protocol: u32,
    /// Who speaks. Informative: authority comes from the socket and the uid.
    pub component: Component,
    /// Release of the speaker.
    pub version: String,
}

impl Hello {
    /// The greeting of this program.
    pub fn of(component: Component) -> Self {
        Self {
            protocol: PROTOCOL,
            component,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Process, where the kernel tells.
    pub pid: Option<i32>,
    /// What it called itself; informative.
    pub component: Component,
}

/// A served socket: one per caller role.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    me: Component,
    uids: Vec<u32>,
}

impl Listener {
    /// Serves `path` for the given users (none named: only for our own). A socket that nobody
    /// serves any more is replaced; anything else in the way is left alone.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotASocket`] or the system's answer.
    pub fn bind(path: &Path, me: Component, uids: &[u32]) -> Result<Self, Error> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(Error::NotASocket { path: path.into() });
            }
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(Error::InUse { path: path.into() });
                }
                std::fs::remove_file(path).map_err(Error::io(format!(
                    "removing the dead socket {}",
                    path.display()
                )))?;
            }
            Err(_) => {}
        }
        let inner =
            UnixListener::bind(path).map_err(Error::io(format!("serving {}", path.display())))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .map_err(Error::io(format!("setting the mode of {}", path.display())))?;
        let uids = if uids.is_empty() {
            vec![rustix::process::geteuid().as_raw()]
        } else {
            uids.to_vec()
        };
        Ok(Self {
            inner,
            path: path.into(),
            me,
            uids,
        })
    }

    /// Waits for a connection. The greeting is left to [`Pending::greet`], so that a silent peer
    /// holds up nobody else: greet in a task of its own.
    ///
    /// # Errors
    /// The system's answer, for example when no file descriptor is left.
    pub async fn accept(&self) -> Result<Pending, Error> {
        let (stream, _) = self
            .inner
            .accept()
            .await
            .map_err(Error::io(format!("accepting on {}", self.path.display())))?;
        Ok(Pending {
            stream,
            path: self.path.clone(),
            me: self.me,
            uids: self.uids.clone(),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A connection that has not been greeted yet.
#[derive(Debug)]
pub struct Pending {
    stream: UnixStream,
    path: PathBuf,
    me: Component,
    uids: Vec<u32>,
}

impl Pending {
    /// Checks the peer's uid against the socket's list and exchanges greetings.
    ///
    /// # Errors
    /// [`Error::PeerRefused`], [`Error::Version`], or anything a first message can be wrong in.
    pub async fn greet(self) -> Result<(Frames<UnixStream>, Peer), Error> {
        let cred = self
            .stream
            .peer_cred()
            .map_err(Error::io("asking who is at the other end"))?;
        if !self.uids.contains(&cred.uid()) {
            return Err(Error::PeerRefused {
                uid: cred.uid(),
                pid: cred.pid(),
                path: self.path,
            });
        }
        let mut frames = Frames::new(self.stream);
        let hello = greet(&mut frames, self.me).await?;
        Ok((
            frames,
            Peer {
                uid: cred.uid(),
                pid: cred.pid(),
                component: hello.component,
            },
        ))
    }
}

/// Connects to a component's socket and exchanges greetings. With `owner`, a socket that
/// belongs to another user is not trusted (a squatted path, study T02).
///
/// # Errors
/// [`Error::Missing`] when nothing is there, [`Error::ForeignOwner`], [`Error::WrongComponent`],
/// [`Error::Version`].
pub async fn connect(
    path: &Path,
    me: Component,
    expected: Component,
    owner: Option<u32>,
) -> Result<Frames<UnixStream>, Error> {
    let meta = std::fs::symlink_metadata(path).map_err(|_| Error::Missing { path: path.into() })?;
    if !meta.file_type().is_socket() {
        return Err(Error::NotASocket { path: path.into() });
    }
    if let Some(expected) = owner
        && meta.uid() != expected
    {
        return Err(Error::ForeignOwner {
            path: path.into(),
            uid: meta.uid(),
            expected,
        });
    }
    let stream = UnixStream::connect(path)
        .await
        .map_err(Error::io(format!("connecting to {}", path.display())))?;
    let mut frames = Frames::new(stream);
    let hello = greet(&mut frames, me).await?;
    if hello.component != expected {
        return Err(Error::WrongComponent {
            expected,
            found: hello.component,
        });
    }
    Ok(frames)
}

async fn greet(frames: &mut Frames<UnixStream>, me: Component) -> Result<Hello, Error> {
    let exchange = async {
        frames.send(&Hello::of(me)).await?;
        frames.recv::<Hello>().await
    };
    let hello = tokio::time::timeout(HELLO_LIMIT, exchange)
        .await
        .map_err(|_| Error::Io {
            what: "waiting for the other side's greeting".to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })??;
    if hello.protocol != PROTOCOL {
        return Err(Error::Version {
            theirs: hello.protocol,
        });
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("test.sock")
    }

    #[tokio::test]
    async fn greetings_tell_who_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&path(&dir), Component::Revoker, &[]).unwrap();
        let server =
            tokio::spawn(async move { listener.accept().await.unwrap().greet().await.unwrap().1 });
        connect(&path(&dir), Component::Console, Component::Revoker, None)
            .await
            .unwrap();
        let peer = server.await.unwrap();
        assert_eq!(
            (peer.uid, peer.component),
            (rustix::process::geteuid().as_raw(), Component::Console)
        );
    }

    #[tokio::test]
    async fn a_missing_a_foreign_and_a_wrong_socket_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let to = |owner| {
            let path = path(&dir);
            async move {
                connect(&path, Component::Console, Component::Breaker, owner)
                    .await
                    .map(|_| ())
            }
        };
        assert!(matches!(to(None).await, Err(Error::Missing { .. })));
        std::fs::write(path(&dir), "not a socket").unwrap();
        assert!(matches!(to(None).await, Err(Error::NotASocket { .. })));
        assert!(matches!(
            Listener::bind(&path(&dir), Component::Breaker, &[]),
            Err(Error::NotASocket { .. })
        ));
        std::fs::remove_file(path(&dir)).unwrap();
        let listener = Listener::bind(&path(&dir), Component::Recorder, &[]).unwrap();
        let me = rustix::process::geteuid().as_raw();
        assert!(matches!(
            to(Some(me + 1)).await,
            Err(Error::ForeignOwner { .. })
        ));
        tokio::spawn(async move {
            while let Ok(pending) = listener.accept().await {
                let _ = pending.greet().await;
            }
        });
        assert!(matches!(
            to(Some(me)).await,
            Err(Error::WrongComponent {
                found: Component::Recorder,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_user_who_is_not_listed_gets_no_greeting() {
        let dir = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        let listener = Listener::bind(&path(&dir), Component::Revoker, &[me + 1]).unwrap();
        let server =
            tokio::spawn(async move { listener.accept().await.unwrap().greet().await.map(|_| ()) });
        assert!(
            connect(&path(&dir), Component::Console, Component::Revoker, None)
                .await
                .is_err()
        );
        assert!(matches!(
            server.await.unwrap(),
            Err(Error::PeerRefused { .. })
        ));
    }

    #[tokio::test]
    async fn another_protocol_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(path(&dir)).unwrap();
        tokio::spawn(async move {
            let mut frames = Frames::new(listener.accept().await.unwrap().0);
            let hello = Hello {
                protocol: 99,
                ..Hello::of(Component::Revoker)
            };
            frames.send(&hello).await.unwrap();
            let _ = frames.recv::<Hello>().await;
        });
        let got = connect(&path(&dir), Component::Console, Component::Revoker, None).await;
        assert!(matches!(got, Err(Error::Version { theirs: 99 })));
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(path(&dir)).unwrap());
        let listener = Listener::bind(&path(&dir), Component::Breaker, &[]).unwrap();
        assert!(matches!(
            Listener::bind(&path(&dir), Component::Breaker, &[]),
            Err(Error::InUse { .. })
        ));
        drop(listener);
        assert!(!path(&dir).exists());
    }
}
