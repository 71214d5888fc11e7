//! The cluster: the scale of one Deployment, and its pods. The only number that is ever written
//! is zero; there is no way to write another.

use super::{client, exchange};
use crate::plan::Outcome;
use crate::{Error, config};
use fusebox_custody::Secret;
use serde_json::{Value, json};

/// A client of one Deployment.
pub(crate) struct Cluster {
    http: reqwest::Client,
    scale_url: String,
    pods_url: String,
    token: Secret,
}

/// What the cluster shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterView {
    /// Replicas wanted.
    pub(crate) wanted: u64,
    /// Replicas running.
    pub(crate) running: u64,
    selector: String,
}

impl Cluster {
    pub(crate) fn new(config: &config::Kubernetes, token: Secret) -> Result<Self, Error> {
        let pem = match &config.ca_file {
            Some(path) => Some(
                std::fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?,
            ),
            None => None,
        };
        let base = config.url.trim_end_matches('/');
        let (namespace, name) = (&config.namespace, &config.deployment);
        Ok(Self {
            http: client("the cluster", pem.as_deref())?,
            scale_url: format!(
                "{base}/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"
            ),
            pods_url: format!("{base}/api/v1/namespaces/{namespace}/pods"),
            token,
        })
    }

    /// Replicas wanted and running.
    pub(crate) async fn view(&self) -> Result<ClusterView, String> {
        match exchange(self.authorised(self.http.get(&self.scale_url))).await? {
            (200, scale) => read_scale(&scale),
            (status, answer) => Err(refusal(status, &answer)),
        }
    }

    /// Wants zero replicas, and looks whether it is so.
    pub(crate) async fn scale_to_zero(&self) -> Outcome {
        let patch = json!({"spec": {"replicas": 0}});
        let request = self
            .http
            .patch(&self.scale_url)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string());
        let run = async {
            match exchange(self.authorised(request)).await? {
                (200, _) => self.view().await,
                (status, answer) => Err(refusal(status, &answer)),
            }
        };
        match run.await {
            Ok(view) if view.wanted == 0 => Outcome::Done("0 replicas wanted".to_owned()),
            Ok(view) => Outcome::Again(format!(
                "the cluster says yes and still wants {} replicas",
                view.wanted
            )),
            Err(why) => Outcome::Again(why),
        }
    }

    /// Whether no pod is listed, terminating ones included (K13).
    pub(crate) async fn no_pods(&self) -> Outcome {
        let run = async {
            let selector = self.view().await?.selector;
            if selector.is_empty() {
                return Err("the scale names no selector".to_owned());
            }
            let url = format!(
                "{}?labelSelector={}",
                self.pods_url,
                selector.replace('=', "%3D").replace(',', "%2C")
            );
            match exchange(self.authorised(self.http.get(url))).await? {
                (200, list) => list
                    .get("items")
                    .and_then(Value::as_array)
                    .map(Vec::len)
                    .ok_or_else(|| "the list of pods has no items".to_owned()),
                (status, answer) => Err(refusal(status, &answer)),
            }
        };
        match run.await {
            Ok(0) => Outcome::Done("no pod listed".to_owned()),
            Ok(count) => Outcome::Again(format!("{count} pods listed")),
            Err(why) => Outcome::Again(why),
        }
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(self.token.expose())
    }
}

/// A wish for zero is an absent field in `autoscaling/v1`; so anything that is not plainly a scale
/// must be refused, or an empty answer would read as zero.
fn read_scale(scale: &Value) -> Result<ClusterView, String> {
    let kind = scale.get("kind").and_then(Value::as_str);
    if kind != Some("Scale") || !scale.get("spec").is_some_and(Value::is_object) {
        return Err("the cluster's answer is not a scale".to_owned());
    }
    let count = |pointer| scale.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Ok(ClusterView {
        wanted: count("/spec/replicas"),
        running: count("/status/replicas"),
        selector: scale
            .pointer("/status/selector")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    })
}

fn refusal(status: u16, answer: &Value) -> String {
    let words = answer
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    fusebox_domain::clean_line(&format!("the cluster answered HTTP {status}: {words}"), 160)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_an_absent_field_and_an_empty_answer_is_not_zero() {
        let scale = json!({"kind": "Scale", "spec": {},
            "status": {"replicas": 1, "selector": "app=freqtrade"}});
        let view = read_scale(&scale).unwrap();
        assert_eq!((view.wanted, view.running), (0, 1));
        assert_eq!(view.selector, "app=freqtrade");
        let two = json!({"kind": "Scale", "spec": {"replicas": 2}});
        assert_eq!(read_scale(&two).unwrap().wanted, 2);
        for other in [json!({}), json!({"kind": "Status", "spec": {}}), json!([])] {
            assert!(read_scale(&other).is_err());
        }
    }
}
