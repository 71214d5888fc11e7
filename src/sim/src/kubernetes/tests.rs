use super::*;
use std::cell::RefCell;

const T0: i64 = 1_795_249_832_000;

/// A cluster with one bot, its Vault a table, and time that passes only when told.
struct World {
    cluster: Cluster,
    vault: RefCell<Fetched>,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let mut cluster = Cluster::new(7);
        cluster.add_bot("freqtrade", "freqtrade-keys", "trading/freqtrade-1", T0);
        let mut world = Self {
            cluster,
            vault: RefCell::new(key("k1")),
            now_ms: T0,
        };
        world.pass(1_000);
        world
    }

    fn pass(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            let vault = self.vault.borrow().clone();
            self.cluster.tick(self.now_ms, &|path| {
                assert_eq!(path, "trading/freqtrade-1");
                vault.clone()
            });
        }
    }

    fn call(&mut self, who: Account, method: &str, path: &str, body: Value) -> (u16, Value) {
        let token = self.cluster.token(who).to_owned();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = body.to_string();
        let call = ApiCall {
            method,
            path: &full(path),
            query: crate::http::parse_query(query),
            token: Some(&token),
            content_type: "application/merge-patch+json",
            body: if body == "null" { b"" } else { body.as_bytes() },
        };
        self.cluster.call(self.now_ms, &call)
    }

    fn revoker(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(Account::Revoker, method, path, body)
    }

    fn pods(&mut self) -> Vec<Value> {
        let (status, list) = self.revoker("GET", "pods?labelSelector=app%3Dfreqtrade", Value::Null);
        assert_eq!(status, 200);
        list["items"].as_array().unwrap().clone()
    }

    fn key(&self) -> Option<String> {
        Some(
            self.cluster
                .workload("freqtrade")?
                .env
                .get("api_key")?
                .clone(),
        )
    }
}

fn key(api_key: &str) -> Fetched {
    Fetched::Found(
        [("api_key", api_key), ("secret", "s")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    )
}

fn full(path: &str) -> String {
    let group = match path.split('/').next().unwrap_or_default() {
        "deployments" => "/apis/apps/v1",
        "externalsecrets" => "/apis/external-secrets.io/v1",
        "pods" | "secrets" => "/api/v1",
        _ => return path.to_owned(),
    };
    format!("{group}/namespaces/trading/{path}")
}

#[test]
fn a_deployment_makes_a_pod_that_runs_with_the_key_from_vault() {
    let mut w = World::new();
    let pods = w.pods();
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["status"]["phase"], "Running");
    assert_eq!(w.key().as_deref(), Some("k1"));
    let (_, deployment) = w.revoker("GET", "deployments/freqtrade", Value::Null);
    assert_eq!(deployment["status"]["readyReplicas"], 1);
    assert_eq!(
        deployment["status"]["observedGeneration"],
        deployment["metadata"]["generation"]
    );
}

#[test]
fn scaled_to_zero_the_pod_stays_listed_for_its_grace_though_no_replica_is_counted() {
    let mut w = World::new();
    let (status, scale) = w.call(
        Account::Breaker,
        "PATCH",
        "deployments/freqtrade/scale",
        json!({"spec": {"replicas": 0}}),
    );
    assert_eq!((status, &scale["spec"]), (200, &json!({})));
    w.pass(100);
    let (_, scale) = w.call(
        Account::Breaker,
        "GET",
        "deployments/freqtrade/scale",
        Value::Null,
    );
    assert_eq!(
        scale["status"]["replicas"], 0,
        "a terminating pod is not a replica"
    );
    w.pass(4_700);
    let pods = w.pods();
    assert_eq!(pods.len(), 1);
    assert!(pods[0]["metadata"]["deletionTimestamp"].is_string());
    assert!(w.cluster.workload("freqtrade").unwrap().terminating);
    w.pass(300);
    assert!(w.pods().is_empty());
    assert_eq!(w.cluster.workload("freqtrade"), None);
    w.pass(60_000);
    assert!(w.pods().is_empty(), "nothing scales it up again");
}

