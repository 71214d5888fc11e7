//! Writes each component's configuration and credentials: what an installation does by hand.

use crate::Error;
use fusebox_authenticator::SoftKey;
use fusebox_touch::{Action, Enrolment};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Blind limits (B1, B2, B3) of the demo, in place of 15, 60 and 300 s.
pub(crate) const BLIND_MS: [u64; 3] = [5_000, 10_000, 20_000];
/// How long a reduction may take before it counts as failed, in place of 120 s.
pub(crate) const REDUCE_VERIFY_MS: u64 = 20_000;
/// Re-checks after a kill, in place of 30 s and 5 min.
pub(crate) const WATCH_MS: [u64; 2] = [3_000, 8_000];
/// The component directories.
const COMPONENTS: [&str; 5] = ["sim", "recorder", "breaker", "revoker", "console"];

/// What the simulator prints (contract in the design, "Machine-readable contracts").
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoints {
    bybit: Bybit,
    vault: String,
    kubernetes: String,
    telegram: String,
    freqtrade: String,
    pub(crate) control: String,
    keys: Vec<ApiKey>,
    bots: Vec<Bot>,
    vault_token: String,
    kubernetes_tokens: BTreeMap<String, String>,
    telegram_token: String,
}

#[derive(Debug, Deserialize)]
struct Bybit {
    rest: String,
    ws_public: String,
    ws_private: String,
}

/// A simulated bot: the number of its account, its database and its REST API.
#[derive(Debug, Deserialize)]
struct Bot {
    account: u32,
    db: PathBuf,
    url: String,
}

#[derive(Deserialize)]
struct ApiKey {
    name: String,
    role: String,
    uid: u64,
    api_key: String,
    secret: String,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.role)
    }
}

impl Endpoints {
    /// Trading accounts: name, number and uid, in order.
    fn accounts(&self) -> Vec<(String, &str, u64)> {
        let bots = self.keys.iter();
        let bots = bots.filter_map(|key| Some((key.name.strip_prefix("freqtrade-")?, key.uid)));
        bots.map(|(number, uid)| (format!("trading-{number}"), number, uid))
            .collect()
    }

    fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }
}

/// Where everything of the demo is.
#[derive(Debug)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Makes the directories, closed to everyone else.
    pub(crate) fn new(root: &Path) -> Result<Self, Error> {
        let layout = Self(root.to_owned());
        for dir in COMPONENTS
            .iter()
            .map(|c| layout.of(c))
            .chain([root.join("run"), root.join("log")])
        {
            let mut builder = std::fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(Error::io(format!("making {}", dir.display())))?;
        }
        Ok(layout)
    }

    pub(crate) fn of(&self, component: &str) -> PathBuf {
        self.0.join(component)
    }

    pub(crate) fn config(&self, component: &str) -> PathBuf {
        self.of(component).join(format!("{component}.toml"))
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.0.join("run").join(format!("{name}.sock"))
    }

    pub(crate) fn append_socket(&self, role: &str) -> PathBuf {
        self.socket(&format!("append-{role}"))
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.0.join("log").join(format!("{name}.log"))
    }

    pub(crate) fn journal_db(&self) -> PathBuf {
        self.of("recorder").join("journal.db")
    }

    pub(crate) fn bot_db(&self) -> PathBuf {
        self.of("sim").join("tradesv3.sqlite")
    }

    pub(crate) fn demo_key(&self) -> PathBuf {
        self.of("console").join("demo.key")
    }

    pub(crate) fn spare_key(&self) -> PathBuf {
        self.of("console").join("spare.key")
    }

    /// Writes a file that only its owner can read.
    fn secret(&self, component: &str, name: &str, text: &str) -> Result<String, Error> {
        let path = self.of(component).join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o400).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(Error::io(format!("writing {}", path.display())))?;
        Ok(format!("file:{}", path.display()))
    }

    fn toml(&self, component: &str, config: &Value) -> Result<(), Error> {
        let path = self.config(component);
        let what = format!("writing {}", path.display());
        let text = toml::to_string(&without_nulls(config))
            .map_err(|e| Error::io(what.clone())(std::io::Error::other(e)))?;
        std::fs::write(&path, text).map_err(Error::io(what))
    }

    /// Writes the secrets of the named keys into a component's directory; returns their sources.
    fn keys<'a>(
        &self,
        component: &str,
        keys: impl Iterator<Item = &'a ApiKey>,
    ) -> Result<BTreeMap<&'a str, String>, Error> {
        keys.map(|key| {
            Ok((
                key.name.as_str(),
                self.secret(component, &key.name, &key.secret)?,
            ))
        })
        .collect()
    }
}

