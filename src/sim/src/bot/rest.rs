//! Freqtrade's REST API (api_version 2.5): who may ask, and what is answered. Pure except that it reads the clock's time
//! through its caller; what needs the exchange is handed to the engine as a [`Command`].
//!
//! After `/stop` a forced exit fails and positions stay open; after `/stopentry` a forced exit still works and a forced
//! entry is refused. So whoever wants less risk pauses, and does not stop.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::book::Book;
use super::force::{Command, CommandResult, ForceEnter};
use super::strategy::RunState;
use super::views;
use crate::http::Request;

/// Name and password of the API in the demo.
pub(crate) const USER: &str = "fusebox";
/// See [`USER`].
pub(crate) const PASSWORD: &str = "demo";
/// Lifetime of an access token, as in freqtrade.
const ACCESS_MS: i64 = 15 * 60_000;
/// Lifetime of a refresh token.
const REFRESH_MS: i64 = 30 * 86_400_000;

/// What becomes of a request.
pub(super) enum Outcome {
    /// Status and body, now.
    Answer(u16, Value),
    /// The engine has to act first; [`finished`] makes the answer of its result.
    Act(Command),
}

/// The bearer tokens: HS256 JSON web tokens of one process.
pub(super) struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    fn issue(&self, kind: &str, now_ms: i64, ttl_ms: i64) -> String {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = json!({
            "identity": {"u": USER}, "exp": (now_ms + ttl_ms) / 1000, "iat": now_ms / 1000, "type": kind,
        });
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let sign = hmac::sign(&self.key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign.as_ref()))
    }

    fn valid(&self, token: &str, kind: &str, now_ms: i64) -> bool {
        let Some((text, sign)) = token.rsplit_once('.') else {
            return false;
        };
        let Ok(sign) = URL_SAFE_NO_PAD.decode(sign) else {
            return false;
        };
        if hmac::verify(&self.key, text.as_bytes(), &sign).is_err() {
            return false;
        }
        let claims = text
            .split_once('.')
            .and_then(|(_, claims)| URL_SAFE_NO_PAD.decode(claims).ok())
            .and_then(|raw| serde_json::from_slice::<Value>(&raw).ok())
            .unwrap_or(Value::Null);
        let expires = claims.get("exp").and_then(Value::as_i64).unwrap_or(0);
        claims.get("type").and_then(Value::as_str) == Some(kind) && now_ms / 1000 < expires
    }
}

/// How a request has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Password,
    Access,
    Refresh,
}

fn who(request: &Request, tokens: &Tokens, now_ms: i64) -> Who {
    let header = request.header("authorization").unwrap_or_default();
    if let Some(basic) = header.strip_prefix("Basic ") {
        let right = format!("{USER}:{PASSWORD}");
        let given = STANDARD.decode(basic).unwrap_or_default();
        if given == right.as_bytes() {
            return Who::Password;
        }
    } else if let Some(token) = header.strip_prefix("Bearer ") {
        if tokens.valid(token, "access", now_ms) {
            return Who::Access;
        }
        if tokens.valid(token, "refresh", now_ms) {
            return Who::Refresh;
        }
    }
    Who::Nobody
}

/// The user's name for the request log, once authenticated.
pub(super) fn caller(request: &Request, tokens: &Tokens, now_ms: i64) -> Option<String> {
    (who(request, tokens, now_ms) != Who::Nobody).then(|| USER.to_owned())
}

/// Answers a request or says what has to be done first.
pub(super) fn answer(request: &Request, book: &mut Book, tokens: &Tokens, now_ms: i64) -> Outcome {
    let Some(path) = request.path.strip_prefix("/api/v1/") else {
        return not_found();
    };
    let path = path.trim_end_matches('/');
    if (request.method.as_str(), path) == ("GET", "ping") {
        return Outcome::Answer(200, json!({"status": "pong"}));
    }
    let who = who(request, tokens, now_ms);
    let access = || tokens.issue("access", now_ms, ACCESS_MS);
    match (request.method.as_str(), path, who) {
        ("POST", "token/login", Who::Password) => {
            let refresh = tokens.issue("refresh", now_ms, REFRESH_MS);
            return Outcome::Answer(
                200,
                json!({"access_token": access(), "refresh_token": refresh}),
            );
        }
        ("POST", "token/refresh", Who::Refresh) => {
            return Outcome::Answer(200, json!({"access_token": access()}));
        }
        (_, _, Who::Nobody | Who::Refresh) => {
            return Outcome::Answer(401, json!({"detail": "Unauthorized"}));
        }
        _ => {}
    }
    match request.method.as_str() {
        "GET" => read(path, request, book),
        "POST" => act(path, request, book),
        _ => Outcome::Answer(405, json!({"detail": "Method Not Allowed"})),
    }
}

