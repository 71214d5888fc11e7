//! The calls that change something at the exchange: the only ones in the whole of Fusebox.
//!
//! Reading is the venue crate's; what is signed here goes out with the same signer and clock. An
//! answer is what the exchange says, never what is so: whoever calls must look afterwards.

use fusebox_custody::Secret;
use fusebox_domain::{ApiKeyId, Decimal, Symbol, Uid, clean_line};
use fusebox_venue::{Answer, Error, Reader};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a call may take; a timeout is Unknown, and looking decides.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Connections kept open: five deletions, and a cancel beside them.
const WARM: usize = 6;
/// Pages of one listing, at most.
const MAX_PAGES: usize = 200;
const RECV_WINDOW_MS: u32 = 5_000;
/// An address from the documentation range (RFC 5737): a key bound to it works nowhere.
const SINKHOLE: &str = "192.0.2.1";

/// A key that was just made. Its secret is told once.
pub(crate) struct NewKey {
    pub api_key: ApiKeyId,
    pub secret: Secret,
}

/// What a key may do and where from, in the exchange's own words: copied to its successor.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Grant {
    pub permissions: Value,
    pub ips: Vec<String>,
    pub read_only: bool,
}

/// The HTTP side of every changing call; who signs is said each time.
pub(crate) struct Hands {
    http: reqwest::Client,
}