/// TOML has no null: what is not there is left out.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let present = map.iter().filter(|(_, v)| !v.is_null());
            present
                .map(|(k, v)| (k.clone(), without_nulls(v)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn find<'a>(endpoints: &'a Endpoints, name: &str) -> Result<&'a ApiKey, Error> {
    let found = endpoints.keys.iter().find(|key| key.name == name);
    found.ok_or_else(|| Error::NoKey(name.to_owned()))
}

/// The configurations that need nothing of another component.
pub(crate) fn write(layout: &Layout, endpoints: &Endpoints, keys: &[SoftKey]) -> Result<(), Error> {
    write_recorder(layout, endpoints)?;
    write_breaker(layout, endpoints)?;
    let enrolments: Vec<Value> = keys
        .iter()
        .zip(["demo key", "demo spare"])
        .map(|(key, label)| Ok(serde_json::to_value(enrolment(key, label)?).unwrap_or_default()))
        .collect::<Result<_, Error>>()?;
    let path = layout.of("revoker").join("enrolments.json");
    std::fs::write(&path, Value::from(enrolments).to_string())
        .map_err(Error::io(format!("writing {}", path.display())))
}

fn enrolment(key: &SoftKey, label: &str) -> Result<Enrolment, Error> {
    let offer = key.offer()?;
    Ok(Enrolment {
        label: label.to_owned(),
        application: offer.application,
        credential_id: offer.credential_id,
        public_key: offer.public_key,
        aaguid: String::new(),
        counter: 0,
        uv: true,
        actions: Action::ALL.to_vec(),
        device: label.to_owned(),
        enrolled_ms: 0,
    })
}

fn write_recorder(layout: &Layout, endpoints: &Endpoints) -> Result<(), Error> {
    let roles = ["operator", "breaker", "revoker"].iter();
    let append = roles.map(|role| json!({"role": role, "path": layout.append_socket(role)}));
    let eyes = endpoints
        .accounts()
        .into_iter()
        .map(|(account, number, _)| {
            let eye = find(endpoints, &format!("eye-recorder-{number}"))?;
            Ok(json!({
                "account": account,
                "environment": "sim",
                "rest": endpoints.bybit.rest,
                "api_key": layout.secret("recorder", &format!("{}.id", eye.name), &eye.api_key)?,
                "secret": layout.secret("recorder", &eye.name, &eye.secret)?,
            }))
        });
    let eyes = eyes.collect::<Result<Vec<_>, Error>>()?;
    let bots = endpoints.bots.iter();
    let bots = bots.map(|bot| json!({"account": format!("trading-{}", bot.account), "db": bot.db}));
    layout.toml(
        "recorder",
        &json!({
            "journal": layout.journal_db(),
            "name": "fusebox-demo",
            "checkpoint_key": layout.of("recorder").join("checkpoint.key"),
            "checkpoint_s": 30,
            "append": append.collect::<Vec<_>>(),
            "freqtrade": bots.collect::<Vec<_>>(),
            "exchange": eyes,
        }),
    )
}

fn write_breaker(layout: &Layout, endpoints: &Endpoints) -> Result<(), Error> {
    let eye = find(endpoints, "eye-breaker-1")?;
    let kubernetes = endpoints
        .kubernetes_tokens
        .get("breaker")
        .map(String::as_str)
        .unwrap_or_default();
    layout.toml(
        "breaker",
        &json!({
            "environment": "sim",
            "account": "trading-1",
            "uid": eye.uid.to_string(),
            "state_dir": layout.of("breaker").join("state"),
            "feed_socket": layout.socket("feed"),
            "exchange": {
                "rest": endpoints.bybit.rest,
                "ws_public": endpoints.bybit.ws_public,
                "ws_private": endpoints.bybit.ws_private,
                "api_key": eye.api_key,
                "secret": layout.secret("breaker", &eye.name, &eye.secret)?,
            },
            "freqtrade": {
                "url": endpoints.freqtrade,
                "username": "fusebox",
                "password": layout.secret("breaker", "freqtrade-password", "demo")?,
            },
            "kubernetes": {
                "url": endpoints.kubernetes,
                "token": layout.secret("breaker", "kubernetes-token", kubernetes)?,
                "namespace": "trading",
                "deployment": "freqtrade",
            },
            "telegram": {
                "url": endpoints.telegram,
                "token": layout.secret("breaker", "telegram-token", &endpoints.telegram_token)?,
                "chat_id": "1001",
            },
            "revoker_socket": layout.socket("breaker"),
            "revoker_public_key": layout.of("revoker").join("state").join("signing-key.pub"),
            "recorder_socket": layout.append_socket("breaker"),
            "auto_revoke": "on",
            "blind_ms": BLIND_MS,
            "reduce_verify_ms": REDUCE_VERIFY_MS,
        }),
    )
}

