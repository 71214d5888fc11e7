//! The recorder's parts together: sockets, writer, and an exchange that can be made to lie.

use crate::append::{self, Desk};
use crate::bot::{self, BotOrders};
use crate::config::{Append, Freqtrade, Role};
use crate::coverage::Coverer;
use crate::exchange::Follower;
use crate::freqtrade::Picture;
use crate::status::Board;
use crate::writer::{self, Writer};
use crate::{key, now_ms};
use fusebox_domain::{ApiKeyId, Environment};
use fusebox_journal::{Checkpoint, Draft, Filter, Kind, Reader, Store, System, VerifierKey};
use fusebox_venue::{Endpoints, Signer, Urls};
use fusebox_wire::append::{self as wire, Reply, Request};
use fusebox_wire::{Component, Frames};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::Mutex;

const NOW_MS: i64 = 1_790_000_000_000;

/// A journal with its writer's thread running.
struct House {
    dir: tempfile::TempDir,
    writer: Writer,
    thread: std::thread::JoinHandle<()>,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("checkpoint.key");
        let key = key::checkpoint_key(&key_file, "test").await.unwrap();
        let store = Store::open(&dir.path().join("journal.db")).unwrap();
        let hour = Duration::from_secs(3600);
        let (writer, thread) = writer::start(store, key, hour, now_ms).unwrap();
        Self {
            dir,
            writer,
            thread,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn journal(&self) -> Reader<'static> {
        Reader::open(&self.path("journal.db")).unwrap()
    }

    fn rows(&self, kind: Kind) -> Vec<fusebox_journal::Row> {
        let filter = Filter {
            kinds: vec![kind],
            ..Filter::default()
        };
        self.journal().page_on(0, &filter, 1000).unwrap()
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let vkey = std::fs::read_to_string(self.path("journal.db.vkey")).unwrap();
        let note = std::fs::read_to_string(self.path("journal.db.checkpoint")).ok()?;
        Some(Checkpoint::open(&note, &VerifierKey::parse(&vkey).unwrap()).unwrap())
    }

    fn coverer(&self, accounts: &[&str]) -> Arc<Coverer> {
        let accounts = accounts.iter().map(|a| (*a).to_owned()).collect();
        Arc::new(Coverer::new(
            self.writer.clone(),
            Board::default(),
            accounts,
        ))
    }

    /// Serves an append socket and connects to it.
    async fn caller(&self, role: Role) -> Frames<UnixStream> {
        let config = Append {
            path: self.path("append.sock"),
            role,
            uids: vec![],
            kinds: vec![],
            rows_per_s: 1000,
        };
        let desk = Desk {
            writer: self.writer.clone(),
            board: Board::default(),
            coverer: self.coverer(&[]),
        };
        let listener = append::bind(&config).unwrap();
        let path = config.path.clone();
        tokio::spawn(append::serve(config, listener, desk));
        fusebox_wire::connect(&path, Component::Console, Component::Recorder, None)
            .await
            .unwrap()
    }
}

async fn ask(caller: &mut Frames<UnixStream>, request: &Request) -> Reply {
    caller.send(request).await.unwrap();
    caller.recv().await.unwrap()
}

fn row(kind: &str, body: Value, outbox: Option<u64>) -> Request {
    Request::Append(wire::Draft {
        kind: kind.into(),
        body,
        happened_ms: NOW_MS,
        outbox,
    })
}

#[tokio::test]
async fn a_row_sent_twice_is_written_once_and_answered_alike() {
    let house = House::new().await;
    let mut caller = house.caller(Role::Breaker).await;
    let halt = row("halt", json!({"id": "h1", "reason": "R1 day"}), Some(7));
    let Reply::Appended {
        seq,
        hash,
        duplicate: false,
    } = ask(&mut caller, &halt).await
    else {
        panic!("refused")
    };
    let again = ask(&mut caller, &halt).await;
    assert_eq!(
        again,
        Reply::Appended {
            seq,
            hash: hash.clone(),
            duplicate: true
        }
    );
    let rows = house.rows(Kind::Halt);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].hash.to_string(), hash);
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(house.dir.path()).unwrap());
    assert_eq!(rows[0].author, format!("breaker:{uid}"));
    assert!(
        rows[0].fields()["late_ms"].as_i64().unwrap() > 0,
        "NOW_MS is long ago"
    );
}

