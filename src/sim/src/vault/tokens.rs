//! Who may ask Vault for what: policies, tokens with their accessors and leases, and AppRoles.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ids::{Ids, rfc3339_ms};

/// The longest a token of an AppRole can be renewed to.
const MAX_TTL_MS: i64 = 3_600_000;

/// What a request needs on its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    List,
    Write,
    Delete,
}

/// `(policy, path, needs)`; a path that ends in `*` is a prefix. Anything not listed is refused.
const POLICIES: &[(&str, &str, &[Need])] = &[
    ("default", "auth/token/lookup-self", &[Need::Read]),
    ("default", "auth/token/renew-self", &[Need::Write]),
    ("default", "auth/token/revoke-self", &[Need::Write]),
    ("default", "sys/capabilities-self", &[Need::Write]),
    ("default", "sys/internal/ui/mounts/*", &[Need::Read]),
    (
        "revoker",
        "kv/data/trading/*",
        &[Need::Read, Need::Write, Need::Delete],
    ),
    (
        "revoker",
        "kv/metadata/trading/*",
        &[Need::Read, Need::List, Need::Write, Need::Delete],
    ),
    ("revoker", "kv/metadata/trading", &[Need::List]),
    ("revoker", "kv/delete/trading/*", &[Need::Write]),
    ("revoker", "kv/undelete/trading/*", &[Need::Write]),
    ("revoker", "kv/destroy/trading/*", &[Need::Write]),
    ("revoker", "kv/config", &[Need::Read]),
    ("revoker", "sys/leases/lookup*", &[Need::Write, Need::List]),
    ("revoker", "sys/leases/revoke-prefix/*", &[Need::Write]),
    ("revoker", "auth/token/accessors*", &[Need::List]),
    ("revoker", "auth/token/lookup-accessor", &[Need::Write]),
    ("revoker", "auth/token/revoke-accessor", &[Need::Write]),
];

