//! A Vault on loopback: KV version 2 on the mount `kv`, tokens with leases, AppRole login, sealing.
//!
//! Answers have the shapes of Vault's HTTP API as OpenBao 2.7.2 gives them; the client library hvac reads them.
//! It is a pure state machine: [`Vault::call`] takes the time and a request and gives status and body. The caller
//! (the plumbing in `http.rs`) owns it behind a lock:
//!
//! - [`Vault::new`]`(seed)`: empty, unsealed.
//! - [`Vault::put`]`("trading/freqtrade-1", fields, now_ms)`: what a start-up fills in.
//! - [`Vault::revoker_token`], [`Vault::revoker_approle`]: credentials to print.
//! - [`VaultService::new`]`(vault, clock)` is the [`crate::http::Service`]; [`VaultService::set_sealed`] is the control
//!   API's way to break it, [`VaultService::fetch`] what the cluster's ExternalSecret operator reads.
//!
//! It must never be reachable from anywhere but loopback. Weak: one mount, two policies, no namespaces, no audit
//! device, response wrapping or dynamic secrets; the only leases are those of tokens.

mod kv;
mod service;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ids::{Ids, rfc3339_ms};
use kv::{Fate, Kv, Read, WriteError};
pub(crate) use service::VaultService;
use tokens::{Need, Tokens};

const VERSION: &str = "2.7.2";
/// Lifetime of a token got by AppRole login.
const APPROLE_TTL_MS: i64 = 20 * 60_000;

/// One HTTP request, without its framing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VaultCall<'a> {
    /// Upper case; Vault's own `LIST` included.
    pub(crate) method: &'a str,
    /// The path with its leading `/v1/`, without the query.
    pub(crate) path: &'a str,
    /// What follows `?`, or nothing.
    pub(crate) query: &'a str,
    /// `X-Vault-Token`, or the bearer token.
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Status and JSON body; `None` is an empty body (204).
pub(crate) type VaultAnswer = (u16, Option<Value>);

/// The secret store with everything in it.
#[derive(Clone)]
pub(crate) struct Vault {
    kv: Kv,
    tokens: Tokens,
    ids: Ids,
    sealed: bool,
}

