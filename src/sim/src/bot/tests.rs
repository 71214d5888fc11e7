//! The REST side against real answers of freqtrade, and the whole bot against the simulated world.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use super::book::Book;
use super::exchange::Quote;
use super::rest::{self, Outcome, Tokens};
use super::strategy::RunState;
use super::trade::tests::{d, filled, order, wish};
use super::trade::{Purpose, Trade};
use crate::http::Request;

const T0_MS: i64 = 1_795_251_820_000;

/// A book with one open and one closed trade, and a caller.
struct Desk {
    book: Book,
    tokens: Tokens,
    now_ms: i64,
}

impl Desk {
    fn new() -> Self {
        let mut book = Book::new(T0_MS * 1000);
        book.equity = d("4000");
        let price = d("59000");
        let quote = Quote {
            bid: price,
            ask: price,
            last: price,
            mark: price,
        };
        book.quotes.insert("BTCUSDT".to_owned(), quote);
        for (id, closes) in [(1, false), (2, true)] {
            let mut trade =
                Trade::new(&wish("BTCUSDT", false, "0.010", "60000", "5"), T0_MS * 1000);
            trade.id = id;
            trade.add_order(order(&trade, Purpose::Entry, "e", "0.010", "60000"));
            trade.apply("e", &filled("0.010", "60000", "0.0002"), 1);
            if closes {
                trade.add_order(order(&trade, Purpose::Exit, "x", "0.010", "61000"));
                trade.apply("x", &filled("0.010", "61000", "0.0002"), 2);
            }
            book.trades.push(trade);
        }
        Self {
            book,
            tokens: Tokens::new(b"seed"),
            now_ms: T0_MS,
        }
    }

    fn ask(&mut self, method: &str, path: &str, auth: &str, body: Value, lie: bool) -> Outcome {
        let mut headers = HeaderMap::new();
        if !auth.is_empty() {
            headers.insert("authorization", auth.parse().unwrap());
        }
        let request = Request {
            method: method.to_owned(),
            path: format!("/api/v1/{path}"),
            query: String::new(),
            headers,
            body: if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }
            .into(),
            peer: ([127, 0, 0, 1], 1).into(),
            lie,
        };
        rest::answer(&request, &mut self.book, &self.tokens, self.now_ms)
    }

    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        match self.ask(method, path, &basic("demo"), body, false) {
            Outcome::Answer(status, body) => (status, body),
            Outcome::Act(_) => (0, Value::Null),
        }
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.answer("GET", path, Value::Null);
        assert_eq!(status, 200, "{path}");
        body
    }
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("fusebox:{password}")))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn answers_have_every_field_that_freqtrades_have() {
    let mut desk = Desk::new();
    let status = desk.get("status");
    let real = sample(include_str!("samples/status.json"));
    assert_eq!(
        keys(&real[0]).difference(&keys(&status[0])).count(),
        0,
        "{:?}",
        keys(&real[0]).difference(&keys(&status[0]))
    );
    assert!(keys(&real[0]["orders"][0]).is_subset(&keys(&status[0]["orders"][0])));
    let trades = desk.get("trades");
    let real = sample(include_str!("samples/trades.json"));
    assert_eq!(keys(&real), keys(&trades));
    let missing: Vec<_> = keys(&real["trades"][0])
        .difference(&keys(&trades["trades"][0]))
        .cloned()
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    for (path, text) in [
        ("show_config", include_str!("samples/show_config.json")),
        ("count", include_str!("samples/count.json")),
        ("health", include_str!("samples/health.json")),
        ("locks", include_str!("samples/locks.json")),
        ("whitelist", include_str!("samples/whitelist.json")),
    ] {
        assert_eq!(keys(&sample(text)), keys(&desk.get(path)), "{path}");
    }
    // What is left out of these two is named in `views`.
    let real = sample(include_str!("samples/profit.json"));
    assert!(keys(&desk.get("profit")).is_subset(&keys(&real)));
    let real = sample(include_str!("samples/balance_open.json"));
    let balance = desk.get("balance");
    assert!(keys(&balance).is_subset(&keys(&real)));
    for row in balance["currencies"].as_array().unwrap() {
        assert_eq!(keys(row), keys(&real["currencies"][0]));
    }
}

