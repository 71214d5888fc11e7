//! WebSockets: public market data and private account events, each on a port of its own.
//!
//! Any path is accepted on either port. Data goes out through one place ([`Session::send`]), where the faults
//! `ws_silent` and `ws_gap` strike; `ws_drop` is looked for ten times a second. `Assumption`: sessions of a deleted key
//! are closed within about a second. Weak: no `publicTrade`, one price level in every order book topic, data is not
//! delayed by `--latency-ms` (answers to `op` messages are).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::auth::authenticate_ws;
use super::routes::minutes_of;
use super::{Event, Exchange};
use crate::faults::Strike;
use crate::gate::{Arrival, Gate};

/// How often market data goes out and faults are looked for.
const BEAT: Duration = Duration::from_millis(100);
/// How often a session's key is looked up again.
const KEY_CHECK: Duration = Duration::from_millis(1_000);
/// An unchanged order book is sent again after this long.
const BOOK_REPEAT: Duration = Duration::from_secs(3);
const KLINE_BEAT: Duration = Duration::from_secs(1);
/// A client that says nothing for this long is cut off.
const IDLE: Duration = Duration::from_secs(600);
/// Answers to `op` messages take at least this long: clients exist that lose a subscription to an instant answer.
const ANSWER: Duration = Duration::from_millis(10);

/// Which of the two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    Public,
    Private,
}

impl Socket {
    /// The path clients use, and faults match.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Public => "/v5/public/linear",
            Self::Private => "/v5/private",
        }
    }
}

/// Serves until the task is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    socket: Socket,
    exchange: Arc<Exchange>,
    gate: Arc<Gate>,
) {
    let mut connection = 0u64;
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connection += 1;
        let (exchange, gate) = (exchange.clone(), gate.clone());
        let conn_id = format!("sim{}-{connection}", socket.path().replace('/', "-"));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            if let Ok(ws) = tokio_tungstenite::accept_async(stream).await {
                Session::new(ws, socket, exchange, gate, conn_id, peer)
                    .run()
                    .await;
            }
        });
    }
}

/// The session is over: closed by either side, or by a fault.
struct Over;

/// What was sent last on a topic.
#[derive(Default)]
struct Sent {
    ticker: Option<Map<String, Value>>,
    updates: u64,
    at: Option<Instant>,
    candle_ms: i64,
}

/// Who has authenticated.
struct Login {
    uid: u64,
    api_key: String,
    name: String,
}

struct Session {
    ws: WebSocketStream<TcpStream>,
    socket: Socket,
    exchange: Arc<Exchange>,
    gate: Arc<Gate>,
    conn_id: String,
    peer: SocketAddr,
    login: Option<Login>,
    topics: BTreeMap<String, Sent>,
}

