//! The started world, met as its clients meet it: over sockets, with signed requests, faults and all.
//!
//! Outcomes that come later are awaited on the private stream, never slept for.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::bybit::sign;
use crate::clock::Clock;
use crate::scenario::Scenario;
use crate::world::{Plan, World, start};

/// Longer than anything here takes, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

struct Sim {
    world: World,
    http: reqwest::Client,
}

/// HTTP status, headers and body of one answer.
type Got = (u16, reqwest::header::HeaderMap, Value);

async fn sim_with(accounts: usize, keys: usize) -> Sim {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan {
        listen: ([127, 0, 0, 1], 0).into(),
        seed: 7,
        speed: 1.0,
        scenario: Scenario::Calm,
        candles: None,
        latency_ms: 0,
        accounts,
        keys,
        bot_db: None,
    };
    let world = start(&plan).await.unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    Sim { world, http }
}

async fn sim() -> Sim {
    sim_with(1, 3).await
}

impl Sim {
    fn key(&self, name: &str) -> (String, String) {
        let keys = self.world.endpoints["keys"].as_array().unwrap();
        let key = keys.iter().find(|k| k["name"] == name).unwrap();
        (
            key["api_key"].as_str().unwrap().to_owned(),
            key["secret"].as_str().unwrap().to_owned(),
        )
    }

    fn url(&self, pointer: &str) -> &str {
        self.world
            .endpoints
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
    }

    async fn try_call(
        &self,
        key: &str,
        method: &str,
        path: &str,
        payload: &str,
    ) -> reqwest::Result<Got> {
        let (api_key, secret) = self.key(key);
        let stamp = Clock::default().wall_ms();
        let url = format!("{}{path}", self.url("/bybit/rest"));
        let request = match method {
            "GET" => self.http.get(format!("{url}?{payload}")),
            _ => self.http.post(url).body(payload.to_owned()),
        };
        let response = request
            .header("X-BAPI-API-KEY", &api_key)
            .header("X-BAPI-TIMESTAMP", stamp)
            .header("X-BAPI-RECV-WINDOW", "5000")
            .header(
                "X-BAPI-SIGN",
                sign(&secret, format!("{stamp}{api_key}5000{payload}").as_bytes()),
            )
            .send()
            .await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await?;
        Ok((
            status,
            headers,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        ))
    }

    async fn get(&self, key: &str, path: &str, query: &str) -> Value {
        self.try_call(key, "GET", path, query).await.unwrap().2
    }

    async fn post(&self, key: &str, path: &str, body: Value) -> Value {
        self.try_call(key, "POST", path, &body.to_string())
            .await
            .unwrap()
            .2
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.url("/control"));
        let request = match body {
            Value::Null => self.http.get(url),
            body => self.http.post(url).body(body.to_string()),
        };
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn fault(&self, fault: Value) {
        assert!(self.control("/faults", fault).await["id"].is_u64());
    }

    async fn delete(&self, key: &str) -> Value {
        let body = json!({"apikey": self.key(key).0});
        self.post("manager", "/v5/user/delete-sub-api", body).await
    }

    async fn stream(&self, pointer: &str) -> Stream {
        let (ws, _) = tokio_tungstenite::connect_async(self.url(pointer))
            .await
            .unwrap();
        Stream { ws }
    }

    async fn private(&self, key: &str, topics: Value) -> Stream {
        let mut stream = self.stream("/bybit/ws_private").await;
        let (api_key, secret) = self.key(key);
        let expires = Clock::default().wall_ms() + 10_000;
        let signature = sign(&secret, format!("GET/realtime{expires}").as_bytes());
        stream
            .say(json!({"op": "auth", "args": [api_key, expires, signature]}))
            .await;
        assert_eq!(stream.next().await.unwrap()["success"], true);
        stream.say(json!({"op": "subscribe", "args": topics})).await;
        assert_eq!(stream.next().await.unwrap()["success"], true);
        stream
    }
}

