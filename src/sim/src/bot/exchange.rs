//! The bot's own client of the exchange: it signs with its key like any other and is told no like any other.
//!
//! It must never reach behind the exchange's interface, however near the exchange is. Weak: HTTP without TLS, since
//! both ends are on loopback; one retry policy for all (none: the next beat asks again).

use std::collections::BTreeMap;
use std::time::Duration;

use ring::hmac;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::trade::{Seen, Standing};
use crate::clock::Clock;

const RECV_WINDOW_MS: &str = "5000";
const TIMEOUT: Duration = Duration::from_secs(5);

/// What trading a symbol has to respect.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instrument {
    pub(super) base: String,
    pub(super) tick: Decimal,
    pub(super) step: Decimal,
    pub(super) min_amount: Decimal,
    /// Least value of an order, USDT.
    pub(super) min_value: Decimal,
}

/// Prices of a symbol, USDT.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quote {
    pub(super) bid: Decimal,
    pub(super) ask: Decimal,
    pub(super) last: Decimal,
    pub(super) mark: Decimal,
}

/// Why the exchange gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Nothing usable came back; whether it took effect is unknown.
    #[error("bybit {path}: no usable answer ({reason})")]
    Lost { path: String, reason: String },
    /// It said no.
    #[error("bybit {{\"retCode\":{code},\"retMsg\":\"{message}\"}} at {path}")]
    Code {
        path: String,
        code: i64,
        message: String,
    },
}

impl Refusal {
    /// The key itself is refused: nothing the bot does will work any more.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(
            self,
            Refusal::Code {
                code: 10003 | 10004 | 10005 | 10007 | 10008 | 10010 | 10027 | 33004,
                ..
            }
        )
    }
}

/// An order to place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewOrder {
    pub(super) symbol: String,
    pub(super) buy: bool,
    pub(super) amount: Decimal,
    /// `None` is a market order.
    pub(super) limit: Option<Decimal>,
    pub(super) post_only: bool,
    pub(super) reduce_only: bool,
    /// Trigger of a stop, and whether it fires on rising prices.
    pub(super) trigger: Option<(Decimal, bool)>,
}

impl NewOrder {
    /// The request body, as ccxt on behalf of freqtrade sends it.
    fn body(&self) -> Value {
        let mut body = json!({
            "category": "linear", "symbol": self.symbol, "side": if self.buy { "Buy" } else { "Sell" },
            "orderType": if self.limit.is_some() { "Limit" } else { "Market" },
            "qty": self.amount.normalize().to_string(), "positionIdx": 0,
        });
        let mut set = |name: &str, value: Value| {
            if let Some(fields) = body.as_object_mut() {
                fields.insert(name.to_owned(), value);
            }
        };
        if let Some(price) = self.limit {
            set("price", json!(price.normalize().to_string()));
            set(
                "timeInForce",
                json!(if self.post_only { "PostOnly" } else { "GTC" }),
            );
        }
        if self.reduce_only {
            set("reduceOnly", json!(true));
        }
        if let Some((price, rising)) = self.trigger {
            set("triggerPrice", json!(price.normalize().to_string()));
            set("triggerDirection", json!(if rising { 1 } else { 2 }));
        }
        body
    }
}

/// A signed session with one key.
pub(super) struct Exchange {
    http: reqwest::Client,
    base: String,
    api_key: String,
    key: hmac::Key,
    clock: Clock,
}

