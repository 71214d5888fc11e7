//! The revoker as a process: what is made at the start, and the tasks that run until the end.

use crate::bot::Bot;
use crate::breaker::{self, Deadman};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::controls::Controls;
use crate::exchange::Hands;
use crate::eye::Eye;
use crate::intents::{Intents, Past};
use crate::lister::Lister;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pager::Pager;
use crate::registry::{self, Registry};
use crate::runs::{self, Runs};
use crate::told::Told;
use crate::touches::Touches;
use crate::vault::Vault;
use crate::world::{CREATIONS_PER_S, DELETES_PER_S, LISTS_PER_S, World, now_ms};
use crate::{Error, inventory, operator};
use fusebox_custody::{Source, VaultReader};
use fusebox_daemon::Service;
use fusebox_domain::KeyName;
use fusebox_touch::PlanHash;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What the start waits for the outside.
const FIRST_LOOK: Duration = Duration::from_secs(4);

/// The whole daemon: what is shared by its sockets and watches.
pub(crate) struct Revoker {
    pub world: Arc<World>,
    pub runs: Arc<Runs>,
    pub eyes: Vec<Eye>,
    touches: Mutex<Touches>,
    heard: Mutex<BTreeMap<String, u64>>,
    deadman: Mutex<Deadman>,
    health: Mutex<Health>,
    last_shown: Mutex<(Option<PlanHash>, Instant)>,
}

/// What it sees of the world, in words.
pub(crate) struct Health {
    pub exchange: String,
    pub vault: String,
    pub keys: String,
}

impl Health {
    pub(crate) fn services(&self) -> Vec<(String, String)> {
        let row = |name: &str, text: &String| (name.to_owned(), text.clone());
        vec![
            row("exchange", &self.exchange),
            row("vault", &self.vault),
            row("keys", &self.keys),
        ]
    }
}

impl Revoker {
    pub(crate) fn touches(&self) -> MutexGuard<'_, Touches> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deadman(&self) -> MutexGuard<'_, Deadman> {
        self.deadman.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which plan's words went out last, and when.
    pub(crate) fn last_shown(&self) -> MutexGuard<'_, (Option<PlanHash>, Instant)> {
        self.last_shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the keys whose secrets could not be had so far.
    pub(crate) async fn load_missing(&self) {
        let world = &self.world;
        let wanted = world.config.keys.iter();
        let wanted = wanted.filter(|key| {
            world.registry.held(&key.name).is_none() && !world.registry.is_vacant(&key.name)
        });
        let loads = wanted.map(|key| async move {
            let loaded = registry::load(&world.config, key, world.vault_reader.as_ref()).await;
            loaded
                .map(|held| world.registry.insert(held))
                .map_err(|why| (key.name.clone(), why))
        });
        let loaded = futures_util::future::join_all(loads).await;
        let missing: BTreeMap<KeyName, String> =
            loaded.into_iter().filter_map(Result::err).collect();
        for (key, why) in &missing {
            tracing::warn!(%key, why, "a key's secret cannot be read: a kill could not prove it dead");
        }
        let vault = match &world.vault {
            None => "not configured".to_owned(),
            Some(vault) => match vault.health().await {
                Told::Yes => "ok".to_owned(),
                other => format!("{other:?}"),
            },
        };
        let mut health = self.health();
        health.vault = vault;
        health.keys = match missing.is_empty() {
            true => "ok".to_owned(),
            false => format!("{} not readable", missing.len()),
        };
    }
}

/// Starts everything and runs until the service is stopped.
pub(crate) async fn run(config: Config, service: Service) -> Result<(), Error> {
    config.check()?;
    make_state_dir(&config.state_dir)?;
    let (intents, entries) = Intents::open(&config.state_dir.join("intents.jsonl"))?;
    let past = Past::of(entries);
    let touches = Touches::open(&config.enrolments, &past);
    let heard = past.heard.clone();
    let world = Arc::new(world(config, intents).await?);
    let accounts = world.config.breakers.iter().map(|b| b.account.clone());
    let revoker = Arc::new(Revoker {
        runs: Arc::default(),
        eyes: world
            .config
            .accounts
            .iter()
            .map(|a| Eye::open(&world, a))
            .collect(),
        touches: Mutex::new(touches),
        heard: Mutex::new(heard),
        deadman: Mutex::new(Deadman::new(accounts, Instant::now())),
        health: Mutex::new(Health {
            exchange: "not asked yet".to_owned(),
            vault: "not asked yet".to_owned(),
            keys: "not asked yet".to_owned(),
        }),
        last_shown: Mutex::new((None, Instant::now())),
        world,
    });
    let operators = operator::bind(&revoker.world.config.sockets)?;
    let breakers = breaker::bind(&revoker.world.config.sockets)?;
    // Before anything is killed: without a control from before T0 no proof counts (K5). Whoever
    // does not answer now must not keep the sockets closed; the inventory asks again.
    let first_look = async {
        revoker.load_missing().await;
        inventory::control(&revoker.world).await;
    };
    if tokio::time::timeout(FIRST_LOOK, first_look).await.is_err() {
        tracing::warn!("not everything answered at the start");
    }
    runs::restore(&revoker.world, &revoker.runs, past);
    tokio::spawn(operator::serve(revoker.clone(), operators));
    tokio::spawn(breaker::serve(revoker.clone(), breakers));
    tokio::spawn(breaker::watch_silence(revoker.clone()));
    tokio::spawn(inventory::watch(revoker.clone()));
    tokio::spawn(poll_own_ladder(revoker.clone()));
    say_started(&revoker.world);
    service.ready("guards the keys");
    service.stopped().await;
    Ok(())
}

fn say_started(world: &World) {
    let public_key = world.public_key();
    tracing::info!(public_key, host_id = world.config.host_id, "revoker");
    let body = serde_json::json!({
        "event": "started", "component": "revoker", "detail": format!("public key {public_key}"),
    });
    world.outbox.row(now_ms(), "system", body);
}

async fn poll_own_ladder(revoker: Arc<Revoker>) {
    let pause = revoker.world.config.limits.ladder_poll_ms.max(100);
    let mut tick = tokio::time::interval(Duration::from_millis(pause));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for eye in &revoker.eyes {
            if let Err(why) = eye.look(&revoker.world).await {
                tracing::warn!(account = %eye.account().name, why, "own ladder");
            }
        }
    }
}

