//! The simulated Bybit V5: REST here, WebSockets in [`stream`], everything it knows in [`state`].
//!
//! Every route is a row of [`routes::ROUTES`]: method, path, what it asks of the caller's key, its rate limit, its
//! function. Must never: change anything for a call that failed a check. Weak: linear USDT contracts in one-way mode
//! only; everything is forgotten at the end.

mod account;
mod args;
mod auth;
mod engine;
mod error;
mod fills;
mod instruments;
mod intake;
mod keys;
mod ledger;
mod limits;
mod market;
mod order;
mod routes;
mod state;
pub(crate) mod stream;

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::http::{Reply, Request, Service};
use args::Args;
#[cfg(test)]
pub(crate) use auth::sign;
use error::ApiError;
use keys::{Key, Need};
pub(crate) use keys::{MASTER_UID, NewKey, Permissions, Role};
use limits::Limits;
use routes::{Call, ROUTES, Route};
pub(crate) use state::{Event, State};

/// Private messages a slow session may lag behind before it loses some.
const EVENTS: usize = 4_096;

struct Inner {
    state: State,
    limits: Limits,
}

/// The exchange behind its REST port.
pub(crate) struct Exchange {
    clock: Clock,
    inner: Mutex<Inner>,
    events: broadcast::Sender<Event>,
}

impl Exchange {
    /// An exchange with funded accounts and keys; see [`State::new`].
    pub(crate) fn new(seed: u64, accounts: usize, revocable: usize, clock: Clock) -> Self {
        let state = State::new(seed, accounts, revocable, clock.now_ms());
        Self {
            clock,
            inner: Mutex::new(Inner {
                state,
                limits: Limits::default(),
            }),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    /// Runs `change` on the exchange's state at its present time, then hands out the messages it caused.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State, i64) -> T) -> T {
        let now_ms = self.clock.now_ms();
        let mut inner = self.lock();
        let result = change(&mut inner.state, now_ms);
        self.publish(&mut inner.state);
        result
    }

    /// Messages of all accounts, from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The keys as the first line on stdout prints them, secrets included.
    pub(crate) fn printed_keys(&self) -> Value {
        let print = |k: &Key| json!({"name": k.name, "role": k.role.as_str(), "uid": k.uid, "api_key": k.api_key, "secret": k.secret});
        self.with(|state, _| state.keys.all().iter().map(print).collect())
    }

    /// Key text and secret of a living key, by name.
    pub(crate) fn credentials(&self, name: &str) -> Option<(String, String)> {
        self.with(|state, _| {
            state
                .keys
                .named(name)
                .map(|k| (k.api_key.clone(), k.secret.clone()))
        })
    }

    /// A request signed as a client would sign it: scenarios act through the front door.
    pub(crate) fn signed_post(&self, key_name: &str, path: &str, body: &Value) -> Option<Request> {
        let (api_key, secret) = self.credentials(key_name)?;
        let (stamp, body) = (self.clock.now_ms().to_string(), body.to_string());
        let signature = auth::sign(&secret, format!("{stamp}{api_key}5000{body}").as_bytes());
        let mut headers = hyper::HeaderMap::new();
        for (name, value) in [
            ("x-bapi-api-key", api_key),
            ("x-bapi-timestamp", stamp),
            ("x-bapi-recv-window", "5000".to_owned()),
            ("x-bapi-sign", signature),
        ] {
            headers.insert(name, value.parse().ok()?);
        }
        Some(Request {
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers,
            body: body.into(),
            peer: ([127, 0, 0, 1], 0).into(),
            lie: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &mut State) {
        for event in state.outbox.drain(..) {
            // No session listens: nobody needs it.
            let _ = self.events.send(event);
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        let Some(route) = ROUTES
            .iter()
            .find(|r| r.path == path && r.method == request.method)
        else {
            return Reply::text(404, "404 page not found");
        };
        let now_ms = self.clock.now_ms();
        let mut inner = self.lock();
        let key = match admit(&inner.state, route, request, now_ms) {
            Ok(key) => key,
            Err(error) => return refusal(&error, now_ms),
        };
        let mut headers = Vec::new();
        if let Some(key) = &key {
            let allowance = inner.limits.take(key.uid, route.path, route.per_s, now_ms);
            headers = vec![
                ("x-bapi-limit", allowance.limit.to_string()),
                ("x-bapi-limit-status", allowance.left.to_string()),
                (
                    "x-bapi-limit-reset-timestamp",
                    allowance.reset_ms.to_string(),
                ),
            ];
            if !allowance.granted {
                let mut reply = refusal(&ApiError::known(10006), now_ms);
                reply.headers.extend(headers);
                return reply;
            }
        }
        let result = Args::of(request).and_then(|args| {
            let call = Call { now_ms, args, key };
            if request.lie {
                // On a copy that is thrown away: the answer is right, nothing has happened.
                return (route.run)(&mut inner.state.clone(), &call);
            }
            (route.run)(&mut inner.state, &call)
        });
        self.publish(&mut inner.state);
        let mut reply = match result {
            Ok(result) => envelope(0, route.ok, result, now_ms),
            Err(error) => refusal(&error, now_ms),
        };
        reply.headers.extend(headers);
        reply
    }
}

/// The calling key, when it may call this route.
fn admit(
    state: &State,
    route: &Route,
    request: &Request,
    now_ms: i64,
) -> Result<Option<Key>, ApiError> {
    if route.need == Need::Nobody {
        return Ok(None);
    }
    let key = auth::authenticate(&state.keys, request, now_ms)?;
    if !key.may(route.need) {
        return Err(ApiError::known(10005));
    }
    // `Assumption`: a frozen sub-account may look but not trade.
    if matches!(route.need, Need::Order | Need::Position) && state.account(key.uid)?.frozen {
        return Err(ApiError::known(10027));
    }
    Ok(Some(key.clone()))
}

fn refusal(error: &ApiError, now_ms: i64) -> Reply {
    envelope(error.code, &error.msg, json!({}), now_ms)
}

fn envelope(code: i64, msg: &str, result: Value, now_ms: i64) -> Reply {
    let body =
        json!({"retCode": code, "retMsg": msg, "result": result, "retExtInfo": {}, "time": now_ms});
    let mut reply = Reply::json(200, &body);
    reply.code = code;
    reply
}

impl Service for Exchange {
    fn name(&self) -> &'static str {
        "bybit"
    }

    fn caller(&self, request: &Request) -> Option<String> {
        let api_key = request.header("x-bapi-api-key")?;
        let inner = self.lock();
        Some(
            inner
                .state
                .keys
                .name_of(api_key)
                .unwrap_or("unknown")
                .to_owned(),
        )
    }

    fn state(&self) -> Value {
        self.with(|state, now_ms| state.show(now_ms))
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move { self.answer(&request) })
    }
}
