use super::*;

const T0: i64 = 1_795_249_832_000;

struct Client {
    vault: Vault,
    token: String,
    now_ms: i64,
}

impl Client {
    fn new() -> Self {
        let mut vault = Vault::new(7);
        let token = vault.revoker_token(T0);
        vault.put(
            "trading/freqtrade-1",
            &[("api_key", "k1"), ("secret", "s1")],
            T0,
        );
        Self {
            vault,
            token,
            now_ms: T0,
        }
    }

    fn as_token(
        &mut self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let call = VaultCall {
            method,
            path: &format!("/v1/{path}"),
            query,
            token,
            body: body.as_bytes(),
        };
        let (status, body) = self.vault.call(self.now_ms, &call);
        (status, body.unwrap_or(Value::Null))
    }

    fn call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let token = self.token.clone();
        self.as_token(Some(&token), method, path, body)
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null)
    }
}

#[test]
fn a_secret_is_read_with_its_version_and_written_only_when_cas_agrees() {
    let mut c = Client::new();
    let (status, body) = c.get("kv/data/trading/freqtrade-1");
    assert_eq!(
        (status, &body["data"]["data"]["secret"]),
        (200, &json!("s1"))
    );
    assert_eq!(body["data"]["metadata"]["version"], 1);
    assert_eq!(body["data"]["metadata"]["deletion_time"], "");

    let stale = json!({"data": {"api_key": "k2"}, "options": {"cas": 0}});
    let (status, body) = c.call("POST", "kv/data/trading/freqtrade-1", stale);
    assert_eq!(status, 400);
    assert_eq!(
        body["errors"][0],
        "check-and-set parameter did not match the current version"
    );
    let right = json!({"data": {"api_key": "k2", "secret": "s2"}, "options": {"cas": 1}});
    let (status, body) = c.call("PUT", "kv/data/trading/freqtrade-1", right);
    assert_eq!((status, &body["data"]["version"]), (200, &json!(2)));
    assert_eq!(
        c.get("kv/data/trading/freqtrade-1?version=1").1["data"]["data"]["api_key"],
        "k1"
    );
    assert_eq!(c.get("kv/data/trading/freqtrade-1?version=9").0, 404);
    assert_eq!(
        c.vault.fields("trading/freqtrade-1").unwrap()["api_key"],
        "k2"
    );
}

#[test]
fn delete_is_soft_destroy_is_not_and_only_metadata_delete_forgets() {
    let mut c = Client::new();
    assert_eq!(
        c.call("DELETE", "kv/data/trading/freqtrade-1", Value::Null)
            .0,
        204
    );
    let (status, body) = c.get("kv/data/trading/freqtrade-1");
    assert_eq!((status, &body["data"]["data"]), (404, &Value::Null));
    assert_ne!(body["data"]["metadata"]["deletion_time"], "");
    assert_eq!(c.vault.fields("trading/freqtrade-1"), None);

    let one = json!({"versions": [1]});
    assert_eq!(
        c.call("POST", "kv/undelete/trading/freqtrade-1", one.clone())
            .0,
        204
    );
    assert_eq!(c.get("kv/data/trading/freqtrade-1").0, 200);

    assert_eq!(
        c.call("PUT", "kv/destroy/trading/freqtrade-1", one.clone())
            .0,
        204
    );
    assert_eq!(
        c.call("POST", "kv/undelete/trading/freqtrade-1", one).0,
        204
    );
    let (status, body) = c.get("kv/data/trading/freqtrade-1");
    assert_eq!(
        (status, &body["data"]["metadata"]["destroyed"]),
        (404, &json!(true))
    );
    let (status, body) = c.get("kv/metadata/trading/freqtrade-1");
    assert_eq!(
        (status, &body["data"]["versions"]["1"]["destroyed"]),
        (200, &json!(true))
    );

    assert_eq!(
        c.call("DELETE", "kv/metadata/trading/freqtrade-1", Value::Null)
            .0,
        204
    );
    assert_eq!(
        c.get("kv/data/trading/freqtrade-1"),
        (404, json!({"errors": []}))
    );
    assert_eq!(c.get("kv/metadata/trading/freqtrade-1").0, 404);
}

#[test]
fn lists_show_names_and_folders_and_are_404_when_empty() {
    let mut c = Client::new();
    c.vault.put("trading/a/b", &[("x", "y")], T0);
    let (status, body) = c.call("LIST", "kv/metadata/trading", Value::Null);
    assert_eq!(
        (status, &body["data"]["keys"]),
        (200, &json!(["a/", "freqtrade-1"]))
    );
    assert_eq!(c.get("kv/metadata/trading/?list=true").0, 200);
    assert_eq!(
        c.call("LIST", "kv/metadata/trading/none", Value::Null),
        (404, json!({"errors": []}))
    );
}

#[test]
fn old_versions_fall_off_after_ten() {
    let mut c = Client::new();
    for n in 0..12 {
        c.vault
            .put("trading/freqtrade-1", &[("n", &n.to_string())], T0 + n);
    }
    let (_, body) = c.get("kv/metadata/trading/freqtrade-1");
    assert_eq!(body["data"]["versions"].as_object().unwrap().len(), 10);
    assert_eq!(body["data"]["oldest_version"], 4);
    assert_eq!(body["data"]["current_version"], 13);
}