#[tokio::test]
async fn nonsense_is_refused_by_name_and_the_connection_lives_on() {
    let house = House::new().await;
    let mut caller = house.caller(Role::Operator).await;
    let code = |reply| match reply {
        Reply::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code(ask(&mut caller, &row("halt", json!({}), None)).await),
        "kind"
    );
    assert_eq!(
        code(ask(&mut caller, &row("ack", json!("x"), None)).await),
        "body"
    );
    let long = json!({"note": "n".repeat(50_000)});
    assert_eq!(
        code(ask(&mut caller, &row("ack", long, None)).await),
        "too_long"
    );
    caller.send(&json!({"type": "drop_table"})).await.unwrap();
    assert_eq!(code(caller.recv().await.unwrap()), "message");
    caller
        .send(&json!({"type": "append", "kind": 5}))
        .await
        .unwrap();
    assert_eq!(code(caller.recv().await.unwrap()), "message");
    let fine = ask(&mut caller, &row("ack", json!({"id": "a1"}), None)).await;
    assert!(matches!(fine, Reply::Appended { seq: 1, .. }));
    let Reply::Status(status) = ask(&mut caller, &Request::Status).await else {
        panic!("no status")
    };
    assert_eq!(status.entries, 1);
}

#[tokio::test]
async fn an_urgent_row_is_followed_by_a_signed_checkpoint_and_a_quiet_one_is_not() {
    let house = House::new().await;
    let mut caller = house.caller(Role::Breaker).await;
    ask(
        &mut caller,
        &row("alert", json!({"id": "a", "severity": 3}), None),
    )
    .await;
    assert_eq!(house.checkpoint(), None);
    ask(
        &mut caller,
        &row("incident", json!({"id": "i", "severity": 1}), None),
    )
    .await;
    // The checkpoint follows the answer: asking for the state waits for it.
    let Reply::Status(status) = ask(&mut caller, &Request::Status).await else {
        panic!("no status")
    };
    let checkpoint = house.checkpoint().unwrap();
    assert_eq!(
        (checkpoint.chain.size, checkpoint.origin.as_str()),
        (2, "fusebox/journal/test")
    );
    assert_eq!(status.checkpoint_ms, Some(checkpoint.time_ms));
    let Reply::Checkpoint { note } = ask(&mut caller, &Request::Checkpoint).await else {
        panic!("no checkpoint")
    };
    assert_eq!(Checkpoint::read_unchecked(&note).unwrap(), checkpoint);
}

#[tokio::test]
async fn a_clean_stop_leaves_one_verified_file_and_its_last_checkpoint() {
    let house = House::new().await;
    let draft = Draft::new(NOW_MS, "recorder", &System::default());
    house.writer.append(vec![draft]).await.unwrap();
    let House {
        dir,
        writer,
        thread,
    } = house;
    drop(writer);
    tokio::task::spawn_blocking(|| thread.join())
        .await
        .unwrap()
        .unwrap();
    assert!(!dir.path().join("journal.db-wal").exists());
    let db = dir.path().join("journal.db");
    let report = fusebox_journal::verify_file(&db, Some(&dir.path().join("journal.db.checkpoint")));
    assert_eq!(
        (report.ok, report.entries, report.signature),
        (true, 1, Some("verified"))
    );
}

#[tokio::test]
async fn the_checkpoint_key_is_made_once_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint.key");
    let first = key::checkpoint_key(&path, "t").await.unwrap().verifier();
    assert_eq!(
        key::checkpoint_key(&path, "t").await.unwrap().verifier(),
        first
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(key::checkpoint_key(&path, "t").await.is_err());
}

#[tokio::test]
async fn a_freqtrade_database_that_appears_late_is_followed() {
    let house = House::new().await;
    let db = house.path("tradesv3.sqlite");
    let config = Freqtrade {
        account: "trading-1".into(),
        db: db.clone(),
        poll_ms: 50,
    };
    let (board, orders) = (Board::default(), BotOrders::default());
    let task = tokio::spawn(bot::follow(
        config,
        house.writer.clone(),
        board.clone(),
        orders.clone(),
    ));
    wait_for(|| {
        board
            .read(0)
            .iter()
            .any(|(_, text)| text.contains("missing"))
    })
    .await;
    assert_eq!(orders.checked(), None);
    rusqlite::Connection::open(&db)
        .unwrap()
        .execute_batch(
            "CREATE TABLE trades (id, pair, is_open, open_rate, close_rate, amount, stake_amount, open_date, close_date);
             CREATE TABLE orders (id, ft_trade_id, ft_order_side, ft_is_open, order_id, status, amount, filled, average);
             INSERT INTO orders VALUES (1, 1, 'buy', 0, 'o-1', 'closed', 1.5, 1.5, 100.25);
             INSERT INTO trades VALUES (1, 'X', 1, 100.25, NULL, 1.5, 150.0, '2026-11-20 10:00:00', NULL);",
        )
        .unwrap();
    wait_for(|| !house.rows(Kind::Trade).is_empty()).await;
    assert!(orders.has("o-1") && orders.checked().is_some());
    task.abort();
}