#[test]
fn a_pod_deleted_with_grace_zero_is_gone_at_once_and_a_second_delete_shortens_the_grace() {
    let mut w = World::new();
    w.revoker(
        "PATCH",
        "deployments/freqtrade/scale",
        json!({"spec": {"replicas": 0}}),
    );
    w.pass(100);
    let name = w.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let (status, _) = w.revoker(
        "DELETE",
        &format!("pods/{name}"),
        json!({"gracePeriodSeconds": 0}),
    );
    assert_eq!(status, 200);
    assert!(w.pods().is_empty());
    let (status, body) = w.revoker(
        "DELETE",
        &format!("pods/{name}?gracePeriodSeconds=0"),
        Value::Null,
    );
    assert_eq!((status, &body["reason"]), (404, &json!("NotFound")));
}

#[test]
fn a_deleted_pod_of_a_deployment_at_one_is_replaced() {
    let mut w = World::new();
    let name = w.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    w.revoker("DELETE", &format!("pods/{name}"), Value::Null);
    w.pass(1_000);
    assert_eq!(
        w.pods().len(),
        2,
        "the old one terminates while the new one runs"
    );
    let running = w.cluster.workload("freqtrade").unwrap();
    assert_ne!(running.pod, name);
    assert!(!running.terminating);
}

#[test]
fn the_restart_annotation_stops_the_old_pod_before_the_new_one_starts_on_the_new_key() {
    let mut w = World::new();
    let first = w.cluster.workload("freqtrade").unwrap().pod;
    *w.vault.borrow_mut() = key("k2");
    let (status, _) = w.revoker(
        "PATCH",
        "externalsecrets/freqtrade-keys",
        json!({"metadata": {"annotations": {"force-sync": "1"}}}),
    );
    assert_eq!(status, 200);
    w.pass(300);
    assert_eq!(
        w.key().as_deref(),
        Some("k1"),
        "a running process keeps its environment"
    );
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {
        "kubectl.kubernetes.io/restartedAt": "2026-11-21T08:00:00Z"}}}}});
    let (status, deployment) = w.revoker("PATCH", "deployments/freqtrade", restart);
    assert_eq!(
        (status, &deployment["metadata"]["generation"]),
        (200, &json!(2))
    );
    for _ in 0..120 {
        w.pass(100);
        assert!(w.pods().len() <= 1, "Recreate never runs two");
    }
    let second = w.cluster.workload("freqtrade").unwrap();
    assert_ne!(second.pod, first);
    assert_eq!(w.key().as_deref(), Some("k2"));
}

#[test]
fn the_secret_survives_a_gone_record_comes_back_when_deleted_and_goes_with_its_owner() {
    let mut w = World::new();
    *w.vault.borrow_mut() = Fetched::Absent;
    w.revoker(
        "PATCH",
        "externalsecrets/freqtrade-keys",
        json!({"metadata": {"annotations": {"force-sync": "2"}}}),
    );
    w.pass(300);
    let (_, external) = w.revoker("GET", "externalsecrets/freqtrade-keys", Value::Null);
    assert_eq!(
        external["status"]["conditions"][0]["reason"],
        "SecretSyncedError"
    );
    assert_eq!(
        w.revoker("GET", "secrets/freqtrade-keys", Value::Null).0,
        200,
        "deletionPolicy is Retain"
    );

    *w.vault.borrow_mut() = key("k1");
    w.pass(6_000);
    assert_eq!(
        w.revoker("DELETE", "secrets/freqtrade-keys", Value::Null).0,
        200
    );
    assert_eq!(
        w.revoker("GET", "secrets/freqtrade-keys", Value::Null).0,
        404
    );
    w.pass(500);
    assert_eq!(
        w.revoker("GET", "secrets/freqtrade-keys", Value::Null).0,
        200,
        "the operator makes it again"
    );

    let (status, answer) = w.revoker("DELETE", "externalsecrets/freqtrade-keys", Value::Null);
    assert_eq!((status, &answer["status"]), (200, &json!("Success")));
    w.pass(500);
    assert_eq!(
        w.revoker("GET", "secrets/freqtrade-keys", Value::Null).0,
        404,
        "an owned Secret is collected"
    );
}

#[test]
fn without_its_secret_a_pod_does_not_start() {
    let mut w = World::new();
    w.revoker("DELETE", "externalsecrets/freqtrade-keys", Value::Null);
    w.revoker(
        "PATCH",
        "deployments/freqtrade/scale",
        json!({"spec": {"replicas": 0}}),
    );
    w.pass(6_000);
    w.revoker(
        "PATCH",
        "deployments/freqtrade/scale",
        json!({"spec": {"replicas": 1}}),
    );
    w.pass(2_000);
    let pods = w.pods();
    assert_eq!(pods[0]["status"]["phase"], "Pending");
    assert_eq!(
        pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "CreateContainerConfigError"
    );
    assert_eq!(w.cluster.workload("freqtrade"), None);
}