impl Vault {
    /// An empty, unsealed store; `seed` decides every identifier it will give out.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            kv: Kv::default(),
            tokens: Tokens::new(Ids::new(seed, "vault-tokens")),
            ids: Ids::new(seed, "vault-requests"),
            sealed: false,
        }
    }

    /// Writes a secret at `path` below the mount, e.g. `trading/freqtrade-1`.
    pub(crate) fn put(&mut self, path: &str, fields: &[(&str, &str)], now_ms: i64) {
        let data: Map<String, Value> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        // Without check-and-set only a secret that demands it refuses, and a new one cannot.
        let _ = self.kv.write(path, data, None, now_ms);
    }

    /// A token without expiry that may do what the revoker needs below `kv/trading` and with leases.
    pub(crate) fn revoker_token(&mut self, now_ms: i64) -> String {
        self.tokens
            .issue("auth/token/create", None, "revoker", None, now_ms)
    }

    /// `(role_id, secret_id)` of an AppRole with the revoker's rights and tokens of 20 minutes.
    pub(crate) fn revoker_approle(&mut self) -> (String, String) {
        self.tokens.enroll("revoker", "revoker", APPROLE_TTL_MS)
    }

    /// The current fields of a secret; `None` when sealed, absent, deleted or destroyed.
    pub(crate) fn fields(&self, path: &str) -> Option<BTreeMap<String, String>> {
        if self.sealed {
            return None;
        }
        self.kv.fields(path)
    }

    /// Seals or unseals: sealed, everything but health answers 503.
    pub(crate) fn set_sealed(&mut self, sealed: bool) {
        self.sealed = sealed;
    }

    /// The role or policy behind a token, for the request log.
    fn caller(&self, token: &str, now_ms: i64) -> Option<String> {
        let token = self.tokens.get(token, now_ms)?;
        token.policies.last().map(|policy| (*policy).to_owned())
    }

    /// What the control API shows: names and versions, no secret.
    pub(crate) fn state(&self) -> Value {
        let secrets: Map<String, Value> = self
            .kv
            .paths()
            .map(|path| {
                (
                    path.to_owned(),
                    self.kv.metadata(path).unwrap_or(Value::Null),
                )
            })
            .collect();
        json!({
            "sealed": self.sealed,
            "secrets": secrets,
            "token_accessors": self.tokens.accessors(),
        })
    }

    /// Answers one request.
    pub(crate) fn call(&mut self, now_ms: i64, call: &VaultCall<'_>) -> VaultAnswer {
        let Some(path) = call.path.strip_prefix("/v1/") else {
            return error(404, "404 page not found");
        };
        let path = path.trim_end_matches('/');
        let Some(need) = need(call) else {
            return error(405, "unsupported operation");
        };
        let body = match parse(call.body) {
            Ok(body) => body,
            Err(text) => return error(400, &text),
        };
        match path {
            "sys/health" => return self.health(now_ms),
            "sys/seal-status" => return (200, Some(self.seal_status())),
            _ if self.sealed => return error(503, "Vault is sealed"),
            "auth/approle/login" if need == Need::Write => return self.login(&body, now_ms),
            _ => {}
        }
        let Some(secret) = call.token else {
            return error(403, "permission denied");
        };
        let Some(policies) = self
            .tokens
            .get(secret, now_ms)
            .map(|token| token.policies.clone())
        else {
            return error(403, "permission denied");
        };
        if !tokens::allowed(&policies, path, need) {
            return error(403, "1 error occurred:\n\t* permission denied\n\n");
        }
        let asked = Asked {
            need,
            call,
            body: &body,
            secret,
            policies: &policies,
            now_ms,
        };
        self.route(path, &asked)
    }

    fn route(&mut self, path: &str, asked: &Asked<'_>) -> VaultAnswer {
        let below = path.strip_prefix("kv/").unwrap_or_default();
        let (verb, name) = below.split_once('/').unwrap_or((below, ""));
        match verb {
            "data" => self.kv_data(name, asked),
            "metadata" => self.kv_metadata(name, asked),
            "delete" => self.kv_fate(name, asked, Fate::Delete),
            "undelete" => self.kv_fate(name, asked, Fate::Undelete),
            "destroy" => self.kv_fate(name, asked, Fate::Destroy),
            "config" => self.data(json!({
                "cas_required": false, "delete_version_after": "0s", "max_versions": 0,
            })),
            _ => self.system(path, asked),
        }
    }

    fn kv_data(&mut self, name: &str, asked: &Asked<'_>) -> VaultAnswer {
        match asked.need {
            Need::Read => {
                let version = query_value(asked.call.query, "version").and_then(|v| v.parse().ok());
                match self.kv.read(name, version) {
                    Read::Absent => not_found(),
                    Read::Gone(data) => {
                        let (_, body) = self.data(data);
                        (404, body)
                    }
                    Read::Found(data) => self.data(data),
                }
            }
            Need::Write => self.kv_write(name, asked),
            Need::Delete => {
                self.kv.delete_current(name, asked.now_ms);
                (204, None)
            }
            Need::List => error(405, "unsupported operation"),
        }
    }

    fn kv_write(&mut self, name: &str, asked: &Asked<'_>) -> VaultAnswer {
        let Some(data) = asked.body.get("data").filter(|data| data.is_object()) else {
            return error(400, "no data provided");
        };
        let cas = asked
            .body
            .get("options")
            .and_then(|options| options.get("cas"))
            .and_then(Value::as_u64);
        let written = if asked.call.method == "PATCH" {
            self.kv.patch(name, data, cas, asked.now_ms)
        } else {
            let fields = data.as_object().cloned().unwrap_or_default();
            self.kv.write(name, fields, cas, asked.now_ms)
        };
        match written {
            Ok(metadata) => self.data(metadata),
            Err(WriteError::CasMismatch) => error(
                400,
                "check-and-set parameter did not match the current version",
            ),
            Err(WriteError::CasRequired) => {
                error(400, "check-and-set parameter required for this call")
            }
            Err(WriteError::Absent) => not_found(),
        }
    }

    fn kv_metadata(&mut self, name: &str, asked: &Asked<'_>) -> VaultAnswer {
        match asked.need {
            Need::Read => match self.kv.metadata(name) {
                Some(data) => self.data(data),
                None => not_found(),
            },
            Need::List => self.keys(self.kv.list(name)),
            Need::Write => {
                self.kv.configure(name, asked.body, asked.now_ms);
                (204, None)
            }
            Need::Delete => {
                self.kv.delete_metadata(name);
                (204, None)
            }
        }
    }

    fn kv_fate(&mut self, name: &str, asked: &Asked<'_>, fate: Fate) -> VaultAnswer {
        let versions: Vec<u64> = asked
            .body
            .get("versions")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(version_number).collect())
            .unwrap_or_default();
        if versions.is_empty() {
            return error(400, "No version number provided");
        }
        self.kv.change(name, &versions, fate, asked.now_ms);
        (204, None)
    }

    fn system(&mut self, path: &str, asked: &Asked<'_>) -> VaultAnswer {
        let now_ms = asked.now_ms;
        match path {
            "auth/token/lookup-self" => match self.tokens.get(asked.secret, now_ms) {
                Some(token) => {
                    let data = token.describe(asked.secret, now_ms);
                    self.data(data)
                }
                None => error(403, "permission denied"),
            },
            "auth/token/renew-self" => {
                let increment = asked.body.get("increment").and_then(duration_ms);
                self.tokens.renew(asked.secret, increment, now_ms);
                self.authenticated(asked.secret, now_ms)
            }
            "auth/token/revoke-self" => {
                self.tokens.revoke(asked.secret);
                (204, None)
            }
            "auth/token/revoke-accessor" => self.revoke_accessor(asked),
            "auth/token/lookup-accessor" => {
                match self.tokens.by_accessor(asked.text("accessor"), now_ms) {
                    Some(token) => {
                        let data = token.describe("", now_ms);
                        self.data(data)
                    }
                    None => error(403, "1 error occurred:\n\t* invalid accessor\n\n"),
                }
            }
            "auth/token/accessors" => {
                let keys = self.tokens.accessors().into_iter().map(str::to_owned);
                let keys = keys.collect();
                self.keys(keys)
            }
            "sys/capabilities-self" => self.capabilities(asked),
            _ => self.leases(path, asked),
        }
    }

    fn leases(&mut self, path: &str, asked: &Asked<'_>) -> VaultAnswer {
        if let Some(prefix) = path.strip_prefix("sys/leases/revoke-prefix/") {
            self.tokens.revoke_prefix(prefix);
            return (204, None);
        }
        if let Some(prefix) = path.strip_prefix("sys/leases/lookup") {
            if asked.need == Need::List {
                return self.keys(self.tokens.leases_below(prefix));
            }
            return match asked.text("lease_id") {
                "" => error(400, "lease_id must be specified"),
                id => match self.tokens.lease(id, asked.now_ms) {
                    Some(data) => self.data(data),
                    None => error(400, "invalid lease"),
                },
            };
        }
        if path.starts_with("sys/internal/ui/mounts/") {
            return self.data(json!({
                "accessor": "kv_f05eb0c5", "config": {"default_lease_ttl": 0, "max_lease_ttl": 0},
                "description": "", "local": false, "options": {"version": "2"}, "path": "kv/",
                "seal_wrap": false, "type": "kv",
            }));
        }
        error(404, "1 error occurred:\n\t* unsupported path\n\n")
    }

    fn revoke_accessor(&mut self, asked: &Asked<'_>) -> VaultAnswer {
        let accessor = asked.text("accessor");
        if accessor.is_empty() {
            return error(400, "missing accessor");
        }
        if self.tokens.revoke_accessor(accessor) {
            return (204, None);
        }
        let mut answer = self.envelope(Value::Null, Value::Null);
        if let Some(object) = answer.as_object_mut() {
            object.insert(
                "warnings".into(),
                json!(["No token found with this accessor"]),
            );
        }
        (200, Some(answer))
    }

    fn capabilities(&mut self, asked: &Asked<'_>) -> VaultAnswer {
        let paths: Vec<&str> = asked
            .body
            .get("paths")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let rights: Map<String, Value> = paths
            .iter()
            .map(|path| {
                let words = tokens::capabilities(asked.policies, path);
                ((*path).to_owned(), json!(words))
            })
            .collect();
        let mut answer = self.envelope(Value::Object(rights.clone()), Value::Null);
        if let Some(object) = answer.as_object_mut() {
            object.extend(rights);
        }
        (200, Some(answer))
    }

    fn login(&mut self, body: &Value, now_ms: i64) -> VaultAnswer {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("role_id").is_empty() {
            return error(500, "missing role_id");
        }
        match self
            .tokens
            .login(text("role_id"), text("secret_id"), now_ms)
        {
            Some(secret) => self.authenticated(&secret, now_ms),
            None => error(400, "invalid role or secret ID"),
        }
    }

    fn authenticated(&mut self, secret: &str, now_ms: i64) -> VaultAnswer {
        let Some(auth) = self
            .tokens
            .get(secret, now_ms)
            .map(|token| token.auth(secret, now_ms))
        else {
            return error(403, "permission denied");
        };
        (200, Some(self.envelope(Value::Null, auth)))
    }

    fn health(&self, now_ms: i64) -> VaultAnswer {
        let status = if self.sealed { 503 } else { 200 };
        (
            status,
            Some(json!({
                "initialized": true, "sealed": self.sealed, "standby": self.sealed,
                "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
                "server_time_utc": now_ms / 1000, "version": VERSION,
                "cluster_name": "vault-cluster-sim", "server_time": rfc3339_ms(now_ms),
            })),
        )
    }

    fn seal_status(&self) -> Value {
        json!({
            "type": "shamir", "initialized": true, "sealed": self.sealed, "t": 1, "n": 1, "progress": 0,
            "nonce": "", "version": VERSION, "migration": false, "recovery_seal": false,
            "storage_type": "inmem",
        })
    }

    fn keys(&mut self, keys: Vec<String>) -> VaultAnswer {
        if keys.is_empty() {
            return not_found();
        }
        self.data(json!({"keys": keys}))
    }

    fn data(&mut self, data: Value) -> VaultAnswer {
        (200, Some(self.envelope(data, Value::Null)))
    }

    fn envelope(&mut self, data: Value, auth: Value) -> Value {
        json!({
            "request_id": self.ids.uuid(), "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": data, "wrap_info": null, "warnings": null, "auth": auth,
        })
    }
}

