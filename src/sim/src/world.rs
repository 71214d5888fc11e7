//! Starts the whole outside world and keeps it going: ports, services, prices, matching, misbehaviour.
//!
//! The order of start is the order of trust: exchange and keys, Vault filled with them, the cluster that reads Vault,
//! Telegram, the bot, the control API last. Must never: listen on anything but loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
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
    let mut site = Site::new(plan);
    let (exchange, rest) = site.exchange(replay.as_ref()).await?;
    let vault = site.vault(&exchange).await?;
    let kubernetes = site.cluster(&vault).await?;
    let telegram = site.telegram().await?;
    let (scratch, bots) = site.bots(&kubernetes, &rest).await?;

    let driver = Driver::new(plan.scenario, plan.seed, plan.speed, replay);
    let driver = Arc::new(Mutex::new(driver));
    let mut services: Vec<Arc<dyn Service>> = vec![vault.clone(), kubernetes.clone(), telegram];
    services.extend(bots);
    let control = Control {
        seed: plan.seed,
        scenario: format!("{:?}", plan.scenario).to_lowercase(),
        clock: site.clock.clone(),
        gate: site.gate.clone(),
        exchange: exchange.clone(),
        vault,
        driver: driver.clone(),
        services,
    };
    let control = site.open(Arc::new(control)).await?;
    site.show(json!({"control": control, "seed": plan.seed}));

    let mut tasks = site.tasks;
    tasks.spawn(match_orders(exchange.clone()));
    tasks.spawn(move_prices(exchange, site.gate, driver));
    tasks.spawn(run_controllers(kubernetes));
    Ok(World {
        endpoints: Value::Object(site.shown),
        tasks,
        _scratch: scratch,
    })
}

/// What is being built: ports taken, tasks started, endpoints to print.
struct Site<'p> {
    plan: &'p Plan,
    clock: Clock,
    gate: Arc<Gate>,
    ports: Ports,
    tasks: JoinSet<()>,
    shown: Map<String, Value>,
}

impl<'p> Site<'p> {
    fn new(plan: &'p Plan) -> Self {
        let clock = Clock::default();
        let latency = Duration::from_millis(plan.latency_ms);
        Self {
            plan,
            gate: Arc::new(Gate::new(clock.clone(), latency)),
            clock,
            ports: Ports { next: plan.listen },
            tasks: JoinSet::new(),
            shown: Map::new(),
        }
    }

    /// Adds to the line of endpoints.
    fn show(&mut self, fields: Value) {
        if let Value::Object(fields) = fields {
            self.shown.extend(fields);
        }
    }

    /// Serves on a port of its own; gives the base URL.
    async fn open(&mut self, service: Arc<dyn Service>) -> Result<String, SimError> {
        let (listener, at) = self.ports.take().await?;
        self.tasks
            .spawn(serve(listener, service, self.gate.clone()));
        Ok(format!("http://{at}"))
    }

    /// Serves one of the exchange's sockets; gives its whole URL.
    async fn open_stream(
        &mut self,
        socket: Socket,
        exchange: &Arc<Exchange>,
    ) -> Result<String, SimError> {
        let (listener, at) = self.ports.take().await?;
        self.tasks.spawn(stream::serve(
            listener,
            socket,
            exchange.clone(),
            self.gate.clone(),
        ));
        Ok(format!("ws://{at}{}", socket.path()))
    }

    /// The exchange, and the base URL of its REST API.
    async fn exchange(
        &mut self,
        replay: Option<&Replay>,
    ) -> Result<(Arc<Exchange>, String), SimError> {
        let plan = self.plan;
        let exchange = Exchange::new(plan.seed, plan.accounts, plan.keys, self.clock.clone());
        let exchange = Arc::new(exchange);
        if let Some(replay) = replay {
            exchange
                .with(|state, now_ms| state.start_at("BTCUSDT", replay.first(), plan.seed, now_ms));
        }
        let rest = self.open(exchange.clone()).await?;
        let ws_public = self.open_stream(Socket::Public, &exchange).await?;
        let ws_private = self.open_stream(Socket::Private, &exchange).await?;
        self.show(json!({
            "bybit": {"rest": rest, "ws_public": ws_public, "ws_private": ws_private},
            "keys": exchange.printed_keys(), "master_uid": MASTER_UID,
        }));
        Ok((exchange, rest))
    }