/// Whether one of `policies` allows `need` on `path`.
pub(super) fn allowed(policies: &[&'static str], path: &str, need: Need) -> bool {
    POLICIES.iter().any(|(policy, pattern, needs)| {
        policies.contains(policy) && needs.contains(&need) && matches(pattern, path)
    })
}

/// The capabilities of `policies` on `path` in Vault's words, `["deny"]` when there are none.
pub(super) fn capabilities(policies: &[&'static str], path: &str) -> Vec<&'static str> {
    const WORDS: &[(Need, &[&str])] = &[
        (Need::Write, &["create"]),
        (Need::Delete, &["delete"]),
        (Need::List, &["list"]),
        (Need::Read, &["read"]),
        (Need::Write, &["update"]),
    ];
    let words: Vec<&str> = WORDS
        .iter()
        .filter(|(need, _)| allowed(policies, path, *need))
        .flat_map(|(_, words)| words.iter().copied())
        .collect();
    if words.is_empty() {
        vec!["deny"]
    } else {
        words
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

/// A live token. Its secret value is the key of the table that holds it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) accessor: String,
    pub(super) policies: Vec<&'static str>,
    lease: String,
    origin: &'static str,
    display_name: String,
    role: Option<String>,
    issued_ms: i64,
    ttl_ms: i64,
    /// `None` for a token that does not expire.
    expires_ms: Option<i64>,
}

impl Token {
    fn remaining_s(&self, now_ms: i64) -> i64 {
        self.expires_ms.map_or(0, |at| (at - now_ms).max(0) / 1000)
    }

    /// The `data` of lookup-self and lookup-accessor; `id` is empty for the latter.
    pub(super) fn describe(&self, id: &str, now_ms: i64) -> Value {
        json!({
            "accessor": self.accessor,
            "creation_time": self.issued_ms / 1000,
            "creation_ttl": self.ttl_ms / 1000,
            "display_name": self.display_name,
            "entity_id": "",
            "expire_time": self.expires_ms.map(rfc3339_ms),
            "explicit_max_ttl": 0,
            "id": id,
            "issue_time": rfc3339_ms(self.issued_ms),
            "meta": self.role.as_ref().map(|role| json!({"role_name": role})),
            "num_uses": 0,
            "orphan": true,
            "path": self.origin,
            "policies": self.policies,
            "renewable": self.expires_ms.is_some(),
            "ttl": self.remaining_s(now_ms),
            "type": "service",
        })
    }

    /// The `auth` object of a login or a renewal.
    pub(super) fn auth(&self, client_token: &str, now_ms: i64) -> Value {
        json!({
            "client_token": client_token,
            "accessor": self.accessor,
            "policies": self.policies,
            "token_policies": self.policies,
            "metadata": self.role.as_ref().map(|role| json!({"role_name": role})),
            "lease_duration": self.remaining_s(now_ms),
            "renewable": self.expires_ms.is_some(),
            "entity_id": "",
            "token_type": "service",
            "orphan": true,
            "mfa_requirement": null,
            "num_uses": 0,
        })
    }
}

#[derive(Debug, Clone)]
struct Role {
    role_id: String,
    secret_id: String,
    policy: &'static str,
    ttl_ms: i64,
}

/// All tokens, their leases and the roles that may log in.
#[derive(Clone)]
pub(super) struct Tokens {
    ids: Ids,
    live: BTreeMap<String, Token>,
    roles: BTreeMap<String, Role>,
}

impl Tokens {
    pub(super) fn new(ids: Ids) -> Self {
        Self {
            ids,
            live: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// Makes a role and gives its `(role_id, secret_id)`.
    pub(super) fn enroll(
        &mut self,
        name: &str,
        policy: &'static str,
        ttl_ms: i64,
    ) -> (String, String) {
        let role = Role {
            role_id: self.ids.uuid(),
            secret_id: self.ids.uuid(),
            policy,
            ttl_ms,
        };
        let pair = (role.role_id.clone(), role.secret_id.clone());
        self.roles.insert(name.to_owned(), role);
        pair
    }

    /// Logs in with an AppRole; `None` when role or secret is wrong.
    pub(super) fn login(&mut self, role_id: &str, secret_id: &str, now_ms: i64) -> Option<String> {
        let (name, policy, ttl_ms) = self
            .roles
            .iter()
            .find(|(_, role)| role.role_id == role_id && role.secret_id == secret_id)
            .map(|(name, role)| (name.clone(), role.policy, role.ttl_ms))?;
        Some(self.issue(
            "auth/approle/login",
            Some(name),
            policy,
            Some(ttl_ms),
            now_ms,
        ))
    }

    /// Issues a token, which has a lease below `origin`.
    pub(super) fn issue(
        &mut self,
        origin: &'static str,
        role: Option<String>,
        policy: &'static str,
        ttl_ms: Option<i64>,
        now_ms: i64,
    ) -> String {
        let secret = format!("s.{}", self.ids.token(24));
        let token = Token {
            accessor: self.ids.token(24),
            policies: vec!["default", policy],
            lease: format!("{origin}/h{}", hex::encode(self.ids.bytes())),
            origin,
            display_name: if role.is_some() { "approle" } else { "token" }.to_owned(),
            role,
            issued_ms: now_ms,
            ttl_ms: ttl_ms.unwrap_or(0),
            expires_ms: ttl_ms.map(|ttl| now_ms + ttl),
        };
        self.live.insert(secret.clone(), token);
        secret
    }

    /// The token behind a secret value, unless expired or revoked.
    pub(super) fn get(&self, secret: &str, now_ms: i64) -> Option<&Token> {
        self.live
            .get(secret)
            .filter(|token| token.expires_ms.is_none_or(|at| now_ms < at))
    }

    /// Extends a token by `increment_ms`, or by its own lifetime, at most to an hour after it was issued.
    pub(super) fn renew(&mut self, secret: &str, increment_ms: Option<i64>, now_ms: i64) {
        if let Some(token) = self.live.get_mut(secret)
            && token.expires_ms.is_some()
        {
            let wanted = now_ms + increment_ms.unwrap_or(token.ttl_ms);
            token.expires_ms = Some(wanted.min(token.issued_ms + MAX_TTL_MS));
        }
    }

    /// Ends a token; false when there is none.
    pub(super) fn revoke(&mut self, secret: &str) -> bool {
        self.live.remove(secret).is_some()
    }

    /// Ends the token with this accessor; false when there is none.
    pub(super) fn revoke_accessor(&mut self, accessor: &str) -> bool {
        let before = self.live.len();
        self.live.retain(|_, token| token.accessor != accessor);
        self.live.len() < before
    }

    /// Ends every token whose lease lies below `prefix`.
    pub(super) fn revoke_prefix(&mut self, prefix: &str) {
        self.live.retain(|_, token| !below(&token.lease, prefix));
    }

    pub(super) fn by_accessor(&self, accessor: &str, now_ms: i64) -> Option<&Token> {
        self.live.values().find(|token| {
            token.accessor == accessor && token.expires_ms.is_none_or(|at| now_ms < at)
        })
    }

    pub(super) fn accessors(&self) -> Vec<&str> {
        self.live.values().map(|t| t.accessor.as_str()).collect()
    }

    /// The names of the leases directly below `prefix`.
    pub(super) fn leases_below(&self, prefix: &str) -> Vec<String> {
        let folder = match prefix.trim_matches('/') {
            "" => String::new(),
            name => format!("{name}/"),
        };
        let mut names: Vec<String> = self
            .live
            .values()
            .filter_map(|token| token.lease.strip_prefix(&folder))
            .map(|rest| match rest.split_once('/') {
                Some((head, _)) => format!("{head}/"),
                None => rest.to_owned(),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The `data` of a lease lookup.
    pub(super) fn lease(&self, id: &str, now_ms: i64) -> Option<Value> {
        let token = self.live.values().find(|token| token.lease == id)?;
        Some(json!({
            "id": id,
            "issue_time": rfc3339_ms(token.issued_ms),
            "expire_time": token.expires_ms.map(rfc3339_ms),
            "last_renewal": null,
            "renewable": token.expires_ms.is_some(),
            "ttl": token.remaining_s(now_ms),
        }))
    }
}

fn below(lease: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    lease == prefix
        || lease
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('/'))
}
