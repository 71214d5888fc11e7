//! The calls that change something in Kubernetes: scale to zero, delete pods and secrets, refresh
//! and restart after a rotation. It never scales up.

use crate::told::{Answer, Told, ask};
use fusebox_custody::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const CALL_LIMIT: Duration = Duration::from_secs(3);
const EXTERNAL_SECRETS: &str = "apis/external-secrets.io/v1";

pub(crate) struct Cluster {
    http: reqwest::Client,
    address: String,
    token: Secret,
    namespace: String,
}

impl Cluster {
    pub(crate) fn new(
        address: &str,
        token: Secret,
        namespace: &str,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(CALL_LIMIT)
                .no_proxy()
                .build()?,
            address: address.trim_end_matches('/').to_owned(),
            token,
            namespace: namespace.to_owned(),
        })
    }

    /// Scales a Deployment to zero and deletes its pods without grace. Scaling alone leaves the
    /// bot 30 s to trade on (K13).
    pub(crate) async fn stop(&self, deployment: &str) -> Told {
        let scale = format!("deployments/{deployment}/scale");
        let patch = json!({"spec": {"replicas": 0}});
        let (scaled, _) = self
            .call(Method::PATCH, &self.apps(&scale), Some(&patch))
            .await;
        if !matches!(scaled, Told::Yes) {
            return scaled;
        }
        match self.pods(deployment).await {
            Ok(pods) => {
                let deletions = pods.iter().map(|pod| self.delete_pod(pod));
                futures_util::future::join_all(deletions).await;
                Told::Yes
            }
            Err(told) => told,
        }
    }

    /// Names of all pods of a Deployment, terminating ones included.
    pub(crate) async fn pods(&self, deployment: &str) -> Result<Vec<String>, Told> {
        let scale = format!("deployments/{deployment}/scale");
        let (told, scale) = self.call(Method::GET, &self.apps(&scale), None).await;
        let selector = match (told, scale.pointer("/status/selector")) {
            (Told::Yes, Some(Value::String(selector))) => selector.clone(),
            (Told::Yes, _) => return Err(Told::Unknown("the scale names no selector".to_owned())),
            (other, _) => return Err(other),
        };
        let path = format!(
            "{}?labelSelector={}",
            self.core("pods"),
            selector.replace('=', "%3D").replace(',', "%2C")
        );
        let (told, list) = self.call(Method::GET, &path, None).await;
        let items = list.get("items").and_then(Value::as_array);
        match (told, items) {
            (Told::Yes, Some(items)) => Ok(items
                .iter()
                .filter_map(|pod| pod.pointer("/metadata/name")?.as_str())
                .map(str::to_owned)
                .collect()),
            (Told::Yes, None) => Err(Told::Unknown("the list of pods has no items".to_owned())),
            (other, _) => Err(other),
        }
    }

    async fn delete_pod(&self, pod: &str) -> Told {
        let path = self.core(&format!("pods/{pod}"));
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        self.call(Method::DELETE, &path, Some(&now)).await.0
    }

    /// Deletes a Secret and looks whether it is gone.
    pub(crate) async fn destroy_secret(&self, name: &str) -> Told {
        self.destroy(&self.core(&format!("secrets/{name}"))).await
    }

    /// Deletes an ExternalSecret and looks whether it is gone.
    pub(crate) async fn destroy_external_secret(&self, name: &str) -> Told {
        self.destroy(&self.external(name)).await
    }

    async fn destroy(&self, path: &str) -> Told {
        match self.call(Method::DELETE, path, None).await.0 {
            Told::Yes | Told::Absent => {}
            other => return other,
        }
        match self.call(Method::GET, path, None).await.0 {
            Told::Absent => Told::Absent,
            Told::Yes => Told::No("still there after its deletion was confirmed".to_owned()),
            other => other,
        }
    }

    /// Asks the operator of ExternalSecrets to fetch now (annotation `force-sync`).
    pub(crate) async fn refresh(&self, external_secret: &str, mark: &str) -> Told {
        let patch = json!({"metadata": {"annotations": {"force-sync": mark}}});
        self.call(Method::PATCH, &self.external(external_secret), Some(&patch))
            .await
            .0
    }

    /// Restarts a Deployment the way `kubectl rollout restart` does.
    pub(crate) async fn restart(&self, deployment: &str, mark: &str) -> Told {
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": mark});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let path = self.apps(&format!("deployments/{deployment}"));
        self.call(Method::PATCH, &path, Some(&patch)).await.0
    }

    /// Wanted replicas, and how many of the newest template are ready: 0 while the controller has
    /// not seen the last change.
    pub(crate) async fn replicas(&self, deployment: &str) -> Result<(u64, u64), Told> {
        let path = self.apps(&format!("deployments/{deployment}"));
        let (told, object) = self.call(Method::GET, &path, None).await;
        let number = |at: &str| object.pointer(at).and_then(Value::as_u64).unwrap_or(0);
        match told {
            Told::Yes => {
                let seen = number("/status/observedGeneration") >= number("/metadata/generation");
                let ready = number("/status/updatedReplicas").min(number("/status/readyReplicas"));
                // A pod of the old template would be on the old key.
                let only_new = number("/status/replicas") <= number("/status/updatedReplicas");
                let ready = if seen && only_new { ready } else { 0 };
                Ok((number("/spec/replicas"), ready))
            }
            other => Err(other),
        }
    }

    fn apps(&self, rest: &str) -> String {
        format!("apis/apps/v1/namespaces/{}/{rest}", self.namespace)
    }

    fn core(&self, rest: &str) -> String {
        format!("api/v1/namespaces/{}/{rest}", self.namespace)
    }

    fn external(&self, name: &str) -> String {
        let namespace = &self.namespace;
        format!("{EXTERNAL_SECRETS}/namespaces/{namespace}/externalsecrets/{name}")
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (Told, Value) {
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = self
            .http
            .request(method, format!("{}/{path}", self.address))
            .header("Authorization", format!("Bearer {}", self.token.expose()));
        if let Some(body) = body {
            request = request.header("Content-Type", kind).body(body.to_string());
        }
        let Answer {
            status,
            words,
            body,
        } = match ask(request, "/message").await {
            Ok(answer) => answer,
            Err(why) => return (Told::Unknown(why), Value::Null),
        };
        let told = match status {
            200..=299 => Told::Yes,
            404 => Told::Absent,
            409 | 429 | 500..=599 => Told::Unknown(words),
            _ => Told::No(words),
        };
        (told, body)
    }
}