impl Session {
    fn new(
        ws: WebSocketStream<TcpStream>,
        socket: Socket,
        exchange: Arc<Exchange>,
        gate: Arc<Gate>,
        conn_id: String,
        peer: SocketAddr,
    ) -> Self {
        Self {
            ws,
            socket,
            exchange,
            gate,
            conn_id,
            peer,
            login: None,
            topics: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        let mut events = self.exchange.subscribe();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut key_checked) = (Instant::now(), Instant::now());
        loop {
            let step = tokio::select! {
                message = self.ws.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.hear(&text).await,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Over),
                        Some(Ok(_)) => Ok(()),
                    }
                }
                event = next(&mut events) => self.pass_on(event).await,
                _ = beat.tick() => {
                    let check_key = key_checked.elapsed() >= KEY_CHECK;
                    if check_key {
                        key_checked = Instant::now();
                    }
                    if heard.elapsed() >= IDLE || self.is_dropped(check_key) {
                        Err(Over)
                    } else {
                        self.market_data().await
                    }
                }
            };
            if step.is_err() {
                let _ = self.ws.close(None).await;
                return;
            }
        }
    }

    fn key_name(&self) -> Option<&str> {
        self.login.as_ref().map(|l| l.name.as_str())
    }

    /// Cut off by a fault, or because the key is gone.
    fn is_dropped(&self, check_key: bool) -> bool {
        let gone = |login: &Login| {
            self.exchange
                .with(|state, _| state.keys.find(&login.api_key).is_none())
        };
        self.gate.judge_ws_drop(self.socket.path(), self.key_name())
            || (check_key && self.login.as_ref().is_some_and(gone))
    }

    /// Sends one message, unless a fault swallows it; a gap swallows data only.
    async fn send(&mut self, value: Value, is_data: bool) -> Result<(), Over> {
        match self
            .gate
            .judge_ws(self.socket.path(), self.key_name(), is_data)
        {
            Some(Strike::Silent | Strike::Gap) => Ok(()),
            None => self
                .ws
                .send(Message::text(value.to_string()))
                .await
                .map_err(|_| Over),
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), Over> {
        tokio::time::sleep(ANSWER.max(self.gate.latency() / 2)).await;
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return self
                .send(self.answer("", false, "Params Error", ""), false)
                .await;
        };
        let text_of = |name| {
            message
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (op, req_id) = (text_of("op"), text_of("req_id"));
        let args: Vec<String> = message
            .get("args")
            .and_then(Value::as_array)
            .map(|list| list.iter().map(plain).collect())
            .unwrap_or_default();
        let answer = match op.as_str() {
            "ping" if self.socket == Socket::Private => {
                let now_ms = self.exchange.with(|_, now_ms| now_ms);
                json!({"req_id": req_id, "op": "pong", "args": [now_ms.to_string()], "conn_id": self.conn_id})
            }
            "ping" => self.answer("ping", true, "pong", &req_id),
            "auth" if self.socket == Socket::Private => self.auth(&args, &req_id),
            "subscribe" => self.subscribe(&args, &req_id),
            "unsubscribe" => {
                self.topics.retain(|topic, _| !args.contains(topic));
                self.answer("unsubscribe", true, "", &req_id)
            }
            _ => self.answer(&op, false, "error:unknown op", &req_id),
        };
        self.send(answer, false).await
    }

    fn answer(&self, op: &str, success: bool, ret_msg: &str, req_id: &str) -> Value {
        json!({"success": success, "ret_msg": ret_msg, "op": op, "conn_id": self.conn_id, "req_id": req_id})
    }

    fn log(&self, op: &str, code: i64) {
        let arrival = Arrival {
            service: "bybit",
            method: "WS".to_owned(),
            path: format!("{}#{op}", self.socket.path()),
            query: String::new(),
            key: self.key_name().map(str::to_owned),
            t_ms: self.gate.wall_ms(),
        };
        self.gate.log(&arrival, code, 101);
    }

    fn auth(&mut self, args: &[String], req_id: &str) -> Value {
        let [api_key, expires, signature] = args else {
            return self.answer("auth", false, "Params Error", req_id);
        };
        let peer = self.peer.ip();
        let result = self.exchange.with(|state, now_ms| {
            authenticate_ws(&state.keys, (api_key, expires, signature), peer, now_ms).map(|key| {
                Login {
                    uid: key.uid,
                    api_key: key.api_key.clone(),
                    name: key.name.clone(),
                }
            })
        });
        match result {
            Ok(login) => {
                self.login = Some(login);
                self.log("auth", 0);
                self.answer("auth", true, "", req_id)
            }
            Err(error) if error.code == 10001 => {
                self.log("auth", error.code);
                self.answer("auth", false, &error.msg, req_id)
            }
            Err(error) => {
                self.log("auth", error.code);
                json!({"op": "auth", "success": false, "retCode": error.code, "retMsg": error.msg, "connId": self.conn_id})
            }
        }
    }

    fn subscribe(&mut self, args: &[String], req_id: &str) -> Value {
        if self.socket == Socket::Private && self.login.is_none() {
            self.log("subscribe", 10003);
            return self.answer("subscribe", false, "Request not authorized", req_id);
        }
        let known = |topic: &&String| match self.socket {
            Socket::Public => self.is_public_topic(topic),
            Socket::Private => is_private_topic(topic),
        };
        if let Some(wrong) = args.iter().find(|topic| !known(topic)) {
            self.log("subscribe", 10001);
            return self.answer(
                "subscribe",
                false,
                &format!("error:handler not found,topic:{wrong}"),
                req_id,
            );
        }
        for topic in args {
            // Subscribing again starts again: with a snapshot.
            self.topics.insert(topic.clone(), Sent::default());
        }
        self.log("subscribe", 0);
        self.answer("subscribe", true, "", req_id)
    }

    fn is_public_topic(&self, topic: &str) -> bool {
        let parts: Vec<&str> = topic.split('.').collect();
        let known = |symbol: &str| self.exchange.with(|state, _| state.market(symbol).is_ok());
        match parts.as_slice() {
            ["tickers", symbol] => known(symbol),
            ["orderbook", "1" | "50" | "200" | "500" | "1000", symbol] => known(symbol),
            ["kline", interval, symbol] => minutes_of(interval).is_some() && known(symbol),
            _ => false,
        }
    }

    /// Passes an account event on, when this session wants it.
    async fn pass_on(&mut self, event: Option<Event>) -> Result<(), Over> {
        // Lost messages: the real exchange cuts slow sessions off too.
        let event = event.ok_or(Over)?;
        let Some(login) = self.login.as_ref().filter(|l| l.uid == event.uid) else {
            return Ok(());
        };
        let topic = [event.topic.to_owned(), format!("{}.linear", event.topic)];
        let Some(topic) = topic.into_iter().find(|t| self.topics.contains_key(t)) else {
            return Ok(());
        };
        let id = format!("{}_{}_{}", login.uid, event.topic, event.time_ms);
        let message =
            json!({"id": id, "topic": topic, "creationTime": event.time_ms, "data": [event.row]});
        self.send(message, true).await
    }

    /// Sends what has changed on the public topics.
    async fn market_data(&mut self) -> Result<(), Over> {
        let exchange = self.exchange.clone();
        let mut messages = Vec::new();
        exchange.with(|state, now_ms| {
            for (topic, sent) in &mut self.topics {
                let symbol = topic.rsplit('.').next().unwrap_or_default();
                let Ok(market) = state.market(symbol) else { continue };
                if topic.starts_with("tickers.") {
                    messages.extend(ticker_message(topic, market.ticker(now_ms), market.updates, sent, now_ms));
                } else if topic.starts_with("orderbook.") {
                    let repeat = sent.at.is_none_or(|at| at.elapsed() >= BOOK_REPEAT);
                    if repeat || sent.updates != market.updates {
                        sent.updates = market.updates;
                        sent.at = Some(Instant::now());
                        let data = market.book(now_ms);
                        messages.push(json!({"topic": topic, "type": "snapshot", "ts": now_ms, "data": data, "cts": now_ms}));
                    }
                } else if sent.at.is_none_or(|at| at.elapsed() >= KLINE_BEAT) {
                    sent.at = Some(Instant::now());
                    messages.extend(kline_messages(topic, market, sent, now_ms));
                }
            }
        });
        for message in messages {
            self.send(message, true).await?;
        }
        Ok(())
    }
}