impl Hands {
    pub(crate) fn new() -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(CALL_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| Error::Client(e.to_string()))?;
        Ok(Self { http })
    }

    /// Keeps as many connections open as a kill uses at once.
    pub(crate) async fn warm(&self, manager: &Reader) {
        let url = format!("{}/v5/market/time", manager.endpoints().rest());
        let calls = (0..WARM).map(|_| self.http.get(&url).send());
        for answer in futures_util::future::join_all(calls)
            .await
            .into_iter()
            .flatten()
        {
            // Only a body that was read gives its connection back.
            let _ = answer.bytes().await;
        }
    }

    /// Deletes a sub-account's key.
    pub(crate) async fn delete_key(&self, manager: &Reader, key: &ApiKeyId) -> Result<(), Error> {
        let body = json!({"apikey": key.as_str()});
        self.post(manager, "/v5/user/delete-sub-api", &body)
            .await
            .map(drop)
    }

    /// The fallback when deletion fails: read-only, and bound to an address that is nobody's.
    pub(crate) async fn demote_key(&self, manager: &Reader, key: &ApiKeyId) -> Result<(), Error> {
        let body = json!({"apikey": key.as_str(), "readOnly": 1, "ips": [SINKHOLE]});
        self.post(manager, "/v5/user/update-sub-api", &body)
            .await
            .map(drop)
    }

    /// Makes a key for a sub-account.
    pub(crate) async fn create_key(
        &self,
        manager: &Reader,
        uid: &Uid,
        note: &str,
        grant: &Grant,
    ) -> Result<NewKey, Error> {
        let path = "/v5/user/create-sub-api";
        let missing = |what: &str| Error::NotUnderstood {
            call: path.to_owned(),
            what: format!("{what} is missing"),
        };
        let subuid: u64 = uid.as_str().parse().map_err(|_| missing("a numeric uid"))?;
        let mut body = json!({
            "subuid": subuid, "note": note, "readOnly": i32::from(grant.read_only),
            "permissions": grant.permissions,
        });
        if let (false, Some(map)) = (grant.ips.is_empty(), body.as_object_mut()) {
            map.insert("ips".to_owned(), json!(grant.ips.join(",")));
        }
        let result = self.post(manager, path, &body).await?;
        let text = |name: &str| {
            let found = result.get(name).and_then(Value::as_str);
            found
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| missing(name))
        };
        Ok(NewKey {
            api_key: ApiKeyId::new(text("apiKey")?),
            secret: Secret::new(text("secret")?),
        })
    }

    /// What a listed key may do, in the exchange's own words; `None` when it is not listed.
    pub(crate) async fn grant(
        &self,
        manager: &Reader,
        uid: &Uid,
        key: &ApiKeyId,
    ) -> Result<Option<Grant>, Error> {
        let path = "/v5/user/sub-apikeys";
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = format!("subMemberId={uid}&limit=20");
            if !cursor.is_empty() {
                query.push_str(&format!("&cursor={cursor}"));
            }
            let page = self.get(manager, path, &query).await?;
            let rows = page.get("result").and_then(Value::as_array);
            let rows = rows.map(Vec::as_slice).unwrap_or_default();
            let named =
                |row: &&Value| row.get("apiKey").and_then(Value::as_str) == Some(key.as_str());
            if let Some(row) = rows.iter().find(named) {
                return Ok(Some(grant_of(row)));
            }
            match page.get("nextPageCursor").and_then(Value::as_str) {
                Some(next) if !next.is_empty() && next != cursor => cursor = next.to_owned(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Cancels resting orders settled in `coin`; stops and conditional orders stay (K3).
    pub(crate) async fn cancel_all(&self, key: &Reader, coin: &str) -> Result<(), Error> {
        let body = json!({"category": "linear", "settleCoin": coin, "orderFilter": "Order"});
        self.post(key, "/v5/order/cancel-all", &body)
            .await
            .map(drop)
    }

    /// Cancels one order.
    pub(crate) async fn cancel(
        &self,
        key: &Reader,
        symbol: &Symbol,
        order_id: &str,
    ) -> Result<(), Error> {
        let body = json!({"category": "linear", "symbol": symbol.as_str(), "orderId": order_id});
        self.post(key, "/v5/order/cancel", &body).await.map(drop)
    }

    async fn get(&self, signed_by: &Reader, path: &str, query: &str) -> Result<Value, Error> {
        let url = format!("{}{path}?{query}", signed_by.endpoints().rest());
        let request = self.http.get(url);
        self.send(&format!("GET {path}"), signed_by, request, query)
            .await
    }

    async fn post(&self, signed_by: &Reader, path: &str, body: &Value) -> Result<Value, Error> {
        let payload = body.to_string();
        let url = format!("{}{path}", signed_by.endpoints().rest());
        let request = self
            .http
            .post(url)
            .header("Content-Type", "application/json")
            .body(payload.clone());
        self.send(&format!("POST {path}"), signed_by, request, &payload)
            .await
    }

    /// Signs exactly the bytes that are sent. Nothing is retried here.
    async fn send(
        &self,
        call: &str,
        signed_by: &Reader,
        mut request: reqwest::RequestBuilder,
        payload: &str,
    ) -> Result<Value, Error> {
        let unreachable = |e: reqwest::Error| Error::Unreachable {
            call: call.to_owned(),
            detail: clean_line(&e.without_url().to_string(), 120),
        };
        let stamp_ms = signed_by.stamp_ms();
        for (name, value) in signed_by
            .signer()
            .headers(stamp_ms, RECV_WINDOW_MS, payload)
        {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let until_ms = response
            .headers()
            .get("X-Bapi-Limit-Reset-Timestamp")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let bytes = response.bytes().await.map_err(unreachable)?;
        Answer::open(call, status, &bytes, until_ms).map(|answer| answer.result)
    }
}

fn grant_of(row: &Value) -> Grant {
    let ips = row.get("ips").and_then(Value::as_array);
    Grant {
        permissions: row.get("permissions").cloned().unwrap_or_default(),
        ips: ips
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|ip| *ip != "*")
            .map(str::to_owned)
            .collect(),
        // A bool in this listing, a number elsewhere; absent is not "read-only".
        read_only: matches!(row.get("readOnly"), Some(Value::Bool(true)))
            || row.get("readOnly").and_then(Value::as_i64) == Some(1),
    }
}

/// Loss from the mark price to the stop, in USDT; `None` when a part is missing or it overflows.
pub(crate) fn at_risk_usdt(mark: Decimal, stop: Decimal, size: Decimal) -> Option<Decimal> {
    mark.checked_sub(stop)?.abs().checked_mul(size)
}
