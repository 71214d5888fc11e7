//! The revoker's configuration: what it guards, where the world is, who may talk to it. Secrets
//! stand nowhere in it, only where to get them.

use crate::Error;
use fusebox_custody::Source;
use fusebox_domain::{AccountName, AutoRevoke, Environment, KeyName, KeyRole, Uid};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// `/etc/fusebox/revoker.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Which world; keys of one world are never sent to another.
    pub environment: Environment,
    /// Name of this revoker, part of every challenge.
    pub host_id: String,
    /// Intent log, outbox, signing key; made with mode 0700.
    pub state_dir: PathBuf,
    /// JSON array of enrolled security keys; public data.
    pub enrolments: PathBuf,
    /// What a ladder request may do by itself.
    #[serde(default)]
    pub auto_revoke: AutoRevoke,
    /// What an undeclared key may do by itself; the operator's own new key looks the same.
    #[serde(default = "page_first")]
    pub inventory_revoke: AutoRevoke,
    /// Name of the master key that lists, makes and deletes keys.
    pub manager: KeyName,
    pub sockets: Sockets,
    pub exchange: Exchange,
    pub vault: Option<Vault>,
    pub kubernetes: Option<Kubernetes>,
    pub telegram: Option<Telegram>,
    pub recorder: Option<Recorder>,
    #[serde(default, rename = "breaker")]
    pub breakers: Vec<Breaker>,
    #[serde(rename = "account")]
    pub accounts: Vec<Account>,
    #[serde(rename = "key")]
    pub keys: Vec<Key>,
    #[serde(default)]
    pub limits: Limits,
}

