//! The control API: look at the world, move it, break it. Tests and the demo drive the simulator by it.
//!
//! | call | body | does |
//! |---|---|---|
//! | `GET /state` | | prices, accounts with orders and positions, keys, faults, and each service's own state |
//! | `GET /log?since=N` | | rows from number N on: t_ms, service, method, path, key, code (`retCode` or HTTP), status (0: no answer), took_ms; `next` is the N to ask with next |
//! | `POST /price` | `{symbol, mark}` | holds a price; `mark: null` gives it back to the scenario |
//! | `POST /transfer` | `{account, coin, amount, type, delay_ms}` | moves capital; the ledger row comes `delay_ms` after the balance, below 0 before it |
//! | `POST /clock` | `{skew_ms}` | sets exchange time against the machine's |
//! | `POST /key` | `{account, scopes, ips, name, read_only}` | makes a key behind our back and answers it, secret included |
//! | `POST /faults` | [`Fault`]: `{kind, service, path, key, after, count, for_ms, ms, status, code, msg, done}` | answers `{id}` |
//! | `POST /faults/clear` | `{}` or `{id}` | |
//! | `POST /vault` | `{sealed}` | seals or unseals |
//!
//! A wrong call is answered 400 with `{error}`; `account` is a name (`trading-1`) or a uid.
//! Its own port, its own service: neither delayed nor logged nor struck by faults.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bybit::{Exchange, NewKey, Permissions, Role, State};
use crate::clock::Clock;
use crate::faults::Fault;
use crate::gate::Gate;
use crate::http::{Reply, Request, Service};
use crate::scenario::Driver;
use crate::vault::VaultService;

/// Capital beyond this is refused: no test needs it and no product of it overflows.
const LARGEST_USDT: i64 = 1_000_000_000;

/// Everything the control API reaches.
pub(crate) struct Control {
    pub(crate) seed: u64,
    pub(crate) scenario: String,
    pub(crate) clock: Clock,
    pub(crate) gate: Arc<Gate>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) vault: Arc<VaultService>,
    pub(crate) driver: Arc<Mutex<Driver>>,
    /// What else `GET /state` shows.
    pub(crate) services: Vec<Arc<dyn Service>>,
}

/// A figure as text or as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Figure {
    Text(String),
    Number(serde_json::Number),
}

impl Figure {
    fn read(&self) -> Result<Decimal, String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        };
        let figure: Decimal = text
            .parse()
            .map_err(|_| format!("\"{text}\" is not a figure"))?;
        let fits = figure.abs() <= Decimal::from(LARGEST_USDT) && figure.scale() <= 12;
        if fits {
            Ok(figure)
        } else {
            Err(format!("{text} is out of range"))
        }
    }
}

/// An account by name (`trading-1`) or uid.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AccountRef {
    Name(String),
    Uid(u64),
}