impl Exchange {
    /// A client of `base` (no trailing slash) with a key and its secret.
    pub(super) fn new(
        base: &str,
        api_key: &str,
        secret: &str,
        clock: Clock,
    ) -> Result<Self, Refusal> {
        // A second installation is refused, which is as good: a provider is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| lost("client", &error))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            api_key: api_key.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            clock,
        })
    }

    /// The account's total equity, USDT.
    pub(super) async fn equity(&self) -> Result<Decimal, Refusal> {
        let result = self
            .get("/v5/account/wallet-balance", "accountType=UNIFIED")
            .await?;
        Ok(number(result.pointer("/list/0/totalEquity")).unwrap_or_default())
    }

    /// All linear instruments by symbol.
    pub(super) async fn instruments(&self) -> Result<BTreeMap<String, Instrument>, Refusal> {
        let result = self
            .get("/v5/market/instruments-info", "category=linear&limit=1000")
            .await?;
        Ok(rows(&result)
            .filter_map(|row| {
                let lot = |name: &str| number(row.pointer(&format!("/lotSizeFilter/{name}")));
                let instrument = Instrument {
                    base: row.get("baseCoin")?.as_str()?.to_owned(),
                    tick: number(row.pointer("/priceFilter/tickSize"))?,
                    step: lot("qtyStep")?,
                    min_amount: lot("minOrderQty")?,
                    min_value: lot("minNotionalValue").unwrap_or(Decimal::new(5, 0)),
                };
                Some((row.get("symbol")?.as_str()?.to_owned(), instrument))
            })
            .collect())
    }

    /// Prices of all linear instruments by symbol.
    pub(super) async fn quotes(&self) -> Result<BTreeMap<String, Quote>, Refusal> {
        let result = self.get("/v5/market/tickers", "category=linear").await?;
        Ok(rows(&result)
            .filter_map(|row| {
                let last = number(row.get("lastPrice"))?;
                let quote = Quote {
                    bid: number(row.get("bid1Price")).unwrap_or(last),
                    ask: number(row.get("ask1Price")).unwrap_or(last),
                    mark: number(row.get("markPrice")).unwrap_or(last),
                    last,
                };
                Some((row.get("symbol")?.as_str()?.to_owned(), quote))
            })
            .collect())
    }

    /// The open orders of the account by id.
    pub(super) async fn open_orders(&self) -> Result<BTreeMap<String, Seen>, Refusal> {
        let query = "category=linear&settleCoin=USDT&openOnly=0&limit=50";
        let result = self.get("/v5/order/realtime", query).await?;
        Ok(rows(&result).filter_map(seen).collect())
    }

    /// One order, open or not; `None` when the exchange does not know it.
    pub(super) async fn order(&self, symbol: &str, id: &str) -> Result<Option<Seen>, Refusal> {
        let query = format!("category=linear&symbol={symbol}&orderId={id}");
        for path in ["/v5/order/realtime", "/v5/order/history"] {
            let result = self.get(path, &query).await?;
            if let Some((_, found)) = rows(&result).find_map(seen) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Liquidation price of the position in a symbol, when the exchange shows one.
    pub(super) async fn liquidation_price(&self, symbol: &str) -> Result<Option<Decimal>, Refusal> {
        let query = format!("category=linear&symbol={symbol}");
        let result = self.get("/v5/position/list", &query).await?;
        Ok(number(result.pointer("/list/0/liqPrice")).filter(|price| !price.is_zero()))
    }

    /// Sets the leverage; that it was set already is no error.
    pub(super) async fn set_leverage(
        &self,
        symbol: &str,
        leverage: Decimal,
    ) -> Result<(), Refusal> {
        let text = leverage.normalize().to_string();
        let body = json!({"category": "linear", "symbol": symbol, "buyLeverage": text, "sellLeverage": text});
        match self.post("/v5/position/set-leverage", &body).await {
            Err(Refusal::Code { code: 110_043, .. }) | Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Places an order; its id.
    pub(super) async fn place(&self, order: &NewOrder) -> Result<String, Refusal> {
        let path = "/v5/order/create";
        let result = self.post(path, &order.body()).await?;
        result
            .get("orderId")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Refusal::Lost {
                path: path.to_owned(),
                reason: "no orderId".to_owned(),
            })
    }

    /// Cancels an order; one that is gone already is no error.
    pub(super) async fn cancel(&self, symbol: &str, id: &str) -> Result<(), Refusal> {
        let body = json!({"category": "linear", "symbol": symbol, "orderId": id});
        match self.post("/v5/order/cancel", &body).await {
            Err(Refusal::Code {
                code: 110_001 | 110_008 | 110_010,
                ..
            })
            | Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn get(&self, path: &str, query: &str) -> Result<Value, Refusal> {
        let request = self.http.get(format!("{}{path}?{query}", self.base));
        self.send(path, request, query).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let text = body.to_string();
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json")
            .header("Referer", "CCXT")
            .body(text.clone());
        self.send(path, request, &text).await
    }

    async fn send(
        &self,
        path: &str,
        request: reqwest::RequestBuilder,
        payload: &str,
    ) -> Result<Value, Refusal> {
        let at = self.clock.wall_ms().to_string();
        let text = format!("{at}{}{RECV_WINDOW_MS}{payload}", self.api_key);
        let sign = hex::encode(hmac::sign(&self.key, text.as_bytes()).as_ref());
        let answer = request
            .header("X-BAPI-API-KEY", &self.api_key)
            .header("X-BAPI-TIMESTAMP", at)
            .header("X-BAPI-RECV-WINDOW", RECV_WINDOW_MS)
            .header("X-BAPI-SIGN", sign)
            .send()
            .await
            .map_err(|error| lost(path, &error))?;
        let body = answer.bytes().await.map_err(|error| lost(path, &error))?;
        let value: Value = serde_json::from_slice(&body).map_err(|error| lost(path, &error))?;
        match value.get("retCode").and_then(Value::as_i64) {
            Some(0) => Ok(value.get("result").cloned().unwrap_or(Value::Null)),
            Some(code) => Err(Refusal::Code {
                path: path.to_owned(),
                code,
                message: value
                    .get("retMsg")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            }),
            None => Err(Refusal::Lost {
                path: path.to_owned(),
                reason: "no retCode".to_owned(),
            }),
        }
    }
}

fn lost(path: &str, error: &dyn std::error::Error) -> Refusal {
    Refusal::Lost {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn rows(result: &Value) -> impl Iterator<Item = &Value> {
    result
        .get("list")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A number from the text that the exchange sends; an empty text is none.
fn number(value: Option<&Value>) -> Option<Decimal> {
    value?.as_str()?.parse().ok()
}

fn seen(row: &Value) -> Option<(String, Seen)> {
    let id = row.get("orderId")?.as_str()?.to_owned();
    let standing = match row.get("orderStatus")?.as_str()? {
        "New" | "PartiallyFilled" | "Untriggered" | "Triggered" => Standing::Open,
        "Filled" => Standing::Closed,
        _ => Standing::Canceled,
    };
    let updated_ms: i64 = row
        .get("updatedTime")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let seen = Seen {
        standing,
        filled: number(row.get("cumExecQty")).unwrap_or_default(),
        average: number(row.get("avgPrice")).filter(|price| !price.is_zero()),
        fee: number(row.get("cumExecFee")).unwrap_or_default(),
        updated_us: updated_ms.saturating_mul(1000),
    };
    Some((id, seen))
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests::d;
    use super::*;

    #[test]
    fn bodies_are_what_the_exchange_asks_for() {
        let mut order = NewOrder {
            symbol: "BTCUSDT".to_owned(),
            buy: false,
            amount: d("0.0050"),
            limit: Some(d("59201.10")),
            post_only: true,
            reduce_only: false,
            trigger: None,
        };
        let body = order.body();
        assert_eq!(
            (&body["qty"], &body["price"]),
            (&json!("0.005"), &json!("59201.1"))
        );
        assert_eq!(
            (&body["timeInForce"], body.get("reduceOnly")),
            (&json!("PostOnly"), None)
        );
        order.limit = None;
        order.reduce_only = true;
        order.trigger = Some((d("45000"), false));
        let body = order.body();
        assert_eq!(
            (&body["orderType"], &body["triggerDirection"]),
            (&json!("Market"), &json!(2))
        );
        assert_eq!(
            (body.get("price"), &body["reduceOnly"]),
            (None, &json!(true))
        );
    }

    #[test]
    fn statuses_map_to_freqtrades_words() {
        for (status, standing) in [
            ("New", Standing::Open),
            ("Untriggered", Standing::Open),
            ("PartiallyFilled", Standing::Open),
            ("Filled", Standing::Closed),
            ("Cancelled", Standing::Canceled),
            ("PartiallyFilledCanceled", Standing::Canceled),
            ("Deactivated", Standing::Canceled),
            ("Rejected", Standing::Canceled),
        ] {
            let row = json!({"orderId": "x", "orderStatus": status, "cumExecQty": "", "avgPrice": "", "updatedTime": "5"});
            let (_, seen) = seen(&row).unwrap();
            assert_eq!(
                (seen.standing, seen.average, seen.updated_us),
                (standing, None, 5000),
                "{status}"
            );
        }
    }

    #[test]
    fn a_dead_key_is_fatal_and_a_lost_answer_is_not() {
        let code = |code| Refusal::Code {
            path: "/x".to_owned(),
            code,
            message: "m".to_owned(),
        };
        assert!(code(10003).is_fatal() && code(10010).is_fatal());
        assert!(!code(10002).is_fatal() && !code(10006).is_fatal() && !code(110_007).is_fatal());
        assert!(!lost("/x", &std::fmt::Error).is_fatal());
    }
}