fn read(path: &str, request: &Request, book: &Book) -> Outcome {
    let params = request.params();
    let number = |name: &str, default: usize| {
        params
            .get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let body = match path {
        "version" => json!({"version": super::VERSION}),
        "show_config" => views::show_config(book),
        "status" => views::status(book),
        "count" => views::count(book),
        "balance" => views::balance(book),
        "profit" => views::profit(book),
        "trades" => views::trades(book, number("limit", 500), number("offset", 0)),
        "health" => views::health(book),
        "logs" => views::logs(book),
        "locks" => json!({"lock_count": 0, "locks": []}),
        "whitelist" => json!({
            "whitelist": super::WHITELIST, "length": super::WHITELIST.len(), "method": ["StaticPairList"],
        }),
        "blacklist" => json!({
            "blacklist": [], "blacklist_expanded": [], "errors": {}, "length": 0, "method": ["StaticPairList"],
        }),
        _ => {
            let id = path.strip_prefix("trade/").and_then(|id| id.parse().ok());
            return match id.and_then(|id| views::trade(book, id)) {
                Some(trade) => Outcome::Answer(200, trade),
                None if id.is_some() => Outcome::Answer(404, json!({"detail": "Trade not found."})),
                None => not_found(),
            };
        }
    };
    Outcome::Answer(200, body)
}

fn act(path: &str, request: &Request, book: &mut Book) -> Outcome {
    let status = match (path, book.run) {
        ("start", RunState::Running) => "already running",
        ("start", _) => "starting trader ...",
        ("stop", RunState::Stopped) => "already stopped",
        ("stop", _) => "stopping trader ...",
        ("stopentry" | "stopbuy" | "pause", RunState::Running | RunState::Paused) => {
            "paused, no more entries will occur from now. Run /start to enable entries."
        }
        ("stopentry" | "stopbuy" | "pause", RunState::Stopped) => {
            "starting bot with trader in paused state, no entries will occur. Run /start to enable entries."
        }
        ("reload_config", _) => "Reloading config ...",
        ("forceexit" | "forcesell", _) => return force_exit(request, book),
        ("forceenter" | "forcebuy", _) => return force_enter(request, book),
        _ => return not_found(),
    };
    if !request.lie && !book.broken {
        book.run = match path {
            "start" => RunState::Running,
            "stop" => RunState::Stopped,
            "reload_config" => book.run,
            _ => RunState::Paused,
        };
    }
    Outcome::Answer(200, json!({"status": status}))
}

fn force_exit(request: &Request, book: &Book) -> Outcome {
    let Some(body) = request.json() else {
        return unprocessable("body", "Field required");
    };
    // freqtrade takes the id as text or as a number.
    let id = match body.get("tradeid") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return unprocessable("tradeid", "Field required"),
    };
    let trade = match id.as_str() {
        "all" => None,
        text => match text.parse::<i64>() {
            Ok(id) => Some(id),
            Err(_) => return failed(&request.path, "invalid argument"),
        },
    };
    if request.lie {
        return Outcome::Answer(200, exited(trade));
    }
    if book.run == RunState::Stopped {
        return failed(&request.path, "trader is not running");
    }
    Outcome::Act(Command::ForceExit {
        trade,
        market: body
            .get("ordertype")
            .and_then(Value::as_str)
            .map(|kind| kind == "market"),
        amount: decimal(body.get("amount")),
    })
}

fn force_enter(request: &Request, book: &Book) -> Outcome {
    let Some(body) = request.json() else {
        return unprocessable("body", "Field required");
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let Some(pair) = text("pair") else {
        return unprocessable("pair", "Field required");
    };
    if book.run != RunState::Running {
        return failed(&request.path, "trader is not running");
    }
    if request.lie {
        return Outcome::Answer(
            200,
            json!({"status": format!("Error entering long trade for pair {pair}.")}),
        );
    }
    Outcome::Act(Command::ForceEnter(ForceEnter {
        pair: pair.to_owned(),
        is_short: text("side") == Some("short"),
        price: decimal(body.get("price")),
        market: text("ordertype") == Some("market"),
        stake: decimal(body.get("stakeamount")),
        leverage: decimal(body.get("leverage")),
        tag: text("entry_tag").unwrap_or("force_entry").to_owned(),
    }))
}

/// The answer to a command that the engine has carried out or refused.
pub(super) fn finished(
    path: &str,
    trade: Option<i64>,
    result: CommandResult,
    book: &Book,
) -> (u16, Value) {
    match result {
        Ok(Some(id)) => (200, views::trade(book, id).unwrap_or(Value::Null)),
        Ok(None) => (200, exited(trade)),
        Err(reason) => error(path, &reason),
    }
}

fn exited(trade: Option<i64>) -> Value {
    match trade {
        Some(id) => json!({"result": format!("Created exit order for trade {id}.")}),
        None => json!({"result": "Created exit orders for all open trades."}),
    }
}

/// An amount as a JSON number or text; floats come from clients as they are.
fn decimal(value: Option<&Value>) -> Option<Decimal> {
    match value? {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn error(path: &str, reason: &str) -> (u16, Value) {
    (
        502,
        json!({"error": format!("Error querying {path}: {reason}")}),
    )
}

fn failed(path: &str, reason: &str) -> Outcome {
    let (status, body) = error(path, reason);
    Outcome::Answer(status, body)
}

fn unprocessable(field: &str, text: &str) -> Outcome {
    Outcome::Answer(
        422,
        json!({"detail": [{"type": "missing", "loc": ["body", field], "msg": text}]}),
    )
}

fn not_found() -> Outcome {
    Outcome::Answer(404, json!({"detail": "Not Found"}))
}
