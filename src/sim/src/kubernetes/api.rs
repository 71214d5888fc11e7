//! The API server's face: who asks, what for, and the answer in Kubernetes' own words.

use serde_json::{Map, Value, json};

use super::objects::{KINDS, Kind, KindInfo, name_of, selected, set_field, text};
use super::rbac::Account;
use super::{Cluster, NAMESPACE, controllers, merge_patch};

/// One HTTP request, without its framing.
#[derive(Debug, Clone, Default)]
pub(crate) struct ApiCall<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Decoded query parameters that matter: `labelSelector`, `fieldSelector`, `gracePeriodSeconds`.
    pub(crate) query: std::collections::BTreeMap<String, String>,
    /// What follows `Bearer `.
    pub(crate) token: Option<&'a str>,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// Status and JSON body.
pub(crate) type ApiAnswer = (u16, Value);

/// A resource that a path names.
struct Target {
    info: &'static KindInfo,
    name: String,
    subresource: String,
}

impl Target {
    /// `deployments/scale`, as rules name it.
    fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.info.plural.to_owned()
        } else {
            format!("{}/{}", self.info.plural, self.subresource)
        }
    }
}

impl Cluster {
    /// Answers one request; the controllers act later, in [`Cluster::tick`].
    pub(crate) fn call(&mut self, now_ms: i64, call: &ApiCall<'_>) -> ApiAnswer {
        let path = call.path.trim_end_matches('/');
        if matches!(path, "/healthz" | "/readyz" | "/livez") {
            return (200, json!("ok"));
        }
        let Some(account) = call.token.and_then(|token| self.account(token)) else {
            return failure(401, "Unauthorized", "Unauthorized", None);
        };
        if call.method == "GET"
            && let Some(document) = discovery(path)
        {
            return (200, document);
        }
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
            return review(account, call);
        }
        let Some((namespace, target)) = parse(path) else {
            return failure(
                404,
                "NotFound",
                "the server could not find the requested resource",
                None,
            );
        };
        let Some(verb) = verb(call.method, &target) else {
            return failure(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
                None,
            );
        };
        if namespace != NAMESPACE || !account.may(verb, &target.resource()) {
            return forbidden(account, verb, namespace, &target);
        }
        self.perform(verb, &target, call, now_ms)
    }

    fn perform(
        &mut self,
        verb: &str,
        target: &Target,
        call: &ApiCall<'_>,
        now_ms: i64,
    ) -> ApiAnswer {
        let kind = target.info.kind;
        if verb == "list" {
            return self.listing(target.info, call);
        }
        let Some(object) = self.objects.get(&(kind, target.name.clone())).cloned() else {
            return not_found(target);
        };
        match (verb, target.subresource.as_str()) {
            ("get", "scale") => (200, scale_of(&object)),
            ("get", "") => (200, object),
            ("patch" | "update", sub) => self.change(verb, sub, target, &object, call, now_ms),
            ("delete", "") => self.delete(target, object, call, now_ms),
            _ => not_found(target),
        }
    }

    fn listing(&self, info: &KindInfo, call: &ApiCall<'_>) -> ApiAnswer {
        let query = |name: &str| call.query.get(name).map(String::as_str).unwrap_or_default();
        let only = query("fieldSelector").strip_prefix("metadata.name=");
        let items: Vec<&Value> = self
            .list(info.kind)
            .filter(|object| selected(object, query("labelSelector")))
            .filter(|object| only.is_none_or(|name| name_of(object) == name))
            .collect();
        (
            200,
            json!({
                "kind": format!("{}List", info.name), "apiVersion": info.api_version,
                "metadata": {"resourceVersion": self.version.to_string()}, "items": items,
            }),
        )
    }

    fn change(
        &mut self,
        verb: &str,
        subresource: &str,
        target: &Target,
        object: &Value,
        call: &ApiCall<'_>,
        now_ms: i64,
    ) -> ApiAnswer {
        if verb == "patch" && !call.content_type.contains("merge-patch+json") {
            return failure(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/merge-patch+json, application/strategic-merge-patch+json",
                None,
            );
        }
        let body: Value = match serde_json::from_slice(call.body) {
            Ok(body) => body,
            Err(error) => {
                let text = format!("error decoding the body: {error}");
                return failure(400, "BadRequest", &text, None);
            }
        };
        let seen = text(&body, "/metadata/resourceVersion");
        if !seen.is_empty() && seen != text(object, "/metadata/resourceVersion") {
            return conflict(target);
        }
        let changed = if subresource == "scale" {
            scaled(object, &body)
        } else {
            patched(object, &body)
        };
        let changed = match changed {
            Ok(changed) => changed,
            Err(message) => return failure(422, "Invalid", &message, Some(details(target))),
        };
        let (kind, name) = (target.info.kind, target.name.as_str());
        if &changed != object {
            self.put(kind, name, changed);
            if kind == Kind::ExternalSecret {
                self.sync_soon(name, now_ms);
            }
        }
        let stored = self.objects.get(&(kind, name.to_owned())).unwrap_or(object);
        if subresource == "scale" {
            (200, scale_of(stored))
        } else {
            (200, stored.clone())
        }
    }

    fn delete(
        &mut self,
        target: &Target,
        object: Value,
        call: &ApiCall<'_>,
        now_ms: i64,
    ) -> ApiAnswer {
        let options: Value = serde_json::from_slice(call.body).unwrap_or(Value::Null);
        let grace_s = options
            .get("gracePeriodSeconds")
            .and_then(Value::as_i64)
            .or_else(|| call.query.get("gracePeriodSeconds")?.parse().ok());
        let name = &target.name;
        if target.info.kind == Kind::Pod {
            self.terminate(name, grace_s, now_ms);
            let after = self.objects.get(&(Kind::Pod, name.clone()));
            return (200, after.cloned().unwrap_or(object));
        }
        self.remove(target.info.kind, name);
        let uid = text(&object, "/metadata/uid");
        if target.info.kind == Kind::ExternalSecret {
            self.orphan(uid, now_ms);
        }
        let mut about = details(target);
        set_field(&mut about, "uid", json!(uid));
        (
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}),
        )
    }
}

