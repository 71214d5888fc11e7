//! The calls that change something in Vault: destroy, write, revoke leases. Reading is custody's.

use crate::told::{Answer, Told, ask};
use fusebox_custody::Secret;
use fusebox_domain::ApiKeyId;
use serde_json::{Value, json};
use std::time::Duration;

const CALL_LIMIT: Duration = Duration::from_secs(3);

pub(crate) struct Vault {
    http: reqwest::Client,
    address: String,
    token: Secret,
}

impl Vault {
    pub(crate) fn new(address: &str, token: Secret) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(CALL_LIMIT)
                .no_proxy()
                .build()?,
            address: address.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Deletes every version and the metadata of `mount/path`, then looks whether it is gone.
    pub(crate) async fn destroy(&self, path: &str) -> Told {
        let Some((mount, rest)) = path.split_once('/') else {
            return Told::No(format!("{path} is not mount/path"));
        };
        let metadata = format!("{mount}/metadata/{rest}");
        match self.call(reqwest::Method::DELETE, &metadata, None).await.0 {
            Told::Yes | Told::Absent => {}
            other => return other,
        }
        match self.call(reqwest::Method::GET, &metadata, None).await.0 {
            Told::Absent => Told::Absent,
            Told::Yes => Told::No("still there after its deletion was confirmed".to_owned()),
            other => other,
        }
    }

    /// Revokes every lease under a prefix.
    pub(crate) async fn revoke_prefix(&self, prefix: &str) -> Told {
        let path = format!("sys/leases/revoke-prefix/{prefix}");
        self.call(reqwest::Method::PUT, &path, Some(&json!({})))
            .await
            .0
    }

    /// Writes a key's two halves as the version after `version` (0: none yet).
    pub(crate) async fn write_key(
        &self,
        path: &str,
        version: u64,
        api_key: &str,
        secret: &Secret,
    ) -> Told {
        let Some((mount, rest)) = path.split_once('/') else {
            return Told::No(format!("{path} is not mount/path"));
        };
        let body = json!({
            "options": {"cas": version},
            "data": {"api_key": api_key, "secret": secret.expose()},
        });
        let data = format!("{mount}/data/{rest}");
        self.call(reqwest::Method::POST, &data, Some(&body)).await.0
    }

    /// The key in the version before the current one; `None` when there is none to be read.
    pub(crate) async fn previous_key(&self, path: &str) -> Option<(ApiKeyId, Secret)> {
        let (mount, rest) = path.split_once('/')?;
        let data = format!("{mount}/data/{rest}");
        let (_, current) = self.call(reqwest::Method::GET, &data, None).await;
        let version = current.pointer("/data/metadata/version")?.as_u64()?;
        let before = format!("{data}?version={}", version.checked_sub(1)?);
        let (_, old) = self.call(reqwest::Method::GET, &before, None).await;
        let field = |name: &str| Some(old.pointer("/data/data")?.get(name)?.as_str()?.to_owned());
        Some((
            ApiKeyId::new(field("api_key")?),
            Secret::new(field("secret")?),
        ))
    }

    /// Whether it answers and is not sealed.
    pub(crate) async fn health(&self) -> Told {
        self.call(reqwest::Method::GET, "auth/token/lookup-self", None)
            .await
            .0
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (Told, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/v1/{path}", self.address))
            .header("X-Vault-Token", self.token.expose());
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let Answer {
            status,
            words,
            body,
        } = match ask(request, "/errors/0").await {
            Ok(answer) => answer,
            Err(why) => return (Told::Unknown(why), Value::Null),
        };
        let told = match status {
            200..=299 => Told::Yes,
            404 => Told::Absent,
            // 503 is "sealed" or "standby": it may change by itself.
            500..=599 => Told::Unknown(words),
            _ => Told::No(words),
        };
        (told, body)
    }
}