    /// The secret store with every trade and move key in it.
    async fn vault(&mut self, exchange: &Exchange) -> Result<Arc<VaultService>, SimError> {
        let now_ms = self.clock.wall_ms();
        let mut vault = Vault::new(self.plan.seed);
        fill(&mut vault, exchange, now_ms);
        let token = vault.revoker_token(now_ms);
        let (role_id, secret_id) = vault.revoker_approle();
        let vault = Arc::new(VaultService::new(vault, self.clock.clone()));
        let url = self.open(vault.clone()).await?;
        self.show(json!({
            "vault": url, "vault_token": token, "vault_approle": {"role_id": role_id, "secret_id": secret_id},
        }));
        Ok(vault)
    }

    /// The cluster with a Deployment for each account's bot.
    async fn cluster(
        &mut self,
        vault: &Arc<VaultService>,
    ) -> Result<Arc<KubernetesService>, SimError> {
        let mut cluster = Cluster::new(self.plan.seed);
        for n in 1..=self.plan.accounts {
            let (deployment, secret) = (
                format!("freqtrade{}", tail(n)),
                format!("freqtrade-keys{}", tail(n)),
            );
            cluster.add_bot(
                &deployment,
                &secret,
                &format!("trading/freqtrade-{n}"),
                self.clock.wall_ms(),
            );
        }
        let kubernetes = Arc::new(KubernetesService::new(
            cluster,
            vault.clone(),
            self.clock.clone(),
        ));
        let url = self.open(kubernetes.clone()).await?;
        let token = |account| kubernetes.token(account);
        let tokens =
            json!({"breaker": token(Account::Breaker), "revoker": token(Account::Revoker)});
        self.show(json!({"kubernetes": url, "kubernetes_tokens": tokens}));
        Ok(kubernetes)
    }

    async fn telegram(&mut self) -> Result<Arc<TelegramService>, SimError> {
        let telegram = Arc::new(TelegramService::new(self.plan.seed, self.clock.clone()));
        let url = self.open(telegram.clone()).await?;
        self.show(json!({
            "telegram": url, "telegram_token": telegram.token(), "telegram_chat": telegram::CHAT_ID,
        }));
        Ok(telegram)
    }

    /// One bot for each account, and the directory made for their databases when nobody named one.
    async fn bots(
        &mut self,
        kubernetes: &Arc<KubernetesService>,
        rest: &str,
    ) -> Result<(Option<TempDir>, Vec<Arc<dyn Service>>), SimError> {
        let (scratch, db) = bot_db(self.plan)?;
        let mut bots: Vec<Arc<dyn Service>> = Vec::new();
        let mut shown = Vec::new();
        for n in 1..=self.plan.accounts {
            let settings = BotSettings {
                account: n.to_string(),
                deployment: format!("freqtrade{}", tail(n)),
                db: numbered(&db, n),
                bybit_rest: rest.to_owned(),
                seed: self.plan.seed,
            };
            let db = settings.db.clone();
            let bot = Arc::new(BotService::new(
                settings,
                kubernetes.clone(),
                self.clock.clone(),
            ));
            let url = self.open(bot.clone()).await?;
            self.tasks.spawn(bot.clone().run());
            shown.push(json!({"account": n, "url": url, "db": db}));
            bots.push(bot);
        }
        let first = shown.first().and_then(|bot| bot.get("url")).cloned();
        self.show(json!({
            "freqtrade": first, "freqtrade_user": bot::USER, "freqtrade_password": bot::PASSWORD, "bot_db": db,
            "bots": shown,
        }));
        Ok((scratch, bots))
    }
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