#[test]
fn only_ping_is_open_and_tokens_expire() {
    let mut desk = Desk::new();
    let status = |desk: &mut Desk, method: &str, path: &str, auth: &str| match desk.ask(
        method,
        path,
        auth,
        Value::Null,
        false,
    ) {
        Outcome::Answer(status, body) => (status, body),
        Outcome::Act(_) => (0, Value::Null),
    };
    assert_eq!(
        status(&mut desk, "GET", "ping", "").1,
        json!({"status": "pong"})
    );
    let denied = (401, json!({"detail": "Unauthorized"}));
    assert_eq!(status(&mut desk, "GET", "version", ""), denied);
    assert_eq!(status(&mut desk, "GET", "version", &basic("guess")), denied);
    assert_eq!(
        status(&mut desk, "POST", "forceexit", "Bearer x.y.z"),
        denied
    );
    let (_, login) = status(&mut desk, "POST", "token/login", &basic("demo"));
    let bearer = |name: &str| format!("Bearer {}", login[name].as_str().unwrap());
    assert_eq!(
        status(&mut desk, "GET", "version", &bearer("access_token")).0,
        200
    );
    assert_eq!(
        status(&mut desk, "GET", "version", &bearer("refresh_token")),
        denied,
        "a refresh token only refreshes"
    );
    assert_eq!(
        status(&mut desk, "POST", "token/refresh", &bearer("refresh_token")).0,
        200
    );
    desk.now_ms += 16 * 60_000;
    assert_eq!(
        status(&mut desk, "GET", "version", &bearer("access_token")),
        denied
    );
}

#[test]
fn paused_exits_are_taken_and_entries_refused_and_stopped_neither() {
    let mut desk = Desk::new();
    let exit = json!({"tradeid": "1", "ordertype": "limit", "amount": 0.005});
    let enter = json!({"pair": "SOL/USDT:USDT", "side": "long"});
    let not_running = |path: &str| {
        (
            502,
            json!({"error": format!("Error querying /api/v1/{path}: trader is not running")}),
        )
    };
    let (_, paused) = desk.answer("POST", "stopentry", Value::Null);
    assert_eq!(
        paused["status"],
        "paused, no more entries will occur from now. Run /start to enable entries."
    );
    assert_eq!(desk.get("show_config")["state"], "paused");
    assert_eq!(
        desk.answer("POST", "forceexit", exit.clone()).0,
        0,
        "handed to the engine"
    );
    assert_eq!(
        desk.answer("POST", "forceenter", enter.clone()),
        not_running("forceenter")
    );
    assert_eq!(
        desk.answer("POST", "stop", Value::Null).1["status"],
        "stopping trader ..."
    );
    assert_eq!(
        desk.answer("POST", "forceexit", exit.clone()),
        not_running("forceexit")
    );
    assert_eq!(
        desk.answer("POST", "start", Value::Null).1["status"],
        "starting trader ..."
    );
    assert_eq!(desk.answer("POST", "forceenter", enter).0, 0);
    assert_eq!(
        desk.answer("POST", "forceexit", json!({"tradeid": "x"})).0,
        502
    );
    assert_eq!(desk.answer("POST", "forceexit", json!({})).0, 422);
}

#[test]
fn a_lie_answers_success_and_changes_nothing() {
    let mut desk = Desk::new();
    let lie = |desk: &mut Desk, path: &str, body: Value| match desk.ask(
        "POST",
        path,
        &basic("demo"),
        body,
        true,
    ) {
        Outcome::Answer(status, body) => (status, body),
        Outcome::Act(_) => panic!("a lie reached the engine"),
    };
    assert_eq!(
        lie(&mut desk, "forceexit", json!({"tradeid": 1})),
        (200, json!({"result": "Created exit order for trade 1."}))
    );
    assert_eq!(lie(&mut desk, "stopentry", Value::Null).0, 200);
    assert_eq!(desk.book.run, RunState::Running);
}

#[test]
fn a_bot_that_could_not_begin_stays_stopped() {
    let mut desk = Desk::new();
    desk.book.run = RunState::Stopped;
    desk.book.broken = true;
    desk.book.note(1, "ERROR", "no key".to_owned());
    desk.answer("POST", "start", Value::Null);
    assert_eq!(desk.book.run, RunState::Stopped);
    assert_eq!(desk.get("health")["last_error"], "no key");
    assert_eq!(desk.get("logs")["logs"][0][4], "no key");
}

/// The simulated world over HTTP, as the components see it.
struct Outside {
    http: reqwest::Client,
    ends: Value,
    _world: crate::world::World,
}