struct Stream {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Stream {
    async fn say(&mut self, message: Value) {
        self.ws
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message; `None` when the session is over.
    async fn next(&mut self) -> Option<Value> {
        let message = tokio::time::timeout(PATIENCE, self.ws.next())
            .await
            .expect("no message");
        match message {
            Some(Ok(Message::Text(text))) => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        }
    }

    /// The next data row that fits.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.expect("the session ended");
            if let Some(row) = message["data"].get(0).filter(|row| fits(row)) {
                return row.clone();
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_key_is_absent_and_refused_and_its_session_ends() {
    let sim = sim().await;
    let mut session = sim.private("rescue-1", json!(["order"])).await;
    assert_eq!(
        sim.get("rescue-1", "/v5/user/query-api", "").await["result"]["note"],
        "rescue-1"
    );
    assert_eq!(sim.delete("rescue-1").await["retCode"], 0);
    assert_eq!(
        sim.get("rescue-1", "/v5/user/query-api", "").await["retCode"],
        10003
    );
    let listed = sim
        .get(
            "manager",
            "/v5/user/sub-apikeys",
            "subMemberId=100001&limit=20",
        )
        .await;
    let notes: Vec<&Value> = listed["result"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| &k["note"])
        .collect();
    assert!(
        notes.contains(&&json!("freqtrade-1")) && !notes.contains(&&json!("rescue-1")),
        "{notes:?}"
    );
    while session.next().await.is_some() {}
    let log = sim.control("/log", Value::Null).await;
    let row = |code: i64| {
        let rows = log["log"].as_array().unwrap();
        rows.iter().any(|r| {
            r["key"] == "rescue-1" && r["path"] == "/v5/user/query-api" && r["code"] == code
        })
    };
    assert!(row(0) && row(10003));
}

#[tokio::test]
async fn orders_rest_after_the_key_that_placed_them_is_dead() {
    let sim = sim().await;
    let mut eye = sim.private("eye-revoker-1", json!(["order"])).await;
    let order = json!({"category": "linear", "symbol": "SOLUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "90"});
    let accepted = sim.post("rescue-1", "/v5/order/create", order).await;
    // At once: it has been accepted and has not taken effect.
    sim.delete("rescue-1").await;
    let id = &accepted["result"]["orderId"];
    assert_eq!(
        eye.until(|row| row["orderId"] == *id).await["orderStatus"],
        "New"
    );
    let open = sim
        .get(
            "eye-revoker-1",
            "/v5/order/realtime",
            "category=linear&symbol=SOLUSDT",
        )
        .await;
    assert_eq!(open["result"]["list"][0]["orderId"], *id);
}

#[tokio::test]
async fn six_deletions_at_once_meet_the_limit_and_its_headers() {
    let sim = sim_with(1, 7).await;
    let mut seen = Vec::new();
    for key in [
        "freqtrade-1",
        "skim-1",
        "rescue-1",
        "sweep-2",
        "bot-2",
        "sweep-3",
    ] {
        let body = json!({"apikey": sim.key(key).0}).to_string();
        let (_, headers, body) = sim
            .try_call("manager", "POST", "/v5/user/delete-sub-api", &body)
            .await
            .unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().parse::<i64>().unwrap();
        assert_eq!(header("x-bapi-limit"), 5);
        seen.push((
            body["retCode"].as_i64().unwrap(),
            header("x-bapi-limit-status"),
        ));
        if key == "sweep-3" {
            assert!(header("x-bapi-limit-reset-timestamp") > body["time"].as_i64().unwrap());
        }
    }
    assert_eq!(seen, [(0, 4), (0, 3), (0, 2), (0, 1), (0, 0), (10006, 0)]);
}

#[tokio::test]
async fn a_new_key_works_and_its_secret_is_shown_once() {
    let sim = sim().await;
    let body = json!({"subuid": 100001, "note": "freqtrade-1b", "readOnly": 0, "permissions": {"ContractTrade": ["Order"]}});
    let made = sim.post("manager", "/v5/user/create-sub-api", body).await;
    assert_eq!(made["result"]["secret"].as_str().unwrap().len(), 36);
    let listed = sim
        .get("manager", "/v5/user/sub-apikeys", "subMemberId=100001")
        .await;
    assert!(
        !listed
            .to_string()
            .contains(made["result"]["secret"].as_str().unwrap())
    );
    let refused = json!({"subuid": 100001, "readOnly": 1, "permissions": {}});
    assert_eq!(
        sim.post("freqtrade-1", "/v5/user/create-sub-api", refused)
            .await["retCode"],
        10005
    );
}

#[tokio::test]
async fn listings_of_keys_come_in_pages() {
    let sim = sim_with(1, 24).await;
    let path = "/v5/user/sub-apikeys";
    let first = sim.get("manager", path, "subMemberId=100001").await;
    let cursor = first["result"]["nextPageCursor"].as_str().unwrap();
    let second = sim
        .get(
            "manager",
            path,
            &format!("subMemberId=100001&cursor={cursor}"),
        )
        .await;
    let count = |page: &Value| page["result"]["result"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (20, 7));
    sim.fault(json!({"service": "bybit", "path": path, "kind": "drop_page"}))
        .await;
    let lost = sim.get("manager", path, "subMemberId=100001").await;
    assert_eq!(lost["result"]["nextPageCursor"], "");
}

#[tokio::test]
async fn a_lie_says_success_and_does_nothing() {
    let sim = sim().await;
    sim.fault(
        json!({"service": "bybit", "path": "/v5/user/delete-sub-api", "kind": "lie", "count": 1}),
    )
    .await;
    assert_eq!(sim.delete("rescue-1").await["retCode"], 0);
    assert_eq!(
        sim.get("rescue-1", "/v5/user/query-api", "").await["retCode"],
        0
    );
    assert_eq!(sim.delete("rescue-1").await["retCode"], 0);
    assert_eq!(
        sim.get("rescue-1", "/v5/user/query-api", "").await["retCode"],
        10003
    );
}

#[tokio::test]
async fn faults_strike_as_named_and_are_cleared() {
    let sim = sim().await;
    let (path, query) = ("/v5/account/wallet-balance", "accountType=UNIFIED");
    let before = sim.get("eye-breaker-1", path, query).await;
    let fault = |kind: &str| json!({"service": "bybit", "path": path, "kind": kind, "count": 1, "status": 502, "code": 10016});
    let answer = async |kind: &str| {
        sim.fault(fault(kind)).await;
        let got = sim.try_call("eye-breaker-1", "GET", path, query).await;
        sim.control("/faults/clear", json!({})).await;
        got
    };
    assert_eq!(answer("stale").await.unwrap().2["time"], before["time"]);
    assert_eq!(answer("http").await.unwrap().0, 502);
    assert_eq!(answer("retcode").await.unwrap().2["retCode"], 10016);
    assert_eq!(answer("ip_ban").await.unwrap().0, 403);
    assert!(answer("malformed").await.unwrap().2.is_string());
    assert!(answer("reset").await.is_err());
    let after = sim.get("eye-breaker-1", path, query).await;
    assert!(after["retCode"] == 0 && after["time"].as_i64() >= before["time"].as_i64());
}

#[tokio::test]
async fn a_timeout_may_have_taken_effect() {
    let sim = sim().await;
    sim.fault(
        json!({"path": "/v5/user/delete-sub-api", "kind": "timeout", "count": 1, "done": true}),
    )
    .await;
    let mut session = sim.private("rescue-1", json!(["order"])).await;
    let deletion = sim.delete("rescue-1");
    // The only sign is the session's end: no answer ever comes.
    tokio::select! {
        _ = deletion => panic!("a timeout was answered"),
        () = async { while session.next().await.is_some() {} } => {}
    }
    assert_eq!(
        sim.get("rescue-1", "/v5/user/query-api", "").await["retCode"],
        10003
    );
}

#[tokio::test]
async fn a_clock_that_is_behind_refuses_everyone_and_says_its_time() {
    let sim = sim().await;
    sim.control("/clock", json!({"skew_ms": -3_000})).await;
    let refused = sim.get("eye-breaker-1", "/v5/user/query-api", "").await;
    assert_eq!(refused["retCode"], 10002);
    assert!(
        refused["retMsg"]
            .as_str()
            .unwrap()
            .contains("server_timestamp[")
    );
}

#[tokio::test]
async fn a_transfer_and_a_price_by_hand_arrive() {
    let sim = sim().await;
    let transfer = json!({"account": "trading-1", "coin": "USDT", "amount": "1000", "type": "TRANSFER_OUT", "delay_ms": 0});
    assert_eq!(sim.control("/transfer", transfer).await["amount"], "-1000");
    let rows = sim
        .get(
            "eye-recorder-1",
            "/v5/account/transaction-log",
            "type=TRANSFER_OUT",
        )
        .await;
    assert_eq!(rows["result"]["list"][0]["change"], "-1000");
    sim.control("/price", json!({"symbol": "SOLUSDT", "mark": 140}))
        .await;
    let tickers = sim
        .get(
            "eye-recorder-1",
            "/v5/market/tickers",
            "category=linear&symbol=SOLUSDT",
        )
        .await;
    assert_eq!(tickers["result"]["list"][0]["markPrice"], "140.000");
    let wrong = sim
        .control(
            "/transfer",
            json!({"account": "nobody", "amount": 1, "type": "TRANSFER_IN"}),
        )
        .await;
    assert!(wrong["error"].as_str().unwrap().contains("nobody"));
}

#[tokio::test]
async fn a_key_made_behind_our_back_works_from_its_address_only() {
    let sim = sim().await;
    let key = sim
        .control(
            "/key",
            json!({"account": 100001, "scopes": ["ContractTrade.Order"], "ips": ["203.0.113.7"]}),
        )
        .await;
    assert_eq!(key["uid"], 100001);
    let listed = sim
        .get("manager", "/v5/user/sub-apikeys", "subMemberId=100001")
        .await;
    let rows = listed["result"]["result"].as_array().unwrap();
    let row = rows.iter().find(|k| k["apiKey"] == key["api_key"]).unwrap();
    assert_eq!(
        (&row["ips"], &row["status"]),
        (&json!(["203.0.113.7"]), &json!(1))
    );
}

#[tokio::test]
async fn the_public_stream_begins_with_snapshots_and_answers_pings() {
    let sim = sim().await;
    let mut stream = sim.stream("/bybit/ws_public").await;
    stream
        .say(json!({"op": "subscribe", "args": ["tickers.NOPE"]}))
        .await;
    assert_eq!(stream.next().await.unwrap()["success"], false);
    stream
        .say(json!({"op": "subscribe", "args": ["tickers.BTCUSDT"], "req_id": "r"}))
        .await;
    assert_eq!(stream.next().await.unwrap()["req_id"], "r");
    let first = stream.next().await.unwrap();
    assert_eq!(
        (&first["type"], first["data"]["markPrice"].is_string()),
        (&json!("snapshot"), true)
    );
    sim.control("/price", json!({"symbol": "BTCUSDT", "mark": "60000"}))
        .await;
    let delta = loop {
        let message = stream.next().await.unwrap();
        if message["data"]["markPrice"] == "60000.00" {
            break message;
        }
    };
    assert_eq!(
        (&delta["type"], &delta["data"]["fundingCap"]),
        (&json!("delta"), &Value::Null)
    );
    stream.say(json!({"op": "ping"})).await;
    while stream.next().await.unwrap()["ret_msg"] != "pong" {}
}

#[tokio::test]
async fn the_private_stream_wants_a_login_and_refuses_a_dead_key() {
    let sim = sim().await;
    let mut stream = sim.stream("/bybit/ws_private").await;
    stream
        .say(json!({"op": "subscribe", "args": ["position"]}))
        .await;
    assert_eq!(
        stream.next().await.unwrap()["ret_msg"],
        "Request not authorized"
    );
    sim.delete("rescue-1").await;
    let (api_key, secret) = sim.key("rescue-1");
    let expires = Clock::default().wall_ms() + 10_000;
    let signature = sign(&secret, format!("GET/realtime{expires}").as_bytes());
    stream
        .say(json!({"op": "auth", "args": [api_key, expires, signature]}))
        .await;
    let refused = stream.next().await.unwrap();
    assert_eq!(
        (&refused["success"], &refused["retCode"]),
        (&json!(false), &json!(10003))
    );
}

#[tokio::test]
async fn a_silent_socket_stays_open_and_a_dropped_one_closes() {
    let sim = sim().await;
    let mut stream = sim.stream("/bybit/ws_public").await;
    sim.fault(json!({"path": "/v5/public", "kind": "ws_silent", "count": 1}))
        .await;
    stream.say(json!({"op": "ping", "req_id": "lost"})).await;
    stream.say(json!({"op": "ping", "req_id": "heard"})).await;
    assert_eq!(stream.next().await.unwrap()["req_id"], "heard");
    sim.fault(json!({"path": "/v5/public", "kind": "ws_drop", "count": 1}))
        .await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let plan = Plan {
        listen: ([0, 0, 0, 0], 0).into(),
        seed: 1,
        speed: 1.0,
        scenario: Scenario::Calm,
        candles: None,
        latency_ms: 0,
        accounts: 1,
        keys: 3,
        bot_db: None,
    };
    let refused = start(&plan).await.err().unwrap().to_string();
    assert!(refused.contains("not a loopback address"), "{refused}");
}