/// The Deployment's replicas as `autoscaling/v1` shows them; a wish for zero is an absent field there.
fn scale_of(deployment: &Value) -> Value {
    let meta = |field: &str| deployment.pointer(&format!("/metadata/{field}"));
    let wanted = controllers::replicas(deployment);
    let spec = if wanted == 0 {
        json!({})
    } else {
        json!({"replicas": wanted})
    };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": spec,
        "status": {
            "replicas": deployment.pointer("/status/replicas").and_then(Value::as_u64).unwrap_or(0),
            "selector": format!("app={}", text(deployment, "/spec/selector/matchLabels/app")),
        },
    })
}

fn scaled(deployment: &Value, body: &Value) -> Result<Value, String> {
    let wanted = match body.pointer("/spec/replicas") {
        Some(value) => value.as_i64().filter(|n| *n >= 0).ok_or_else(|| {
            format!("Scale.autoscaling is invalid: spec.replicas: Invalid value: {value}: must be greater than or equal to 0")
        })?,
        // A whole Scale without the field (its zero value) asks for none; a patch without it changes nothing.
        None if body.get("spec").is_some() && body.get("kind").is_some() => 0,
        None => return Ok(deployment.clone()),
    };
    let mut changed = deployment.clone();
    merge_patch(&mut changed, &json!({"spec": {"replicas": wanted}}));
    Ok(with_generation(deployment, changed))
}

fn patched(object: &Value, patch: &Value) -> Result<Value, String> {
    let mut changed = object.clone();
    merge_patch(&mut changed, patch);
    for field in ["kind", "apiVersion", "status"] {
        let kept = object.get(field).cloned().unwrap_or(Value::Null);
        set_field(&mut changed, field, kept);
    }
    for field in ["name", "namespace", "uid"] {
        let pointer = format!("/metadata/{field}");
        if changed.pointer(&pointer) != object.pointer(&pointer) {
            return Err(format!(
                "metadata.{field}: Invalid value: field is immutable"
            ));
        }
    }
    if let Some(meta) = object.get("metadata")
        && let Some(version) = meta.get("resourceVersion")
    {
        super::objects::set_meta(&mut changed, "resourceVersion", version.clone());
    }
    Ok(with_generation(object, changed))
}

fn with_generation(before: &Value, mut after: Value) -> Value {
    if before.get("spec") != after.get("spec") {
        let generation = before
            .pointer("/metadata/generation")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        super::objects::set_meta(&mut after, "generation", json!(generation + 1));
    }
    after
}

/// Namespace and resource of a path, when the path names one.
fn parse(path: &str) -> Option<(&str, Target)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (api_version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return None,
    };
    let ["namespaces", namespace, plural, tail @ ..] = rest else {
        return None;
    };
    let info = KINDS
        .iter()
        .find(|info| info.plural == *plural && info.api_version == api_version)?;
    let (name, subresource) = match tail {
        [] => ("", ""),
        [name] => (*name, ""),
        [name, "scale"] if info.kind == Kind::Deployment => (*name, "scale"),
        _ => return None,
    };
    let target = Target {
        info,
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    };
    Some((namespace, target))
}