fn page_first() -> AutoRevoke {
    AutoRevoke::PageFirst
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sockets {
    pub operator: PathBuf,
    /// Users who may connect; none named: only our own.
    #[serde(default)]
    pub operator_uids: Vec<u32>,
    pub breaker: PathBuf,
    #[serde(default)]
    pub breaker_uids: Vec<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// Bases of the REST calls, the first preferred, the others when it fails.
    pub rest: Vec<String>,
    /// Coins in which the contracts settle.
    #[serde(default = "usdt")]
    pub settle_coins: Vec<String>,
}

fn usdt() -> Vec<String> {
    vec!["USDT".to_owned()]
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vault {
    pub address: String,
    /// Where the token is (not `vault:`).
    pub token: Source,
    /// Lease prefixes to revoke in a kill, `database/creds/trading`.
    #[serde(default)]
    pub lease_prefixes: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kubernetes {
    pub address: String,
    pub token: Source,
    pub namespace: String,
    /// The Secret that the bot reads its keys from.
    pub secret: Option<String>,
    /// The ExternalSecret that makes it.
    pub external_secret: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telegram {
    pub address: String,
    pub token: Source,
    pub chat_id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorder {
    /// `append-revoker.sock`.
    pub append: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breaker {
    /// The one account it may speak for.
    pub account: AccountName,
    /// Ed25519, 64 hexadecimal digits.
    pub public_key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub name: AccountName,
    pub uid: Uid,
    /// The revoker's own eye.
    pub read_key: KeyName,
    /// Orders-only key held by the revoker, deleted last (K2). Without one nothing is cancelled.
    pub cancel_key: Option<KeyName>,
    /// The bot's Deployment.
    pub deployment: Option<String>,
    pub bot: Option<Bot>,
}

/// The bot's REST API, to stop entries; best effort.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bot {
    pub address: String,
    pub user: String,
    pub password: Source,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub name: KeyName,
    pub role: KeyRole,
    /// Account of a trade, read or move key; the master's has none.
    pub account: Option<AccountName>,
    /// The public half itself, or where it is (`vault:kv/trading/freqtrade-1#api_key`).
    pub api_key: String,
    pub secret: Source,
    /// Path of its secret in Vault, destroyed with the key and written by a rotation.
    pub vault_path: Option<String>,
    /// Days after which it is to be replaced.
    pub rotate_days: Option<u32>,
    /// Addresses that it must be bound to; losing one is an incident.
    #[serde(default)]
    pub ips: Vec<String>,
}

/// Times, in milliseconds. The demo shortens those that a person would have to wait for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// How long a trade key may wait for the sweep of its account (K1).
    pub sweep_ms: u64,
    /// How long a secret may wait for its key's proofs (K4).
    pub secret_wait_ms: u64,
    /// When the result is written whatever is known (K15).
    pub result_ms: u64,
    /// Re-checks after the result (K13, K16).
    pub watch_ms: Vec<u64>,
    /// Key inventory.
    pub inventory_ms: u64,
    /// Age at which a positive control is renewed; 24 h is the limit of K5.
    pub control_ms: u64,
    /// Breaker silent: stop entries.
    pub heartbeat_stop_ms: u64,
    /// Breaker silent: scale to zero.
    pub heartbeat_zero_ms: u64,
    /// The revoker's own ladder.
    pub ladder_poll_ms: u64,
    /// Between the three samples on a request (K11).
    pub ladder_sample_ms: u64,
    /// Own drawdown from which a request is believed, basis points (K11: R4 − 1 %).
    pub ladder_confirm_bp: u32,
    /// How many answers of a new key in a row make it proven (rotation).
    pub rotation_successes: u32,
    /// How long a restarted bot may take to run again (rotation).
    pub rotation_restart_ms: u64,
    /// How long after the intent everything resumes by itself (K9).
    pub resume_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sweep_ms: 3_000,
            secret_wait_ms: 10_000,
            result_ms: 30_000,
            watch_ms: vec![30_000, 300_000],
            inventory_ms: 30_000,
            control_ms: 3_600_000,
            heartbeat_stop_ms: 30_000,
            heartbeat_zero_ms: 300_000,
            ladder_poll_ms: 30_000,
            ladder_sample_ms: 1_000,
            ladder_confirm_bp: 1_700,
            rotation_successes: 3,
            rotation_restart_ms: 60_000,
            resume_ms: 900_000,
        }
    }
}

impl Config {
    /// What TOML cannot say: names that must fit together, addresses that belong to the world.
    ///
    /// # Errors
    /// [`Error::Config`] names the entry and what was expected.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_addresses()?;
        self.check_names()?;
        for breaker in &self.breakers {
            let right = hex::decode(&breaker.public_key).is_ok_and(|k| k.len() == 32);
            wrong_unless(right, || {
                format!(
                    "breaker of {}: public_key is not 64 hexadecimal digits",
                    breaker.account
                )
            })?;
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), Error> {
        wrong_unless(!self.exchange.rest.is_empty(), || {
            "exchange.rest names no address".into()
        })?;
        let others = [
            self.vault.as_ref().map(|v| &v.address),
            self.kubernetes.as_ref().map(|k| &k.address),
            self.telegram.as_ref().map(|t| &t.address),
        ];
        let bots = self.accounts.iter().filter_map(|a| a.bot.as_ref());
        // A bot in the same cluster speaks plain http, and nothing of ours is secret to it; every
        // other address must fit the environment.
        let bots = bots
            .filter(|_| self.environment == Environment::Sim)
            .map(|b| &b.address);
        let mut all = self
            .exchange
            .rest
            .iter()
            .chain(others.into_iter().flatten())
            .chain(bots);
        all.try_for_each(|url| {
            let checked = self.environment.check_url(url);
            checked.map_err(|e| Error::Config(e.to_string()))
        })?;
        for rest in &self.exchange.rest {
            let urls = fusebox_venue::Urls {
                rest: rest.clone(),
                ws_public: None,
                ws_private: None,
            };
            fusebox_venue::Endpoints::new(self.environment, Some(&urls))
                .map_err(|e| Error::Config(e.to_string()))?;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for key in &self.keys {
            wrong_unless(seen.insert(&key.name), || {
                format!("key {} is declared twice", key.name)
            })?;
            let placed = match (&key.account, key.role) {
                (None, role) => role == KeyRole::Manage,
                (Some(account), _) => self.accounts.iter().any(|a| a.name == *account),
            };
            wrong_unless(placed, || {
                format!(
                    "key {} belongs to no declared account; only a manage key has none",
                    key.name
                )
            })?;
        }
        let vault = |key: &&Key| key.vault_path.is_some() && self.vault.is_none();
        if let Some(key) = self.keys.iter().find(vault) {
            let message = format!("key {} has a vault_path, but there is no [vault]", key.name);
            return Err(Error::Config(message));
        }
        let cluster = |a: &&Account| a.deployment.is_some() && self.kubernetes.is_none();
        if let Some(account) = self.accounts.iter().find(cluster) {
            let message = format!(
                "account {} has a deployment, but there is no [kubernetes]",
                account.name
            );
            return Err(Error::Config(message));
        }
        self.expect_key(&self.manager, KeyRole::Manage, "manager")?;
        let mut names = BTreeSet::new();
        for account in &self.accounts {
            wrong_unless(names.insert(&account.name), || {
                format!("account {} is declared twice", account.name)
            })?;
            self.expect_key(&account.read_key, KeyRole::Read, "read_key")?;
            if let Some(cancel) = &account.cancel_key {
                self.expect_key(cancel, KeyRole::Trade, "cancel_key")?;
            }
        }
        Ok(())
    }

    fn expect_key(&self, name: &KeyName, role: KeyRole, field: &str) -> Result<(), Error> {
        let declared = self.keys.iter().any(|k| k.name == *name && k.role == role);
        wrong_unless(declared, || {
            format!("{field} = {name:?}: expected the name of a declared [[key]] with role {role}")
        })
    }
}

fn wrong_unless(right: bool, message: impl FnOnce() -> String) -> Result<(), Error> {
    right.then_some(()).ok_or_else(|| Error::Config(message()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One account, a bot's key, a move key, the helper's own key, eyes and manager.
    pub(crate) const SAMPLE: &str = r#"
environment = "sim"
host_id = "guard-1"
state_dir = "/tmp/x"
enrolments = "/tmp/x/enrolments.json"
manager = "manager"
[sockets]
operator = "/tmp/x/operator.sock"
breaker = "/tmp/x/breaker.sock"
[exchange]
rest = ["http://127.0.0.1:1"]
[vault]
address = "http://127.0.0.1:2"
token = "file:/tmp/x/vault"
[kubernetes]
address = "http://127.0.0.1:3"
token = "file:/tmp/x/kubernetes"
namespace = "trading"
secret = "freqtrade-keys"
external_secret = "freqtrade-keys"
[[account]]
name = "trading-1"
uid = "100001"
read_key = "eye-revoker-1"
cancel_key = "rescue-1"
deployment = "freqtrade"
[[key]]
name = "freqtrade-1"
role = "trade"
account = "trading-1"
api_key = "AAAA1111"
secret = "vault:kv/trading/freqtrade-1#secret"
vault_path = "kv/trading/freqtrade-1"
rotate_days = 30
[[key]]
name = "skim-1"
role = "move"
account = "trading-1"
api_key = "BBBB2222"
secret = "vault:kv/trading/skim-1#secret"
vault_path = "kv/trading/skim-1"
[[key]]
name = "rescue-1"
role = "trade"
account = "trading-1"
api_key = "CCCC3333"
secret = "file:/tmp/x/rescue-1"
[[key]]
name = "eye-revoker-1"
role = "read"
account = "trading-1"
api_key = "DDDD4444"
secret = "file:/tmp/x/eye"
[[key]]
name = "manager"
role = "manage"
api_key = "EEEE5555"
secret = "file:/tmp/x/manager"
"#;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = fusebox_daemon::parse(text, std::path::Path::new("revoker.toml"))
            .map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    pub(crate) fn sample() -> Config {
        read(SAMPLE).unwrap()
    }

    #[test]
    fn a_sound_configuration_is_accepted_with_its_defaults() {
        let config = sample();
        assert_eq!(config.auto_revoke, AutoRevoke::On);
        assert_eq!(config.limits.watch_ms, [30_000, 300_000]);
        assert_eq!(config.exchange.settle_coins, ["USDT"]);
    }

    /// What is changed in the sample, and what the complaint must name.
    #[test]
    fn every_mistake_is_named() {
        let table = [
            ("host_id", "host_idd", "unknown field `host_idd`"),
            ("role = \"move\"", "role = \"mouve\"", "mouve"),
            ("http://127.0.0.1:2", "http://vault.lan", "loopback"),
            ("\"sim\"", "\"mainnet\"", "mainnet needs https"),
            ("name = \"skim-1\"", "name = \"freqtrade-1\"", "twice"),
            (
                "cancel_key = \"rescue-1\"",
                "cancel_key = \"eye-revoker-1\"",
                "role trade",
            ),
            ("manager = \"manager\"", "manager = \"boss\"", "role manage"),
            (
                "name = \"trading-1\"",
                "name = \"trading-9\"",
                "no declared account",
            ),
            ("file:/tmp/x/rescue-1", "hunter2", "names no secret"),
            (
                "[vault]\naddress = \"http://127.0.0.1:2\"\ntoken = \"file:/tmp/x/vault\"\n",
                "",
                "there is no [vault]",
            ),
        ];
        for (from, to, complaint) in table {
            let message = read(&SAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(message.contains(complaint), "{from} -> {to}: {message}");
        }
    }
}
