//! Starts the whole outside world and keeps it going: ports, services, prices, matching, misbehaviour.
//!
//! The order of start is the order of trust: exchange and keys, Vault filled with them, the cluster that reads Vault,
//! Telegram, the bot, the control API last. Must never: listen on anything but loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::bot::{self, BotService, BotSettings};
use crate::bybit::stream::{self, Socket};
use crate::bybit::{Exchange, MASTER_UID, NewKey, Role};
use crate::candles::{CandleError, Replay};
use crate::clock::Clock;
use crate::control::Control;
use crate::faults::{Fault, Kind};
use crate::gate::Gate;
use crate::http::{Service, serve};
use crate::kubernetes::{Account, Cluster, KubernetesService};
use crate::scenario::{Action, Driver, Scenario};
use crate::telegram::{self, TelegramService};
use crate::vault::{Vault, VaultService};

/// How often accepted orders and due ledger rows are looked at.
const ENGINE_BEAT: Duration = Duration::from_millis(10);
/// How often prices move and controllers run.
const PRICE_BEAT: Duration = Duration::from_millis(100);
/// How long the scenario `blind` keeps the breaker's feeds dead, ms of real time.
const BLIND_MS: u64 = 30_000;

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// `--listen` names an address that others can reach.
    #[error(
        "--listen {0} is not a loopback address; nothing was started; use 127.0.0.1 with port 0 or a free port"
    )]
    NotLoopback(SocketAddr),
    /// A port is taken, or the like.
    #[error(
        "cannot listen on {address}: {source}; nothing is served; choose another port or port 0"
    )]
    Listen {
        /// What it tried.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// `--candles` names a file that cannot be used.
    #[error(transparent)]
    Candles(#[from] CandlesProblem),
    /// The runtime, a signal handler or stdout failed.
    #[error("the simulator could not {doing}: {source}")]
    System {
        /// What it tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What is wrong with the file of candles.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CandlesProblem(String);

impl From<CandleError> for SimError {
    fn from(error: CandleError) -> Self {
        Self::Candles(CandlesProblem(error.to_string()))
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Port 0: every service gets a free one; else they get this port and those after it.
    pub(crate) listen: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) speed: f64,
    pub(crate) scenario: Scenario,
    pub(crate) candles: Option<PathBuf>,
    pub(crate) latency_ms: u64,
    pub(crate) accounts: usize,
    /// Trade and move keys in all.
    pub(crate) keys: usize,
    /// The first bot's database; the others' have `-2`, `-3`, … in their names. `None`: in a directory that goes with
    /// the world.
    pub(crate) bot_db: Option<PathBuf>,
}

/// The running world; it ends when this is dropped.
pub(crate) struct World {
    /// The line of endpoints and invented keys.
    pub(crate) endpoints: Value,
    tasks: JoinSet<()>,
    /// Where the bots' databases are when nobody said where; removed with the world.
    _scratch: Option<TempDir>,
}

/// Hands out listeners one after the other.
struct Ports {
    next: SocketAddr,
}

impl Ports {
    async fn take(&mut self) -> Result<(TcpListener, SocketAddr), SimError> {
        let address = self.next;
        let failed = |source| SimError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if address.port() != 0 {
            self.next.set_port(address.port().saturating_add(1));
        }
        Ok((listener, bound))
    }
}

/// Starts everything.
pub(crate) async fn start(plan: &Plan) -> Result<World, SimError> {
    if !plan.listen.ip().is_loopback() {
        return Err(SimError::NotLoopback(plan.listen));
    }
    let replay = plan.candles.as_deref().map(Replay::read).transpose()?;
    let clock = Clock::default();
    let gate = Arc::new(Gate::new(
        clock.clone(),
        Duration::from_millis(plan.latency_ms),
    ));
    let mut ports = Ports { next: plan.listen };
    let mut tasks = JoinSet::new();

    let exchange = Arc::new(Exchange::new(
        plan.seed,
        plan.accounts,
        plan.keys,
        clock.clone(),
    ));
    if let Some(replay) = &replay {
        exchange.with(|state, now_ms| state.start_at("BTCUSDT", replay.first(), plan.seed, now_ms));
    }
    let (rest, rest_at) = ports.take().await?;
    let (ws_public, ws_public_at) = ports.take().await?;
    let (ws_private, ws_private_at) = ports.take().await?;
    tasks.spawn(serve(rest, exchange.clone(), gate.clone()));
    tasks.spawn(stream::serve(
        ws_public,
        Socket::Public,
        exchange.clone(),
        gate.clone(),
    ));
    tasks.spawn(stream::serve(
        ws_private,
        Socket::Private,
        exchange.clone(),
        gate.clone(),
    ));

    let mut vault = Vault::new(plan.seed);
    fill(&mut vault, &exchange, clock.wall_ms());
    let vault_token = vault.revoker_token(clock.wall_ms());
    let (role_id, secret_id) = vault.revoker_approle();
    let vault_approle = json!({"role_id": role_id, "secret_id": secret_id});
    let vault = Arc::new(VaultService::new(vault, clock.clone()));
    let (listener, vault_at) = ports.take().await?;
    tasks.spawn(serve(listener, vault.clone(), gate.clone()));

    let mut cluster = Cluster::new(plan.seed);
    for n in 1..=plan.accounts {
        let tail = tail(n);
        let secret = format!("freqtrade-keys{tail}");
        cluster.add_bot(
            &format!("freqtrade{tail}"),
            &secret,
            &format!("trading/freqtrade-{n}"),
            clock.wall_ms(),
        );
    }
    let kubernetes = Arc::new(KubernetesService::new(
        cluster,
        vault.clone(),
        clock.clone(),
    ));
    let (listener, kubernetes_at) = ports.take().await?;
    tasks.spawn(serve(listener, kubernetes.clone(), gate.clone()));

    let telegram = Arc::new(TelegramService::new(plan.seed, clock.clone()));
    let (listener, telegram_at) = ports.take().await?;
    tasks.spawn(serve(listener, telegram.clone(), gate.clone()));

    let (scratch, bot_db) = bot_db(plan)?;
    let mut bots = Vec::new();
    for n in 1..=plan.accounts {
        let (listener, at) = ports.take().await?;
        let settings = BotSettings {
            account: n.to_string(),
            deployment: format!("freqtrade{}", tail(n)),
            db: numbered(&bot_db, n),
            bybit_rest: format!("http://{rest_at}"),
            seed: plan.seed,
        };
        let shown = json!({"account": n, "url": format!("http://{at}"), "db": settings.db});
        let service = Arc::new(BotService::new(settings, kubernetes.clone(), clock.clone()));
        tasks.spawn(serve(listener, service.clone(), gate.clone()));
        tasks.spawn(service.clone().run());
        bots.push((service, shown));
    }

    let driver = Driver::new(plan.scenario, plan.seed, plan.speed, replay);
    let driver = Arc::new(Mutex::new(driver));
    let mut services: Vec<Arc<dyn Service>> =
        vec![vault.clone(), kubernetes.clone(), telegram.clone()];
    services.extend(bots.iter().map(|(bot, _)| bot.clone() as Arc<dyn Service>));
    let control = Control {
        seed: plan.seed,
        scenario: format!("{:?}", plan.scenario).to_lowercase(),
        clock: clock.clone(),
        gate: gate.clone(),
        exchange: exchange.clone(),
        vault: vault.clone(),
        driver: driver.clone(),
        services,
    };
    let (listener, control_at) = ports.take().await?;
    tasks.spawn(serve(listener, Arc::new(control), gate.clone()));

    tasks.spawn(match_orders(exchange.clone()));
    tasks.spawn(move_prices(exchange.clone(), gate.clone(), driver));
    tasks.spawn(run_controllers(kubernetes.clone()));

    let endpoints = json!({
        "bybit": {
            "rest": format!("http://{rest_at}"), "ws_public": format!("ws://{ws_public_at}{}", Socket::Public.path()),
            "ws_private": format!("ws://{ws_private_at}{}", Socket::Private.path()),
        },
        "vault": format!("http://{vault_at}"), "kubernetes": format!("http://{kubernetes_at}"),
        "telegram": format!("http://{telegram_at}"), "control": format!("http://{control_at}"),
        "keys": exchange.printed_keys(), "master_uid": MASTER_UID, "seed": plan.seed, "vault_token": vault_token,
        "vault_approle": vault_approle,
        "kubernetes_tokens": {
            "breaker": kubernetes.token(Account::Breaker), "revoker": kubernetes.token(Account::Revoker),
        },
        "freqtrade": bots.first().and_then(|(_, shown)| shown.get("url").cloned()), "bot_db": bot_db,
        "bots": bots.iter().map(|(_, shown)| shown).collect::<Vec<_>>(),
        "freqtrade_user": bot::USER, "freqtrade_password": bot::PASSWORD,
        "telegram_token": telegram.token(), "telegram_chat": telegram::CHAT_ID,
    });
    Ok(World {
        endpoints,
        tasks,
        _scratch: scratch,
    })
}

/// What follows a name for every account but the first.
fn tail(account: usize) -> String {
    match account {
        1 => String::new(),
        n => format!("-{n}"),
    }
}

/// Where the first bot's database is, and the directory made for it when nobody said where.
fn bot_db(plan: &Plan) -> Result<(Option<TempDir>, PathBuf), SimError> {
    if let Some(path) = &plan.bot_db {
        return Ok((None, path.clone()));
    }
    let scratch = tempfile::Builder::new()
        .prefix("fusebox-sim-")
        .tempdir()
        .map_err(|source| SimError::System {
            doing: "make a directory for the bot's database",
            source,
        })?;
    let path = scratch.path().join("tradesv3.sqlite");
    Ok((Some(scratch), path))
}

/// `tradesv3.sqlite`, `tradesv3-2.sqlite`, …
fn numbered(path: &std::path::Path, account: usize) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    match account {
        1 => path.to_owned(),
        n => path.with_file_name(format!(
            "{}-{n}.{}",
            part(path.file_stem()),
            part(path.extension())
        )),
    }
}

impl World {
    /// Waits for ever; the world's own tasks do not end.
    pub(crate) async fn run(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Puts every trade and move key where the bot's Secret and the revoker look for it.
fn fill(vault: &mut Vault, exchange: &Exchange, now_ms: i64) {
    exchange.with(|state, _| {
        for key in state
            .keys
            .all()
            .iter()
            .filter(|k| matches!(k.role, Role::Trade | Role::Move))
        {
            let fields = [
                ("api_key", key.api_key.as_str()),
                ("secret", key.secret.as_str()),
            ];
            vault.put(&format!("trading/{}", key.name), &fields, now_ms);
        }
    });
}

async fn match_orders(exchange: Arc<Exchange>) {
    let mut beat = interval(ENGINE_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        exchange.with(|state, now_ms| state.step(now_ms));
    }
}

async fn run_controllers(kubernetes: Arc<KubernetesService>) {
    let mut beat = interval(PRICE_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        kubernetes.step();
    }
}

async fn move_prices(exchange: Arc<Exchange>, gate: Arc<Gate>, driver: Arc<Mutex<Driver>>) {
    let mut beat = interval(PRICE_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        beat.tick().await;
        let dt_s = last.elapsed().as_secs_f64();
        last = Instant::now();
        let actions = {
            let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
            exchange.with(|state, now_ms| driver.tick(state, dt_s, now_ms))
        };
        for action in actions {
            act(action, &exchange, &gate).await;
        }
    }
}

async fn act(action: Action, exchange: &Arc<Exchange>, gate: &Gate) {
    match action {
        Action::ForeignOrders => {
            let price = exchange.with(|state, _| {
                // Above the market: it rests until someone finds it.
                state.market("SOLUSDT").map(|m| {
                    m.instrument
                        .round_price(m.mark * rust_decimal::Decimal::new(102, 2))
                })
            });
            let price = price.map(|p| p.to_string()).unwrap_or_default();
            let limit = json!({
                "category": "linear", "symbol": "SOLUSDT", "side": "Sell", "orderType": "Limit", "qty": "2",
                "price": price, "timeInForce": "GTC",
            });
            let market = json!({
                "category": "linear", "symbol": "SOLUSDT", "side": "Sell", "orderType": "Market", "qty": "1",
            });
            for order in [limit, market] {
                post(exchange, gate, "freqtrade-1", "/v5/order/create", &order).await;
            }
        }
        Action::MintKey => exchange.with(|state, now_ms| {
            state.keys.add(
                NewKey::of(Role::Trade, "unknown-1".to_owned(), MASTER_UID + 1),
                now_ms,
            );
        }),
        Action::Blind => {
            for path in [Socket::Public.path(), Socket::Private.path()] {
                gate.add_fault(Fault {
                    path: Some(path.to_owned()),
                    for_ms: Some(BLIND_MS),
                    ..Fault::of(Kind::WsSilent)
                });
            }
            gate.add_fault(Fault {
                service: Some("bybit".to_owned()),
                key: Some("eye-breaker".to_owned()),
                for_ms: Some(BLIND_MS),
                ..Fault::of(Kind::Timeout)
            });
        }
    }
}

/// Calls the exchange through its front door, signed and logged like anyone's call; a dead key is refused like anyone's.
async fn post(exchange: &Arc<Exchange>, gate: &Gate, key: &str, path: &str, body: &Value) {
    let Some(request) = exchange.signed_post(key, path, body) else {
        return;
    };
    let arrival = gate.arrival(exchange.as_ref(), &request);
    let reply = exchange.handle(request).await;
    gate.log(&arrival, reply.code, reply.status);
}