/// The next event; `None` when some were lost.
async fn next(events: &mut Receiver<Event>) -> Option<Event> {
    events.recv().await.ok()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn is_private_topic(topic: &str) -> bool {
    let name = topic.strip_suffix(".linear").unwrap_or(topic);
    matches!(name, "order" | "position" | "execution" | "wallet")
}

/// A snapshot first, then what differs from the last message; nothing when nothing does.
fn ticker_message(
    topic: &str,
    fields: Map<String, Value>,
    updates: u64,
    sent: &mut Sent,
    now_ms: i64,
) -> Option<Value> {
    let (kind, data) = match &sent.ticker {
        None => ("snapshot", fields.clone()),
        Some(last) => {
            let changed = |(name, value): &(&String, &Value)| last.get(*name) != Some(value);
            let mut delta: Map<String, Value> = fields
                .iter()
                .filter(changed)
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            if delta.is_empty() {
                return None;
            }
            delta.insert(
                "symbol".to_owned(),
                fields.get("symbol").cloned().unwrap_or_default(),
            );
            ("delta", delta)
        }
    };
    sent.ticker = Some(fields);
    let cs = 24_987_956_000 + updates;
    Some(json!({"topic": topic, "type": kind, "data": data, "cs": cs, "ts": now_ms}))
}

/// The candle in progress; before the first of a new one the finished one, confirmed.
fn kline_messages(
    topic: &str,
    market: &super::market::Market,
    sent: &mut Sent,
    now_ms: i64,
) -> Vec<Value> {
    let interval = topic.split('.').nth(1).unwrap_or("1");
    let minutes = minutes_of(interval).unwrap_or(1);
    let candles = market.candles(minutes, 0, i64::MAX, 2);
    let show = |c: &super::market::Candle, confirm: bool| {
        let price = |p| market.instrument.price_text(p);
        json!({"topic": topic, "type": "snapshot", "ts": now_ms, "data": [{
            "start": c.start_ms, "end": c.start_ms + minutes * 60_000 - 1, "interval": interval,
            "open": price(c.open), "close": price(c.close), "high": price(c.high), "low": price(c.low),
            "volume": c.volume.to_string(), "turnover": (c.volume * c.close).round_dp(4).to_string(),
            "confirm": confirm, "timestamp": now_ms,
        }]})
    };
    let mut messages = Vec::new();
    if let Some(current) = candles.first() {
        if sent.candle_ms != 0 && sent.candle_ms != current.start_ms {
            messages.extend(candles.get(1).map(|c| show(c, true)));
        }
        sent.candle_ms = current.start_ms;
        messages.push(show(current, false));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticker_is_a_snapshot_and_then_only_what_changed() {
        let fields = |mark: &str| match json!({"symbol": "X", "markPrice": mark, "lastPrice": "1"})
        {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let mut sent = Sent::default();
        let first = ticker_message("tickers.X", fields("1"), 1, &mut sent, 0).unwrap();
        assert_eq!(
            (&first["type"], &first["data"]["lastPrice"]),
            (&json!("snapshot"), &json!("1"))
        );
        assert!(ticker_message("tickers.X", fields("1"), 1, &mut sent, 0).is_none());
        let delta = ticker_message("tickers.X", fields("2"), 2, &mut sent, 0).unwrap();
        assert_eq!(delta["data"], json!({"symbol": "X", "markPrice": "2"}));
    }
}