/// Waits for something that another task does.
async fn wait_for(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it did not happen");
}

/// An exchange of two listings; `hidden` executions are left out of the execution list.
#[derive(Default)]
struct World {
    executions: Vec<Value>,
    ledger: Vec<Value>,
    orders: Vec<Value>,
    hidden: Vec<String>,
}

impl World {
    fn fill(&mut self, id: &str, order_id: &str, at_ms: i64) {
        self.executions.push(json!({
            "execId": id, "orderId": order_id, "symbol": "BTCUSDT", "side": "Buy", "execType": "Trade",
            "execQty": "0.01", "execPrice": "60000.5", "execFee": "0.33", "isMaker": false,
            "execTime": at_ms.to_string(),
        }));
        self.book("TRADE", id, "-0.33", at_ms);
    }

    fn book(&mut self, kind: &str, trade_id: &str, change: &str, at_ms: i64) {
        self.ledger.push(json!({
            "id": format!("l-{trade_id}"), "type": kind, "currency": "USDT", "change": change,
            "cashBalance": "4000", "tradeId": trade_id, "transactionTime": at_ms.to_string(),
        }));
    }

    /// The answer to one request line.
    fn answer(&self, target: &str) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = |name: &str, default: i64| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
            found.and_then(|v| v.parse().ok()).unwrap_or(default)
        };
        let (from, to) = (number("startTime=", 0), number("endTime=", i64::MAX));
        let within = |rows: &[Value], time: &str| -> Vec<Value> {
            let at = |row: &Value| row[time].as_str().unwrap().parse::<i64>().unwrap();
            rows.iter()
                .filter(|r| (from..=to).contains(&at(r)))
                .cloned()
                .collect()
        };
        let list = match path {
            "/v5/execution/list" => within(&self.executions, "execTime")
                .into_iter()
                .filter(|e| !self.hidden.iter().any(|id| e["execId"] == id.as_str()))
                .collect(),
            "/v5/account/transaction-log" => within(&self.ledger, "transactionTime"),
            "/v5/order/realtime" => self.orders.clone(),
            _ => vec![],
        };
        let nano = format!("{}000000", NOW_MS);
        json!({"retCode": 0, "retMsg": "OK", "time": NOW_MS, "retExtInfo": {},
               "result": {"list": list, "nextPageCursor": "", "timeNano": nano, "timeSecond": "0"}})
    }
}

/// Serves a [`World`] over plain HTTP on the loopback and follows it.
struct Exchange {
    world: Arc<SyncMutex<World>>,
    follower: Follower,
    orders: BotOrders,
}