/// A request that has passed authentication and policy.
struct Asked<'a> {
    need: Need,
    call: &'a VaultCall<'a>,
    body: &'a Value,
    secret: &'a str,
    policies: &'a [&'static str],
    now_ms: i64,
}

impl Asked<'_> {
    fn text(&self, name: &str) -> &str {
        self.body
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn need(call: &VaultCall<'_>) -> Option<Need> {
    Some(match call.method {
        "LIST" => Need::List,
        "GET" | "HEAD" if query_value(call.query, "list") == Some("true") => Need::List,
        "GET" | "HEAD" => Need::Read,
        "POST" | "PUT" | "PATCH" => Need::Write,
        "DELETE" => Need::Delete,
        _ => return None,
    })
}

fn parse(body: &[u8]) -> Result<Value, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| format!("failed to decode JSON input: {error}"))
}

fn error(status: u16, text: &str) -> VaultAnswer {
    (status, Some(json!({"errors": [text]})))
}

fn not_found() -> VaultAnswer {
    (404, Some(json!({"errors": []})))
}

fn query_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A version as a number or, as some clients send it, as text.
fn version_number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// A duration in seconds, or with a unit (`30s`, `20m`, `1h`).
fn duration_ms(value: &Value) -> Option<i64> {
    if let Some(seconds) = value.as_i64() {
        return seconds.checked_mul(1000);
    }
    let text = value.as_str()?;
    let (digits, factor) = match text.chars().last()? {
        's' => (text.trim_end_matches('s'), 1000),
        'm' => (text.trim_end_matches('m'), 60_000),
        'h' => (text.trim_end_matches('h'), 3_600_000),
        _ => (text, 1000),
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}