#[test]
fn each_token_may_do_what_its_rules_say_and_no_more() {
    let mut w = World::new();
    let pod = format!("pods/{}", w.pods()[0]["metadata"]["name"].as_str().unwrap());
    for (method, path, breaker, revoker) in [
        ("GET", "deployments/freqtrade", 403, 200),
        ("GET", "deployments/freqtrade/scale", 200, 200),
        ("GET", "pods", 200, 200),
        ("GET", "secrets/freqtrade-keys", 403, 200),
        ("GET", "secrets", 403, 200),
        ("DELETE", pod.as_str(), 403, 200),
        ("DELETE", "secrets/freqtrade-keys", 403, 200),
        ("DELETE", "deployments/freqtrade", 403, 403),
        ("POST", "secrets", 403, 403),
        ("DELETE", "pods", 403, 403),
        ("GET", "/api/v1/namespaces/kube-system/secrets", 403, 403),
        ("GET", "/apis/batch/v1/namespaces/trading/jobs", 404, 404),
    ] {
        assert_eq!(
            w.call(Account::Breaker, method, path, Value::Null).0,
            breaker,
            "breaker {method} {path}"
        );
        assert_eq!(
            w.revoker(method, path, Value::Null).0,
            revoker,
            "revoker {method} {path}"
        );
    }
    let (_, status) = w.call(
        Account::Breaker,
        "GET",
        "secrets/freqtrade-keys",
        Value::Null,
    );
    assert_eq!(status["kind"], "Status");
    assert_eq!(
        status["message"],
        "secrets \"freqtrade-keys\" is forbidden: User \"system:serviceaccount:trading:fusebox-breaker\" cannot get \
         resource \"secrets\" in API group \"\" in the namespace \"trading\""
    );
    let call = ApiCall {
        method: "GET",
        path: "/version",
        token: Some("guessed"),
        ..ApiCall::default()
    };
    assert_eq!(w.cluster.call(T0, &call).0, 401);
}

#[test]
fn an_access_review_agrees_with_the_rules() {
    let mut w = World::new();
    let ask = |verb: &str, resource: &str, sub: &str| {
        json!({"spec": {"resourceAttributes": {
            "namespace": "trading", "verb": verb, "resource": resource, "subresource": sub}}})
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (status, body) = w.call(
        Account::Breaker,
        "POST",
        path,
        ask("patch", "deployments", "scale"),
    );
    assert_eq!((status, &body["status"]["allowed"]), (201, &json!(true)));
    let (_, body) = w.call(Account::Breaker, "POST", path, ask("delete", "pods", ""));
    assert_eq!(body["status"]["allowed"], false);
}

#[test]
fn a_change_to_an_old_version_conflicts_and_a_wrong_one_is_refused() {
    let mut w = World::new();
    let (_, mut scale) = w.revoker("GET", "deployments/freqtrade/scale", Value::Null);
    w.revoker(
        "PATCH",
        "deployments/freqtrade",
        json!({"metadata": {"annotations": {"a": "b"}}}),
    );
    let (status, body) = w.revoker("PUT", "deployments/freqtrade/scale", scale.clone());
    assert_eq!((status, &body["reason"]), (409, &json!("Conflict")));
    scale["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    scale["spec"] = json!({});
    let (status, body) = w.revoker("PUT", "deployments/freqtrade/scale", scale);
    assert_eq!(
        (status, &body["spec"]),
        (200, &json!({})),
        "a Scale without replicas asks for none"
    );
    let wrong = json!({"spec": {"replicas": -1}});
    assert_eq!(
        w.revoker("PATCH", "deployments/freqtrade/scale", wrong).0,
        422
    );
    assert_eq!(
        w.revoker(
            "PATCH",
            "deployments/freqtrade",
            json!({"metadata": {"name": "x"}})
        )
        .0,
        422
    );
    assert_eq!(
        w.revoker(
            "PATCH",
            "deployments/none/scale",
            json!({"spec": {"replicas": 0}})
        )
        .0,
        404
    );
}