#[test]
fn a_token_sees_only_what_its_policy_names() {
    let mut c = Client::new();
    c.vault.put("other/x", &[("a", "b")], T0);
    let denied = json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]});
    assert_eq!(c.get("kv/data/other/x"), (403, denied.clone()));
    assert_eq!(c.get("kv/data/tradingx/y").0, 403);
    assert_eq!(c.get("sys/mounts"), (403, denied));
    let plain = json!({"errors": ["permission denied"]});
    assert_eq!(
        c.as_token(None, "GET", "kv/data/trading/freqtrade-1", Value::Null),
        (403, plain.clone())
    );
    assert_eq!(
        c.as_token(
            Some("bad"),
            "GET",
            "kv/data/trading/freqtrade-1",
            Value::Null
        ),
        (403, plain)
    );
}

#[test]
fn an_approle_token_expires_is_renewed_and_can_be_revoked_three_ways() {
    let mut c = Client::new();
    let (role_id, secret_id) = c.vault.revoker_approle();
    let login = json!({"role_id": role_id, "secret_id": secret_id});
    let bad = json!({"role_id": role_id, "secret_id": "x"});
    assert_eq!(
        c.as_token(None, "POST", "auth/approle/login", bad),
        (400, json!({"errors": ["invalid role or secret ID"]}))
    );
    let enter = |c: &mut Client| {
        let (status, body) = c.as_token(None, "POST", "auth/approle/login", login.clone());
        assert_eq!(
            (status, &body["auth"]["lease_duration"]),
            (200, &json!(1200))
        );
        let text = |name: &str| body["auth"][name].as_str().unwrap().to_owned();
        (text("client_token"), text("accessor"))
    };
    let alive = |c: &mut Client, token: &str| {
        c.as_token(Some(token), "GET", "auth/token/lookup-self", Value::Null)
            .0
            == 200
    };

    let (token, _) = enter(&mut c);
    c.now_ms += 19 * 60_000;
    assert!(alive(&mut c, &token));
    let (status, body) = c.as_token(Some(&token), "POST", "auth/token/renew-self", json!({}));
    assert_eq!(
        (status, &body["auth"]["lease_duration"]),
        (200, &json!(1200))
    );
    c.now_ms += 21 * 60_000;
    assert!(!alive(&mut c, &token), "a token outlived its TTL");

    let (token, _) = enter(&mut c);
    assert_eq!(
        c.as_token(Some(&token), "POST", "auth/token/revoke-self", json!({}))
            .0,
        204
    );
    assert!(!alive(&mut c, &token));

    let (token, accessor) = enter(&mut c);
    assert_eq!(
        c.call(
            "POST",
            "auth/token/revoke-accessor",
            json!({"accessor": accessor})
        )
        .0,
        204
    );
    assert!(!alive(&mut c, &token));
    let (status, body) = c.call(
        "POST",
        "auth/token/revoke-accessor",
        json!({"accessor": accessor}),
    );
    assert_eq!(
        (status, &body["warnings"][0]),
        (200, &json!("No token found with this accessor"))
    );

    let (token, _) = enter(&mut c);
    let (_, body) = c.call("LIST", "sys/leases/lookup/auth/approle/login", Value::Null);
    let lease = format!(
        "auth/approle/login/{}",
        body["data"]["keys"][0].as_str().unwrap()
    );
    assert_eq!(
        c.call("POST", "sys/leases/lookup", json!({"lease_id": lease}))
            .0,
        200
    );
    assert_eq!(
        c.call(
            "PUT",
            "sys/leases/revoke-prefix/auth/approle/login",
            json!({"sync": true})
        )
        .0,
        204
    );
    assert!(!alive(&mut c, &token));
    assert_eq!(
        c.call("POST", "sys/leases/lookup", json!({"lease_id": lease}))
            .0,
        400
    );
    assert_eq!(
        c.get("auth/token/lookup-self").0,
        200,
        "the prefix took a token outside it"
    );
}

#[test]
fn sealed_it_answers_only_that_it_is_sealed() {
    let mut c = Client::new();
    c.vault.set_sealed(true);
    assert_eq!(
        c.get("kv/data/trading/freqtrade-1"),
        (503, json!({"errors": ["Vault is sealed"]}))
    );
    assert_eq!(c.as_token(None, "GET", "sys/health", Value::Null).0, 503);
    assert_eq!(
        c.as_token(None, "GET", "sys/seal-status", Value::Null).1["sealed"],
        true
    );
    assert_eq!(c.vault.fields("trading/freqtrade-1"), None);
    c.vault.set_sealed(false);
    assert_eq!(c.as_token(None, "GET", "sys/health", Value::Null).0, 200);
    assert_eq!(c.get("kv/data/trading/freqtrade-1").0, 200);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let mut c = Client::new();
    assert_eq!(
        c.call("POST", "kv/data/trading/x", json!({})),
        (400, json!({"errors": ["no data provided"]}))
    );
    assert_eq!(c.call("POST", "kv/destroy/trading/x", json!({})).0, 400);
    let token = c.token.clone();
    let call = VaultCall {
        method: "POST",
        path: "/v1/kv/data/trading/x",
        query: "",
        token: Some(&token),
        body: b"{bad",
    };
    let (status, body) = c.vault.call(T0, &call);
    assert_eq!(status, 400);
    assert!(
        body.unwrap()["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("failed to decode JSON input")
    );
    assert_eq!(c.call("TRACE", "kv/data/trading/x", Value::Null).0, 405);
    assert_eq!(
        c.call("PATCH", "kv/data/trading/none", json!({"data": {"a": "b"}}))
            .0,
        404
    );
}