/// Fetches what a kill needs before one can come: tokens, clients, the signing key.
async fn world(config: Config, intents: Intents) -> Result<World, Error> {
    let client =
        |e: reqwest::Error| Error::Config(format!("the HTTP client could not be made: {e}"));
    let (vault, vault_reader) = match &config.vault {
        None => (None, None),
        Some(at) => {
            let token = secret(&at.token).await?;
            let reader = VaultReader::new(&at.address, token.clone())
                .map_err(|e| Error::Config(e.to_string()))?;
            (
                Some(Vault::new(&at.address, token).map_err(client)?),
                Some(reader),
            )
        }
    };
    let cluster = match &config.kubernetes {
        None => None,
        Some(at) => {
            let token = secret(&at.token).await?;
            Some(Cluster::new(&at.address, token, &at.namespace).map_err(client)?)
        }
    };
    let mut bots = BTreeMap::new();
    for account in &config.accounts {
        if let Some(bot) = &account.bot {
            let password = secret(&bot.password).await?;
            let bot = Bot::new(&bot.address, &bot.user, password).map_err(client)?;
            bots.insert(account.name.clone(), bot);
        }
    }
    let pager = match &config.telegram {
        None => Pager::start(None),
        Some(at) => Pager::start(Some((at, secret(&at.token).await?))),
    };
    let append = config.recorder.as_ref().map(|r| r.append.clone());
    Ok(World {
        registry: Registry::empty(),
        controls: Controls::open(&config.state_dir.join("controls.json")),
        hands: Hands::new()?,
        vault,
        vault_reader,
        cluster,
        bots,
        pace_delete: Pace::per_second(DELETES_PER_S),
        pace_list: Pace::per_second(LISTS_PER_S),
        pace_create: Pace::per_second(CREATIONS_PER_S),
        lister: Lister::default(),
        pager,
        outbox: Outbox::start(&config.state_dir.join("outbox.jsonl"), append)?,
        intents,
        signing: signing_key(&config.state_dir)?,
        kills: AtomicUsize::new(0),
        config,
    })
}

/// A token that nothing works without.
async fn secret(source: &Source) -> Result<fusebox_custody::Secret, Error> {
    let fetched = source.fetch(None).await;
    fetched.map_err(|e| Error::Config(e.to_string()))
}

fn make_state_dir(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::state(format!("making {}", path.display())))
}

/// Its own signing key: made at the first start, and its public half put beside it to be pinned.
fn signing_key(state_dir: &Path) -> Result<Ed25519KeyPair, Error> {
    use ring::signature::KeyPair as _;
    let path = state_dir.join("signing-key");
    let wrong = || Error::SigningKey {
        path: path.display().to_string(),
    };
    let pkcs8 = match std::fs::read(&path) {
        Ok(bytes) => zeroize::Zeroizing::new(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| wrong())?;
            write_private(&path, made.as_ref())?;
            zeroize::Zeroizing::new(made.as_ref().to_vec())
        }
        Err(e) => return Err(Error::state(format!("reading {}", path.display()))(e)),
    };
    let key = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| wrong())?;
    let public = state_dir.join("signing-key.pub");
    std::fs::write(
        &public,
        format!("{}\n", hex::encode(key.public_key().as_ref())),
    )
    .map_err(Error::state(format!("writing {}", public.display())))?;
    Ok(key)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
    .map_err(Error::state(format!("writing {}", path.display())))
}