impl Outside {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plan = crate::world::Plan {
            listen: ([127, 0, 0, 1], 0).into(),
            seed: 7,
            speed: 1.0,
            scenario: crate::scenario::Scenario::Calm,
            candles: None,
            latency_ms: 0,
            accounts: 1,
            keys: 3,
            bot_db: None,
        };
        let world = crate::world::start(&plan).await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            http,
            ends: world.endpoints.clone(),
            _world: world,
        }
    }

    /// Status and body; `None` when the connection ended without an answer.
    async fn call(
        &self,
        method: &str,
        url: String,
        auth: String,
        body: Value,
    ) -> Option<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).header("authorization", auth);
        if !body.is_null() {
            request = request
                .header("content-type", "application/merge-patch+json")
                .body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    async fn bot(&self, method: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        let url = format!("{}/api/v1/{path}", self.ends["freqtrade"].as_str().unwrap());
        self.call(method, url, basic("demo"), body).await
    }

    async fn cluster(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.ends["kubernetes"].as_str().unwrap());
        let auth = format!(
            "Bearer {}",
            self.ends["kubernetes_tokens"]["revoker"].as_str().unwrap()
        );
        self.call(method, url, auth, body).await.unwrap()
    }

    async fn scale(&self, replicas: u8) {
        let path = "/apis/apps/v1/namespaces/trading/deployments/freqtrade/scale";
        let (status, _) = self
            .cluster("PATCH", path, json!({"spec": {"replicas": replicas}}))
            .await;
        assert_eq!(status, 200);
    }

    /// Sizes of the account's positions by symbol, and its resting orders as `(symbol, qty, status)`.
    async fn account(&self) -> (Vec<(String, String)>, Vec<(String, String, String)>) {
        let url = format!("{}/state", self.ends["control"].as_str().unwrap());
        let (_, state) = self
            .call("GET", url, String::new(), Value::Null)
            .await
            .unwrap();
        let account = state["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|a| a["uid"] == 100_001)
            .unwrap()
            .clone();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let list = |name: &str| account[name].as_array().unwrap().clone();
        let positions = list("positions")
            .iter()
            .filter(|row| text(row, "size") != "0")
            .map(|row| (text(row, "symbol"), text(row, "size")))
            .collect();
        let orders = list("orders")
            .iter()
            .map(|row| {
                (
                    text(row, "symbol"),
                    text(row, "qty"),
                    text(row, "orderStatus"),
                )
            })
            .collect();
        (positions, orders)
    }

    async fn open_trades(&self) -> usize {
        match self.bot("GET", "status", Value::Null).await {
            Some((200, Value::Array(trades))) => {
                trades.iter().filter(|t| t["amount"] != 0.0).count()
            }
            _ => 0,
        }
    }
}

/// Asks until the answer is yes, at most 15 s.
macro_rules! eventually {
    ($what:expr, $yes:expr) => {{
        let until = std::time::Instant::now() + std::time::Duration::from_secs(15);
        loop {
            if $yes {
                break;
            }
            assert!(
                std::time::Instant::now() < until,
                "never happened: {}",
                $what
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bot_trades_is_halved_goes_with_its_pod_and_stops_with_its_key() {
    let world = Outside::start().await;
    eventually!("three positions", world.open_trades().await >= 3);
    eventually!(
        "two stops rest",
        world
            .account()
            .await
            .1
            .iter()
            .filter(|o| o.2 == "Untriggered")
            .count()
            == 2
    );

    assert_eq!(
        world.bot("POST", "stopentry", Value::Null).await.unwrap().0,
        200
    );
    let before = world.account().await.0;
    let btc = before
        .iter()
        .find(|p| p.0 == "BTCUSDT")
        .unwrap()
        .1
        .parse::<f64>()
        .unwrap();
    let exit = json!({"tradeid": "1", "ordertype": "market", "amount": btc / 2.0});
    assert_eq!(world.bot("POST", "forceexit", exit).await.unwrap().0, 200);
    let left = |now: &[(String, String)]| now.iter().find(|p| p.0 == "BTCUSDT").unwrap().1.clone();
    eventually!(
        "the exchange shows half",
        left(&world.account().await.0).parse::<f64>().unwrap() < btc * 0.52
    );
    let half = left(&world.account().await.0);
    eventually!(
        "the stop follows",
        world
            .account()
            .await
            .1
            .iter()
            .any(|o| o.0 == "BTCUSDT" && o.1 == half && o.2 == "Untriggered")
    );

    let held = world.account().await.0.len();
    world.scale(0).await;
    let (_, pods) = world
        .cluster("GET", "/api/v1/namespaces/trading/pods", Value::Null)
        .await;
    let name = pods["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let pod = format!("/api/v1/namespaces/trading/pods/{name}?gracePeriodSeconds=0");
    assert_eq!(world.cluster("DELETE", &pod, Value::Null).await.0, 200);
    assert_eq!(
        world.bot("GET", "ping", Value::Null).await,
        None,
        "nobody listens any more"
    );
    let (positions, orders) = world.account().await;
    assert_eq!(positions.len(), held, "it left without closing anything");
    assert_eq!(
        orders.iter().filter(|o| o.2 == "Untriggered").count(),
        2,
        "its stops rest"
    );

    world.scale(1).await;
    eventually!(
        "it comes back to its open trades",
        world.open_trades().await >= 3
    );
    let gone = json!({"kind": "retcode", "service": "bybit", "key": "freqtrade-1", "code": 10003, "msg": "API key is invalid."});
    let url = format!("{}/faults", world.ends["control"].as_str().unwrap());
    assert_eq!(
        world
            .call("POST", url, String::new(), gone)
            .await
            .unwrap()
            .0,
        200
    );
    eventually!(
        "it says why it stopped",
        world.bot("GET", "health", Value::Null).await.unwrap().1["last_error"]
            .as_str()
            .is_some_and(|e| e.contains("10003"))
    );
    assert_eq!(
        world
            .bot("GET", "show_config", Value::Null)
            .await
            .unwrap()
            .1["state"],
        "stopped"
    );
}