impl Exchange {
    async fn new(house: &House) -> Self {
        let world: Arc<SyncMutex<World>> = Arc::default();
        let rest = serve(world.clone()).await;
        let orders = BotOrders::default();
        let follower = follower(house, &rest, &orders).await;
        Self {
            world,
            follower,
            orders,
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The bot's database has these orders, as of `at`.
    fn bot_has(&self, ids: &[&str], at: Instant) {
        let picture = Picture {
            order_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Picture::default()
        };
        self.orders.saw(Some(&picture), at);
    }
}

async fn follower(house: &House, rest: &str, orders: &BotOrders) -> Follower {
    fusebox_daemon::install_crypto();
    let urls = Urls {
        rest: rest.to_owned(),
        ws_public: None,
        ws_private: None,
    };
    let endpoints = Endpoints::new(Environment::Sim, Some(&urls)).unwrap();
    let signer = Signer::new(ApiKeyId::new("eye"), "invented".to_owned().into());
    let reader = fusebox_venue::Reader::new(endpoints, signer).unwrap();
    let day_ms = 24 * 3_600_000;
    Follower::start(
        "trading-1",
        reader,
        Some(orders.clone()),
        day_ms,
        &house.writer,
    )
    .await
    .unwrap()
}

async fn serve(world: Arc<SyncMutex<World>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rest = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let world = world.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                let text = String::from_utf8(request).unwrap();
                let target = text.split(' ').nth(1).unwrap();
                let body = world.lock().unwrap().answer(target).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    rest
}

#[tokio::test]
async fn executions_and_capital_become_one_row_each_however_often_they_are_listed() {
    let house = House::new().await;
    let mut exchange = Exchange::new(&house).await;
    let board = Board::default();
    exchange.world().fill("e-1", "o-1", NOW_MS - 5000);
    exchange
        .world()
        .book("TRANSFER_OUT", "", "-500", NOW_MS - 4000);
    for _ in 0..3 {
        exchange.follower.poll(&house.writer, &board).await.unwrap();
    }
    // A restart lists again from before the last execution.
    let rest = exchange.follower.reader.endpoints().rest().to_owned();
    let mut again = follower(&house, &rest, &exchange.orders).await;
    assert_eq!(again.since_ms, exchange.follower.since_ms);
    exchange.world().fill("e-2", "o-1", NOW_MS - 100);
    again.poll(&house.writer, &board).await.unwrap();
    let executions = house.rows(Kind::Execution);
    assert_eq!(executions.len(), 2);
    assert_eq!(executions[0].fields()["price"], "60000.5");
    let capital = house.rows(Kind::Capital);
    assert_eq!(capital.len(), 1);
    assert_eq!(
        (
            &capital[0].fields()["direction"],
            &capital[0].fields()["amount"]
        ),
        (&json!("out"), &json!("500"))
    );
}

#[tokio::test]
async fn a_dropped_page_is_noticed_and_made_up_for_when_it_comes_back() {
    let house = House::new().await;
    let mut exchange = Exchange::new(&house).await;
    let board = Board::default();
    for n in 0..6 {
        exchange
            .world()
            .fill(&format!("e-{n}"), "o-1", NOW_MS - 3_600_000 + n);
    }
    exchange.bot_has(&["o-1"], Instant::now());
    exchange.world().hidden = vec!["e-4".into(), "e-5".into()];
    exchange.follower.poll(&house.writer, &board).await.unwrap();
    assert!(
        board.read(now_ms())[0].1.contains("lacks 2 fills"),
        "{:?}",
        board.read(0)
    );

    let coverer = house.coverer(&["trading-1"]);
    let Exchange {
        world, follower, ..
    } = exchange;
    coverer.add(Arc::new(Mutex::new(follower))).await;
    let coverage = coverer.measure().await.unwrap();
    assert_eq!((coverage.exchange, coverage.journal), (6, 4));
    assert_eq!(coverage.missing, ["e-4", "e-5"]);
    assert!(
        coverage.doubts[0].contains("ledger"),
        "{:?}",
        coverage.doubts
    );

    world.lock().unwrap().hidden.clear();
    let coverage = coverer.measure().await.unwrap();
    assert_eq!((coverage.exchange, coverage.journal), (6, 6));
    assert!(
        coverage.missing.is_empty() && coverage.doubts.is_empty(),
        "{coverage:?}"
    );
    assert!(coverage.foreign.is_empty());
}

#[tokio::test]
async fn an_order_that_is_not_the_bots_is_an_incident_after_the_grace_and_only_once() {
    let house = House::new().await;
    let mut exchange = Exchange::new(&house).await;
    let board = Board::default();
    exchange.world().fill("e-1", "o-bot", NOW_MS - 9000);
    exchange.world().fill("e-2", "o-rogue", NOW_MS - 9000);
    let start = Instant::now();
    exchange.bot_has(&["o-bot"], start);
    exchange.follower.poll(&house.writer, &board).await.unwrap();
    assert!(house.rows(Kind::Incident).is_empty(), "within the grace");
    // The database is not read any more: nobody is accused.
    exchange.follower.poll(&house.writer, &board).await.unwrap();
    assert!(
        house.rows(Kind::Incident).is_empty(),
        "the bot's database was not read since"
    );
    exchange.bot_has(&[], start + Duration::from_secs(60));
    for _ in 0..3 {
        exchange.follower.poll(&house.writer, &board).await.unwrap();
    }
    let incidents = house.rows(Kind::Incident);
    assert_eq!(incidents.len(), 1);
    let body = incidents[0].fields();
    assert_eq!(
        (&body["type"], &body["severity"]),
        (&json!("foreign-order"), &json!(1))
    );
    assert!(body["detail"].as_str().unwrap().contains("o-rogue"));

    let coverer = house.coverer(&["trading-1"]);
    coverer.add(Arc::new(Mutex::new(exchange.follower))).await;
    assert_eq!(coverer.measure().await.unwrap().foreign, ["e-2"]);
}

#[tokio::test]
async fn coverage_without_an_account_or_a_bot_says_so() {
    let house = House::new().await;
    let none = house.coverer(&[]).measure().await.unwrap();
    assert!(none.doubts[0].contains("no exchange account"));
    let unreached = house.coverer(&["trading-1"]).measure().await.unwrap();
    assert!(unreached.doubts[0].contains("could not be reached"));
    let exchange = Exchange::new(&house).await;
    let coverer = house.coverer(&["trading-1"]);
    coverer.add(Arc::new(Mutex::new(exchange.follower))).await;
    let unread = coverer.measure().await.unwrap();
    assert!(unread.doubts[0].contains("bot's database"));
}
