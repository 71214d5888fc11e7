//! The recorder's configuration.

use fusebox_custody::Source;
use fusebox_domain::Environment;
use fusebox_journal::Kind;
use serde::Deserialize;
use std::path::PathBuf;

/// `recorder.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The journal, `/var/lib/fusebox-recorder/journal.db`; created when it is not there.
    pub journal: PathBuf,
    /// Name of this journal in its checkpoints.
    #[serde(default = "default_name")]
    pub name: String,
    /// File of the checkpoint key (32 bytes in hexadecimal, mode 0400); made at the first start.
    pub checkpoint_key: PathBuf,
    /// How often a checkpoint is signed while rows come in, seconds.
    #[serde(default = "default_checkpoint_s")]
    pub checkpoint_s: u64,
    /// Sockets on which others may have rows written.
    #[serde(default)]
    pub append: Vec<Append>,
    /// Freqtrade databases to follow.
    #[serde(default)]
    pub freqtrade: Vec<Freqtrade>,
    /// Exchange accounts to follow.
    #[serde(default)]
    pub exchange: Vec<Exchange>,
}

/// One append socket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Append {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is; this becomes the author of its rows.
    pub role: Role,
    /// Users that may connect; none: only our own.
    #[serde(default)]
    pub uids: Vec<u32>,
    /// Kinds that may be written; none: what the role usually writes.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Rows a second that are taken from this socket, in the long run.
    #[serde(default = "default_rows_per_s")]
    pub rows_per_s: u32,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The console, for the operator.
    Operator,
    /// The breaker.
    Breaker,
    /// The revoker.
    Revoker,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Breaker => "breaker",
            Self::Revoker => "revoker",
        }
    }

    /// What a role writes unless the configuration says otherwise. Trades, executions and capital
    /// are the recorder's own findings and can be claimed by nobody.
    fn usual_kinds(self) -> &'static [Kind] {
        use Kind::{Ack, Alert, Annotation, Config, Halt, Incident, Plan, System};
        match self {
            Self::Operator => &[Annotation, Ack],
            Self::Breaker => &[Plan, Halt, Alert, Incident, Config, Ack, System],
            Self::Revoker => &[Plan, Halt, Alert, Incident, Config, System],
        }
    }
}

impl Append {
    /// Whether this socket may write rows of `kind`.
    pub(crate) fn permits(&self, kind: Kind) -> bool {
        match self.kinds.is_empty() {
            true => self.role.usual_kinds().contains(&kind),
            false => self.kinds.contains(&kind),
        }
    }
}

/// A freqtrade database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freqtrade {
    /// The account that the bot trades, `trading-1`.
    pub account: String,
    /// Its database file; it is opened read-only.
    pub db: PathBuf,
    /// How often it is looked at, milliseconds.
    #[serde(default = "default_bot_poll_ms")]
    pub poll_ms: u64,
}

/// An exchange account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// The account, `trading-1`.
    pub account: String,
    /// Which world.
    pub environment: Environment,
    /// URLs where they are not the environment's own: base of the REST calls.
    pub rest: Option<String>,
    /// Where the read-only key's public half is.
    pub api_key: Source,
    /// Where its secret is.
    pub secret: Source,
    /// How often executions and ledger are listed, milliseconds.
    #[serde(default = "default_exchange_poll_ms")]
    pub poll_ms: u64,
    /// How far back the first start reads, hours.
    #[serde(default = "default_history_h")]
    pub history_h: u32,
}

fn default_name() -> String {
    "journal".to_owned()
}

fn default_checkpoint_s() -> u64 {
    300
}

fn default_rows_per_s() -> u32 {
    100
}

fn default_bot_poll_ms() -> u64 {
    1_000
}

fn default_exchange_poll_ms() -> u64 {
    3_000
}

fn default_history_h() -> u32 {
    7 * 24
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        journal = "/j/journal.db"
        checkpoint_key = "/j/checkpoint.key"
        [[append]]
        path = "/run/append-operator.sock"
        role = "operator"
        [[append]]
        path = "/run/append-breaker.sock"
        role = "breaker"
        kinds = ["halt"]
        [[freqtrade]]
        account = "trading-1"
        db = "/f/tradesv3.sqlite"
        [[exchange]]
        account = "trading-1"
        environment = "sim"
        rest = "http://127.0.0.1:1"
        api_key = "file:/k/eye.key"
        secret = "file:/k/eye.secret"
    "#;

    #[test]
    fn a_socket_writes_what_its_role_or_the_configuration_permits() {
        let config: Config = fusebox_daemon::parse(FULL, std::path::Path::new("x")).unwrap();
        let [operator, breaker] = &config.append[..] else {
            panic!("two sockets")
        };
        assert!(operator.permits(Kind::Annotation) && !operator.permits(Kind::Halt));
        assert!(breaker.permits(Kind::Halt) && !breaker.permits(Kind::Alert));
        for kind in [Kind::Trade, Kind::Execution, Kind::Capital] {
            assert!(!operator.permits(kind));
        }
        assert_eq!(config.checkpoint_s, 300);
    }

    #[test]
    fn a_typo_is_named_with_its_place() {
        let wrong = FULL
            .replace("poll_ms", "x")
            .replace("role = \"breaker\"", "role = \"braker\"");
        let error = fusebox_daemon::parse::<Config>(&wrong, std::path::Path::new("r.toml"));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("r.toml:9:"), "{text}");
        assert!(
            text.contains("expected one of `operator`, `breaker`, `revoker`"),
            "{text}"
        );
    }
}