fn verb(method: &str, target: &Target) -> Option<&'static str> {
    let one = !target.name.is_empty();
    Some(match (method, one) {
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        ("POST", false) => "create",
        _ => return None,
    })
}

fn review(account: Account, call: &ApiCall<'_>) -> ApiAnswer {
    if call.content_type.contains("protobuf") {
        return failure(
            415,
            "UnsupportedMediaType",
            "only JSON reviews are understood here",
            None,
        );
    }
    let mut body: Value = serde_json::from_slice(call.body).unwrap_or(Value::Null);
    let field = |name: &str| text(&body, &format!("/spec/resourceAttributes/{name}")).to_owned();
    let resource = match field("subresource").as_str() {
        "" => field("resource"),
        sub => format!("{}/{sub}", field("resource")),
    };
    let allowed = field("namespace") == NAMESPACE && account.may(&field("verb"), &resource);
    let reason = if allowed {
        "RBAC: allowed by RoleBinding"
    } else {
        ""
    };
    set_field(&mut body, "kind", json!("SelfSubjectAccessReview"));
    set_field(&mut body, "apiVersion", json!("authorization.k8s.io/v1"));
    set_field(
        &mut body,
        "status",
        json!({"allowed": allowed, "reason": reason}),
    );
    (201, body)
}

fn discovery(path: &str) -> Option<Value> {
    let groups = ["apps", "external-secrets.io", "authorization.k8s.io"];
    Some(match path {
        "/version" => json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.0+k3s1", "gitCommit": "0", "gitTreeState": "clean",
            "buildDate": "2026-08-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
        }),
        "/api" => {
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
        }
        "/apis" => json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups.map(|name| {
                let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
                json!({"name": name, "versions": [version], "preferredVersion": version})
            }),
        }),
        _ => {
            let version = path
                .strip_prefix("/apis/")
                .or_else(|| path.strip_prefix("/api/"))?;
            resource_list(version)?
        }
    })
}

fn resource_list(version: &str) -> Option<Value> {
    let mut resources: Vec<Value> = Vec::new();
    for info in KINDS.iter().filter(|info| info.api_version == version) {
        resources.push(json!({
            "name": info.plural, "singularName": info.singular, "namespaced": true, "kind": info.name,
            "shortNames": info.short, "verbs": ["get", "list", "patch", "update", "delete"],
        }));
        if info.kind == Kind::Deployment {
            resources.push(json!({
                "name": "deployments/scale", "singularName": "", "namespaced": true, "kind": "Scale",
                "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
            }));
        }
    }
    if version == "authorization.k8s.io/v1" {
        resources.push(json!({
            "name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }));
    }
    if resources.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
    }))
}

fn details(target: &Target) -> Value {
    let mut about = Map::new();
    about.insert("name".into(), json!(target.name));
    if !target.info.group.is_empty() {
        about.insert("group".into(), json!(target.info.group));
    }
    about.insert("kind".into(), json!(target.info.plural));
    Value::Object(about)
}

fn not_found(target: &Target) -> ApiAnswer {
    let message = format!("{} \"{}\" not found", target.info.qualified(), target.name);
    failure(404, "NotFound", &message, Some(details(target)))
}

fn conflict(target: &Target) -> ApiAnswer {
    let message = format!(
        "Operation cannot be fulfilled on {} \"{}\": the object has been modified; \
         please apply your changes to the latest version and try again",
        target.info.qualified(),
        target.name
    );
    failure(409, "Conflict", &message, Some(details(target)))
}

fn forbidden(account: Account, verb: &str, namespace: &str, target: &Target) -> ApiAnswer {
    let named = if target.name.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", target.name)
    };
    let message = format!(
        "{}{named} is forbidden: User \"{}\" cannot {verb} resource \"{}\" in API group \"{}\" \
         in the namespace \"{namespace}\"",
        target.info.qualified(),
        account.user(),
        target.resource(),
        target.info.group,
    );
    failure(403, "Forbidden", &message, Some(details(target)))
}

fn failure(code: u16, reason: &str, message: &str, details: Option<Value>) -> ApiAnswer {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    if let Some(details) = details {
        set_field(&mut status, "details", details);
    }
    (code, status)
}