impl AccountRef {
    fn uid(&self, state: &State) -> Result<u64, String> {
        let found = state.accounts.iter().find(|a| match self {
            Self::Name(name) => a.name == *name || a.uid.to_string() == *name,
            Self::Uid(uid) => a.uid == *uid,
        });
        found
            .map(|a| a.uid)
            .ok_or_else(|| format!("no account {self:?}; GET /state lists them"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    symbol: String,
    /// `null` lets the scenario have the symbol back.
    mark: Option<Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    account: AccountRef,
    coin: Option<String>,
    amount: Figure,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    delay_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skew {
    skew_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintedKey {
    account: AccountRef,
    /// A role (`trade`, `read`, `move`) or scopes such as `ContractTrade.Order`.
    scopes: Option<Vec<String>>,
    #[serde(default)]
    ips: Vec<IpAddr>,
    name: Option<String>,
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cleared {
    id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    sealed: bool,
}

/// What a call gives: JSON, or why not.
type Outcome = Result<Value, String>;

impl Control {
    fn answer(&self, request: &Request) -> Option<Outcome> {
        let outcome = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/state") => Ok(self.show()),
            ("GET", "/log") => Ok(self.log(request)),
            ("POST", "/price") => body(request).and_then(|b| self.price(&b)),
            ("POST", "/transfer") => body(request).and_then(|b| self.transfer(&b)),
            ("POST", "/clock") => body(request).map(|Skew { skew_ms }| {
                self.clock.set_skew_ms(skew_ms);
                json!({"skew_ms": skew_ms})
            }),
            ("POST", "/key") => body(request).and_then(|b| self.key(b)),
            ("POST", "/faults") => {
                body(request).map(|fault: Fault| json!({"id": self.gate.add_fault(fault)}))
            }
            ("POST", "/faults/clear") => self.clear(request),
            ("POST", "/vault") => body(request).map(|Seal { sealed }| {
                self.vault.set_sealed(sealed);
                json!({"sealed": sealed})
            }),
            _ => return None,
        };
        Some(outcome)
    }

    fn driver(&self) -> std::sync::MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) -> Value {
        let mut all = match self.exchange.state() {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let own = json!({
            "schema": 1, "seed": self.seed, "scenario": self.scenario, "step": self.driver().show(),
            "t_ms": self.clock.wall_ms(), "skew_ms": self.clock.skew_ms(), "faults": self.gate.faults(),
        });
        if let Value::Object(own) = own {
            all.extend(own);
        }
        for service in &self.services {
            // Of several bots the first account's is shown.
            all.entry(service.name()).or_insert_with(|| service.state());
        }
        Value::Object(all)
    }

    /// `GET /log?since=N&limit=M`.
    fn log(&self, request: &Request) -> Value {
        let params = request.params();
        let since = params
            .get("since")
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        let (rows, next, lost) = self.gate.log_since(since);
        json!({"schema": 1, "log": rows, "next": next, "lost": lost})
    }

    fn price(&self, price: &Price) -> Outcome {
        let mark = price.mark.as_ref().map(Figure::read).transpose()?;
        if mark.is_some_and(|m| m <= Decimal::ZERO) {
            return Err("a price is above 0".to_owned());
        }
        // Driver before exchange, as everywhere: two locks are always taken in this order.
        let mut driver = self.driver();
        self.exchange.with(|state, now_ms| {
            state.market(&price.symbol).map_err(|e| e.msg)?;
            driver.pin(&price.symbol, mark);
            if let Some(mark) = mark {
                state.set_mark(&price.symbol, mark, now_ms);
            }
            Ok(json!({"symbol": price.symbol, "mark": state.market(&price.symbol).map_err(|e| e.msg)?.mark.to_string()}))
        })
    }

    fn transfer(&self, transfer: &Transfer) -> Outcome {
        if transfer.coin.as_deref().is_some_and(|c| c != "USDT") {
            return Err("accounts hold USDT only".to_owned());
        }
        let given = transfer.amount.read()?;
        // The direction is in the name of these two; every other type keeps its sign.
        let amount = match transfer.kind.as_str() {
            "TRANSFER_IN" => given.abs(),
            "TRANSFER_OUT" => -given.abs(),
            _ => given,
        };
        self.exchange.with(|state, now_ms| {
            let uid = transfer.account.uid(state)?;
            state
                .transfer(uid, &transfer.kind, amount, transfer.delay_ms, now_ms)
                .map_err(|e| e.msg)?;
            Ok(json!({"uid": uid, "amount": amount.to_string(), "type": transfer.kind}))
        })
    }

    fn key(&self, wanted: MintedKey) -> Outcome {
        self.exchange.with(|state, now_ms| {
            let uid = wanted.account.uid(state)?;
            let name = wanted.name.unwrap_or_else(|| format!("unknown-{}", state.keys.all().len()));
            let new = mint(name, uid, &wanted.scopes.unwrap_or_else(|| vec!["trade".to_owned()]))?;
            let key = state.keys.add(
                NewKey {
                    read_only: new.read_only || wanted.read_only,
                    ips: wanted.ips,
                    ..new
                },
                now_ms,
            );
            Ok(json!({
                "id": key.id, "name": key.name, "role": key.role.as_str(), "uid": key.uid, "api_key": key.api_key,
                "secret": key.secret,
            }))
        })
    }

    fn clear(&self, request: &Request) -> Outcome {
        let id = if request.body.is_empty() {
            None
        } else {
            body::<Cleared>(request)?.id
        };
        self.gate.clear_faults(id);
        Ok(json!({"faults": self.gate.faults()}))
    }
}

/// A key by role or by scopes.
fn mint(name: String, uid: u64, scopes: &[String]) -> Result<NewKey, String> {
    let role = match scopes {
        [one] if !one.contains('.') => match one.as_str() {
            "trade" => Some(Role::Trade),
            "read" => Some(Role::Read),
            "move" => Some(Role::Move),
            "manage" => Some(Role::Manage),
            other => {
                return Err(format!(
                    "no role \"{other}\": trade, read, move, manage, or scopes like Wallet.Withdraw"
                ));
            }
        },
        _ => None,
    };
    if let Some(role) = role {
        return Ok(NewKey::of(role, name, uid));
    }
    let mut permissions = Permissions::new();
    for scope in scopes {
        let (group, one) = scope
            .split_once('.')
            .ok_or_else(|| format!("\"{scope}\" is not Group.Scope"))?;
        permissions
            .entry(group.to_owned())
            .or_default()
            .push(one.to_owned());
    }
    let role = if permissions.contains_key("Wallet") {
        Role::Move
    } else {
        Role::Trade
    };
    Ok(NewKey {
        permissions,
        ..NewKey::of(role, name, uid)
    })
}

fn body<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, String> {
    serde_json::from_slice(&request.body)
        .map_err(|e| format!("the body is not what {} takes: {e}", request.path))
}

impl Service for Control {
    fn name(&self) -> &'static str {
        "control"
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            match self.answer(&request) {
                Some(Ok(value)) => Reply::json(200, &value),
                Some(Err(why)) => Reply::json(400, &json!({"error": why})),
                None => Reply::json(
                    404,
                    &json!({"error": "GET /state, GET /log, POST /price, /transfer, /clock, /key, /faults, /faults/clear, /vault"}),
                ),
            }
        })
    }
}
