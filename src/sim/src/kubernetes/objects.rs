//! The kinds of objects, the shapes they start with, and small readers of their JSON.
//!
//! Objects are kept as JSON, as the API server does, so that a patch to any field works; readers take the few fields
//! that the controllers act on and treat what is missing or of another type as absent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::NAMESPACE;
use crate::ids::rfc3339_s;

/// The kinds served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Deployment,
    Pod,
    Secret,
    ExternalSecret,
}

/// How a kind appears in URLs and documents.
pub(super) struct KindInfo {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) api_version: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static [&'static str],
}

/// One row for each kind: URLs, discovery and error texts are made from it.
pub(super) const KINDS: [KindInfo; 4] = [
    KindInfo {
        kind: Kind::Deployment,
        name: "Deployment",
        group: "apps",
        api_version: "apps/v1",
        plural: "deployments",
        singular: "deployment",
        short: &["deploy"],
    },
    KindInfo {
        kind: Kind::Pod,
        name: "Pod",
        group: "",
        api_version: "v1",
        plural: "pods",
        singular: "pod",
        short: &["po"],
    },
    KindInfo {
        kind: Kind::Secret,
        name: "Secret",
        group: "",
        api_version: "v1",
        plural: "secrets",
        singular: "secret",
        short: &[],
    },
    KindInfo {
        kind: Kind::ExternalSecret,
        name: "ExternalSecret",
        group: "external-secrets.io",
        api_version: "external-secrets.io/v1",
        plural: "externalsecrets",
        singular: "externalsecret",
        short: &["es"],
    },
];

impl KindInfo {
    /// `deployments.apps`, as error texts name a resource.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// A Deployment of one bot: it reads its key from `secret` and gets `grace_s` to stop.
pub(super) fn deployment(name: &str, secret: &str, grace_s: u64) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"deployment.kubernetes.io/revision": "1"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [{
                        "name": "freqtrade", "image": "freqtradeorg/freqtrade:2026.9",
                        "args": ["trade", "--db-url", "sqlite:////freqtrade/user_data/tradesv3.sqlite"],
                        "envFrom": [{"secretRef": {"name": secret}}],
                        "ports": [{"name": "api", "containerPort": 8080, "protocol": "TCP"}],
                        "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
                    }],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": grace_s,
                    "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                },
            },
        },
        "status": {},
    })
}

/// An ExternalSecret that copies `kv/<key>` of Vault into the Secret of the same name, with the operator's defaults.
pub(super) fn external_secret(name: &str, key: &str) -> Value {
    json!({
        "kind": "ExternalSecret", "apiVersion": "external-secrets.io/v1",
        "metadata": {"name": name},
        "spec": {
            "refreshInterval": "1h0m0s",
            "secretStoreRef": {"name": "vault-backend", "kind": "SecretStore"},
            "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "dataFrom": [{"extract": {"key": key, "conversionStrategy": "Default", "decodingStrategy": "None"}}],
        },
        "status": {},
    })
}

/// The Secret that `owner` (an ExternalSecret) makes of `fields`.
pub(super) fn secret(
    name: &str,
    fields: &BTreeMap<String, String>,
    owner: Option<&Value>,
) -> Value {
    let data: Map<String, Value> = fields
        .iter()
        .map(|(field, value)| (field.clone(), json!(STANDARD.encode(value))))
        .collect();
    let owners = owner.map(|owner| {
        json!([{
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": name_of(owner),
            "uid": text(owner, "/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
        }])
    });
    json!({
        "kind": "Secret", "apiVersion": "v1",
        "metadata": {
            "name": name, "ownerReferences": owners.unwrap_or(json!([])),
            "labels": {"reconcile.external-secrets.io/managed": "true"},
        },
        "data": data, "type": "Opaque",
    })
}

/// A Pod of `deployment`, not yet started.
pub(super) fn pod(name: &str, deployment: &Value, hash: &str, now_ms: i64) -> Value {
    let app = name_of(deployment);
    let template = |pointer: &str| deployment.pointer(pointer).cloned().unwrap_or(json!({}));
    let mut labels = template("/spec/template/metadata/labels");
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("pod-template-hash".into(), json!(hash));
    }
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "generateName": format!("{app}-{hash}-"), "labels": labels,
            "annotations": template("/spec/template/metadata/annotations"),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-{hash}"),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": template("/spec/template/spec"),
        "status": {
            "phase": "Pending", "qosClass": "BestEffort",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339_s(now_ms)}],
        },
    })
}

/// The text at a JSON pointer, or nothing.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object's name.
pub(super) fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Whether deletion has begun.
pub(super) fn terminating(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Sets a field of `metadata`.
pub(super) fn set_meta(object: &mut Value, field: &str, value: Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert(field.to_owned(), value);
    }
}

/// Sets a top-level field.
pub(super) fn set_field(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// The decoded fields of a Secret; what is not base64 of text is left out.
pub(super) fn decoded(secret: &Value) -> BTreeMap<String, String> {
    secret
        .get("data")
        .and_then(Value::as_object)
        .map(|data| {
            data.iter()
                .filter_map(|(field, value)| {
                    let raw = STANDARD.decode(value.as_str()?).ok()?;
                    Some((field.clone(), String::from_utf8(raw).ok()?))
                })
                .collect()
        })
        .unwrap_or_default()
}

/// Whether an object's labels satisfy `a=b,c==d,e!=f,g` (empty: everything).
pub(super) fn selected(object: &Value, selector: &str) -> bool {
    let label = |name: &str| {
        object
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(name))
            .and_then(Value::as_str)
    };
    selector
        .split(',')
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .all(|term| {
            if let Some((name, wanted)) = term.split_once("!=") {
                label(name.trim()) != Some(wanted.trim())
            } else if let Some((name, wanted)) = term.split_once('=') {
                label(name.trim()) == Some(wanted.trim_start_matches('=').trim())
            } else {
                label(term).is_some()
            }
        })
}

/// Name, namespace, uid and so on of a fresh object.
pub(super) fn stamp(object: &mut Value, uid: &str, now_ms: i64) {
    set_meta(object, "namespace", json!(NAMESPACE));
    set_meta(object, "uid", json!(uid));
    set_meta(object, "creationTimestamp", json!(rfc3339_s(now_ms)));
    set_meta(object, "generation", json!(1));
}
