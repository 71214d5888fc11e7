use std::path::PathBuf;

/// Why the demo could not be played.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error("cannot build the other binaries: cargo ended with {0}")]
    Build(std::process::ExitStatus),
    #[error("{path} is missing; build it with `cargo build --release --bins`, or start with `cargo demo`", path = .0.display())]
    NoBinary(PathBuf),
    #[error("{name} ended at its start ({status}); its log says:\n{log}")]
    Died {
        name: &'static str,
        status: String,
        log: String,
    },
    #[error("{name} was not ready within {limit_s} s; its log says:\n{log}")]
    NotReady {
        name: &'static str,
        limit_s: u64,
        log: String,
    },
    #[error("the simulator's endpoints were not understood: {0}")]
    Endpoints(#[source] serde_json::Error),
    #[error("the simulator made no key {0}; it needs at least --keys 3 and --accounts 1")]
    NoKey(String),
    #[error("{path} exists and is not empty; choose another directory for --keep", path = .0.display())]
    NotEmpty(PathBuf),
    #[error("the key made for this demo cannot be used: {0}")]
    Key(#[from] fusebox_authenticator::Error),
    #[error("the simulator's control API did not answer: {0}")]
    Control(#[from] reqwest::Error),
    #[error("the simulator refused the fault {fault}: {why}")]
    Fault { fault: String, why: String },
    #[error("there is no process {0}")]
    NoProcess(String),
    #[error("the report could not be written: {0}")]
    Report(#[source] serde_json::Error),
    #[error("no terminal here; use --headless, or start it in one")]
    NoTerminal,
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