/// The revoker's configuration; the breaker has made its signing key by now.
pub(crate) fn write_revoker(layout: &Layout, endpoints: &Endpoints) -> Result<(), Error> {
    let breaker_key = read_public_key(&layout.of("breaker").join("state").join("signing-key.pub"))?;
    let kubernetes = endpoints
        .kubernetes_tokens
        .get("revoker")
        .map(String::as_str)
        .unwrap_or_default();
    // Keys that can trade or move money are kept in Vault; what must outlive Vault is in files.
    let own = |key: &&ApiKey| {
        matches!(key.role.as_str(), "read" | "manage") || key.name.starts_with("rescue-")
    };
    let guarded =
        |key: &&ApiKey| !key.name.starts_with("eye-") || key.name.starts_with("eye-revoker-");
    let files = layout.keys("revoker", endpoints.keys.iter().filter(guarded).filter(own))?;
    let keys: Vec<Value> = endpoints
        .keys
        .iter()
        .filter(guarded)
        .map(|key| revoker_key(endpoints, key, &files))
        .collect();
    let accounts: Vec<Value> = endpoints
        .accounts()
        .iter()
        .map(|account| revoker_account(layout, endpoints, account))
        .collect::<Result<_, _>>()?;
    layout.toml(
        "revoker",
        &json!({
            "environment": "sim",
            "host_id": "demo",
            "state_dir": layout.of("revoker").join("state"),
            "enrolments": layout.of("revoker").join("enrolments.json"),
            "auto_revoke": "on",
            "manager": "manager",
            "sockets": {"operator": layout.socket("operator"), "breaker": layout.socket("breaker")},
            "exchange": {"rest": [endpoints.bybit.rest]},
            "vault": {"address": endpoints.vault, "token": layout.secret("revoker", "vault-token", &endpoints.vault_token)?},
            "kubernetes": {
                "address": endpoints.kubernetes,
                "token": layout.secret("revoker", "kubernetes-token", kubernetes)?,
                "namespace": "trading",
                "secret": "freqtrade-keys",
                "external_secret": "freqtrade-keys",
            },
            "telegram": {
                "address": endpoints.telegram,
                "token": layout.secret("revoker", "telegram-token", &endpoints.telegram_token)?,
                "chat_id": "1001",
            },
            "recorder": {"append": layout.append_socket("revoker")},
            "breaker": [{"account": "trading-1", "public_key": breaker_key}],
            "account": accounts,
            "key": keys,
            "limits": {"watch_ms": WATCH_MS},
        }),
    )
}

fn revoker_account(
    layout: &Layout,
    endpoints: &Endpoints,
    (name, number, uid): &(String, &str, u64),
) -> Result<Value, Error> {
    let cancel_key = format!("rescue-{number}");
    let bot = endpoints
        .bots
        .iter()
        .find(|bot| bot.account.to_string() == *number);
    let password = format!("freqtrade-password-{number}");
    let password = bot
        .map(|_| layout.secret("revoker", &password, "demo"))
        .transpose()?;
    let deployment = if *number == "1" {
        "freqtrade".to_owned()
    } else {
        format!("freqtrade-{number}")
    };
    Ok(json!({
        "name": name,
        "uid": uid.to_string(),
        "read_key": format!("eye-revoker-{number}"),
        "cancel_key": endpoints.has(&cancel_key).then_some(cancel_key),
        "deployment": bot.map(|_| deployment),
        "bot": bot.map(|bot| json!({"address": bot.url, "user": "fusebox", "password": password})),
    }))
}

fn revoker_key(endpoints: &Endpoints, key: &ApiKey, files: &BTreeMap<&str, String>) -> Value {
    let accounts = endpoints.accounts();
    let account = accounts.iter().find(|(_, _, uid)| *uid == key.uid);
    let vault_path = format!("kv/trading/{}", key.name);
    let in_vault = || format!("vault:{vault_path}#secret");
    let revocable = matches!(key.role.as_str(), "trade" | "move");
    json!({
        "name": key.name,
        "role": key.role,
        "account": account.map(|(name, ..)| name),
        "api_key": key.api_key,
        "secret": files.get(key.name.as_str()).cloned().unwrap_or_else(in_vault),
        "vault_path": revocable.then_some(&vault_path),
        "rotate_days": revocable.then_some(90),
    })
}

/// The console's configuration; the revoker has made its signing key by now.
pub(crate) fn write_console(layout: &Layout) -> Result<(), Error> {
    let revoker_key = read_public_key(&layout.of("revoker").join("state").join("signing-key.pub"))?;
    layout.toml(
        "console",
        &json!({
            "feed_socket": layout.socket("feed"),
            "operator_socket": layout.socket("operator"),
            "append_socket": layout.append_socket("operator"),
            "journal": layout.journal_db(),
            "revoker_key": revoker_key,
            "demo_key": layout.demo_key(),
        }),
    )
}

fn read_public_key(path: &Path) -> Result<String, Error> {
    let text =
        std::fs::read_to_string(path).map_err(Error::io(format!("reading {}", path.display())))?;
    Ok(text.trim().to_owned())
}
