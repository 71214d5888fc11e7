//! The breaker's configuration. Secrets stand nowhere in it, only where to get them.

use fusebox_custody::Source;
use fusebox_domain::{AccountName, AutoRevoke, Environment, Uid};
use fusebox_ladder::{Config as LadderConfig, Rung};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `/etc/fusebox/breaker.toml`; an example stands in the crate's README.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Which world; the exchange's hosts are checked against it.
    pub environment: Environment,
    /// The account, by the operator's name.
    pub account: AccountName,
    /// Its number at the exchange.
    pub uid: Uid,
    /// Database and signing key; made with mode 0700.
    pub state_dir: PathBuf,
    /// Where consoles connect.
    pub feed_socket: PathBuf,
    /// Users whose consoles may connect; none named: only our own.
    #[serde(default)]
    pub feed_uids: Vec<u32>,
    pub exchange: Exchange,
    pub freqtrade: Option<Freqtrade>,
    pub kubernetes: Option<Kubernetes>,
    pub telegram: Option<Telegram>,
    /// The revoker's `breaker.sock`.
    pub revoker_socket: Option<PathBuf>,
    /// File with the revoker's public key in hex: certificates that release a latch must be
    /// signed with it. Read when one comes.
    pub revoker_public_key: Option<PathBuf>,
    /// The recorder's append socket for the breaker.
    pub recorder_socket: Option<PathBuf>,
    /// Shown on every screen: `on`, `page_first`, `off`. The revoker decides.
    #[serde(default)]
    pub auto_revoke: AutoRevoke,
    /// Losses at which R1 … R4 trip, basis points.
    pub threshold_bp: Option<[u32; 4]>,
    /// Ages at which B1, B2, B3 begin, milliseconds.
    pub blind_ms: Option<[i64; 3]>,
    /// How long the reduction of R2 may take before it is treated as R3, milliseconds.
    #[serde(default = "two_minutes")]
    pub reduce_verify_ms: i64,
    /// Which share of the exposure may remain after R2, percent.
    #[serde(default = "fifty_five")]
    pub reduce_to_percent: u32,
    /// Loopback address for `/metrics` and `/healthz`; none: not served.
    pub metrics_listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// Base of the REST calls; absent: the environment's own host.
    pub rest: Option<String>,
    pub ws_public: Option<String>,
    pub ws_private: Option<String>,
    /// Public half of the read-only key.
    pub api_key: String,
    /// Where its secret is.
    pub secret: Source,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freqtrade {
    pub url: String,
    pub username: String,
    pub password: Source,
    /// Whether an entry that is not maker-only is an incident (S0-39).
    #[serde(default = "yes")]
    pub entries_post_only: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kubernetes {
    pub url: String,
    pub token: Source,
    pub namespace: String,
    pub deployment: String,
    /// PEM file of the cluster's own authority; absent: the system's.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telegram {
    #[serde(default = "telegram_url")]
    pub url: String,
    pub token: Source,
    pub chat_id: String,
}

fn two_minutes() -> i64 {
    120_000
}
fn fifty_five() -> u32 {
    55
}
fn yes() -> bool {
    true
}
fn telegram_url() -> String {
    "https://api.telegram.org".to_owned()
}

impl Config {
    /// Thresholds and limits for the ladder, defaults where nothing is said.
    pub(crate) fn ladder(&self) -> LadderConfig {
        let default = LadderConfig::default();
        LadderConfig {
            threshold_bp: self.threshold_bp.unwrap_or(default.threshold_bp),
            blind_ms: self.blind_ms.unwrap_or(default.blind_ms),
        }
    }

    /// Hash of everything that decides when the ladder trips: what the operator saw must be what
    /// a certificate releases.
    pub(crate) fn hash(&self) -> String {
        let ladder = self.ladder();
        let rungs = Rung::DRAWDOWN.map(|rung| format!("{}={}", rung.name(), ladder.loss_bp(rung)));
        let text = format!(
            "fusebox/ladder/v1\n{}\n{}\n{}\nblind={:?}\nreduce={}/{}\n",
            self.environment,
            self.account,
            rungs.join("\n"),
            ladder.blind_ms,
            self.reduce_verify_ms,
            self.reduce_to_percent,
        );
        hex::encode(digest(&SHA256, text.as_bytes()))
    }

    /// What the types alone do not say.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.ladder().validate().map_err(|e| e.to_string())?;
        if !(1_000..=3_600_000).contains(&self.reduce_verify_ms) {
            return Err("reduce_verify_ms must be from 1000 to 3600000".to_owned());
        }
        if !(1..=99).contains(&self.reduce_to_percent) {
            return Err("reduce_to_percent must be from 1 to 99".to_owned());
        }
        if let Some(listen) = self.metrics_listen
            && !listen.ip().is_loopback()
        {
            return Err(format!(
                "metrics_listen {listen} is not a loopback address; put a proxy with authentication before it"
            ));
        }
        let urls = [
            self.freqtrade.as_ref().map(|f| &f.url),
            self.kubernetes.as_ref().map(|k| &k.url),
            self.telegram.as_ref().map(|t| &t.url),
        ];
        for url in urls.into_iter().flatten() {
            self.check_url(url)?;
        }
        Ok(())
    }

    /// A bot beside the breaker may be reached by plain HTTP on loopback, in every environment.
    fn check_url(&self, url: &str) -> Result<(), String> {
        Environment::Sim
            .check_url(url)
            .or_else(|_| self.environment.check_url(url))
            .map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        environment = "sim"
        account = "trading-1"
        uid = "100001"
        state_dir = "/tmp/x"
        feed_socket = "/tmp/x/feed.sock"
        [exchange]
        rest = "http://127.0.0.1:1"
        api_key = "k"
        secret = "file:/tmp/x/secret"
    "#;

    fn with(head: &str, tail: &str) -> Result<Config, String> {
        let text = format!("{head}\n{LEAST}\n{tail}");
        let config: Config = toml::from_str(&text).map_err(|e| e.message().to_owned())?;
        config.validate().map(|()| config)
    }

    #[test]
    fn the_least_configuration_has_the_rules_defaults() {
        let config = with("", "").unwrap();
        assert_eq!(config.ladder().threshold_bp, [500, 800, 1_500, 1_800]);
        assert_eq!(config.ladder().blind_ms, [15_000, 60_000, 300_000]);
        assert_eq!(config.reduce_verify_ms, 120_000);
        assert_eq!(config.auto_revoke.as_str(), "on");
    }

    #[test]
    fn the_configuration_that_ships_is_taken() {
        let text = include_str!("../../../assets/config/breaker.toml");
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn what_would_be_dangerous_is_refused_with_its_reason() {
        for (head, tail, expected) in [
            ("metrics_listen = \"0.0.0.0:9464\"", "", "loopback"),
            ("threshold_bp = [500, 800, 1500, 9000]", "", "R4"),
            ("blind_ms = [5000, 4000, 20000]", "", "B2"),
            ("reduce_to_percent = 100", "", "reduce_to_percent"),
            ("thresold_bp = [1]", "", "unknown field"),
            (
                "",
                "[kubernetes]\nurl = \"https://10.0.0.1\"\ntoken = \"file:/t\"\nnamespace = \"n\"\ndeployment = \"d\"",
                "loopback",
            ),
        ] {
            let error = with(head, tail).unwrap_err();
            assert!(error.contains(expected), "{head}{tail}: {error}");
        }
    }

    #[test]
    fn the_hash_changes_with_a_threshold_and_not_with_a_path() {
        let base = with("", "").unwrap().hash();
        assert_ne!(
            base,
            with("threshold_bp = [400, 800, 1500, 1800]", "")
                .unwrap()
                .hash()
        );
        assert_eq!(
            base,
            with("metrics_listen = \"127.0.0.1:1\"", "").unwrap().hash()
        );
    }
}
