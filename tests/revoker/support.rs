//! One helper for each thing that a test does: start the world and a revoker in it, touch, ask,
//! put a fault, end a process from outside.

use fusebox_authenticator::{Offer, SoftKey};
use fusebox_touch::{Action, Enrolment};
use fusebox_wire::operator::{KeyProof, Reply, Report, Request, Verdict, Wish};
use fusebox_wire::stop::{self, STOP, Stop, StopKind};
use fusebox_wire::{Component, Frames, Signed, connect};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(60);

fn program(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_BIN_EXE_fusebox-revoker")).parent();
    dir.unwrap().join(name)
}

/// The simulated world with a revoker in it.
pub struct Guard {
    pub dir: tempfile::TempDir,
    pub endpoints: Value,
    sim: Child,
    revoker: Option<Child>,
    breaker: Ed25519KeyPair,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.sim.kill();
        let _ = self.sim.wait();
        self.crash();
    }
}

impl Guard {
    /// Starts both and waits until the revoker answers.
    pub async fn start(sim_flags: &[&str]) -> Self {
        fusebox_daemon::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let mut sim = Command::new(program("fusebox-sim"))
            .args(["--print-endpoints", "--lifeline"])
            .args(sim_flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(sim.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let breaker = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let mut guard = Self {
            dir,
            endpoints: serde_json::from_str(&line).unwrap(),
            sim,
            revoker: None,
            breaker,
        };
        guard.configure();
        guard.enrol();
        guard.resume().await;
        guard
    }

    /// Starts the revoker (again) and waits until it answers with every key controlled.
    pub async fn resume(&mut self) {
        let revoker = Command::new(program("fusebox-revoker"))
            .arg("--config")
            .arg(self.path("revoker.toml"))
            .arg("--lifeline")
            .stdin(Stdio::piped())
            .stderr(std::fs::File::create(self.path("revoker.log")).unwrap())
            .spawn()
            .unwrap();
        self.revoker = Some(revoker);
        let began = Instant::now();
        let socket = self.path("operator.sock");
        while connect(&socket, Component::Console, Component::Revoker, None)
            .await
            .is_err()
        {
            assert!(began.elapsed() < LIMIT, "the revoker does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL from outside.
    pub fn crash(&mut self) {
        if let Some(mut revoker) = self.revoker.take() {
            let _ = revoker.kill();
            let _ = revoker.wait();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.path(&format!("{name}.secret"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        format!("file:{}", path.display())
    }

    fn configure(&self) {
        let e = &self.endpoints;
        let token = |at: &str| e.pointer(at).unwrap().as_str().unwrap().to_owned();
        let keys: Vec<&Value> = e["keys"].as_array().unwrap().iter().collect();
        let is_ours = |k: &&&Value| {
            let name = k["name"].as_str().unwrap();
            !name.starts_with("eye-") || name.starts_with("eye-revoker")
        };
        let declared: Vec<Value> = keys.iter().filter(is_ours).map(|k| self.key(k)).collect();
        let config = json!({
            "environment": "sim", "host_id": "guard-1", "manager": "manager",
            "state_dir": self.path("state"), "enrolments": self.path("enrolments.json"),
            "sockets": {"operator": self.path("operator.sock"), "breaker": self.path("breaker.sock")},
            "exchange": {"rest": [e["bybit"]["rest"]]},
            "vault": {"address": e["vault"], "token": self.secret("vault", &token("/vault_token"))},
            "kubernetes": {
                "address": e["kubernetes"], "namespace": "trading",
                "token": self.secret("kubernetes", &token("/kubernetes_tokens/revoker")),
                "secret": "freqtrade-keys", "external_secret": "freqtrade-keys",
            },
            "telegram": {
                "address": e["telegram"], "chat_id": "1001",
                "token": self.secret("telegram", &token("/telegram_token")),
            },
            "breaker": [{"account": "trading-1", "public_key": hex::encode(self.breaker.public_key().as_ref())}],
            "account": [{
                "name": "trading-1", "uid": "100001", "read_key": "eye-revoker-1",
                "cancel_key": "rescue-1", "deployment": "freqtrade",
            }],
            "key": declared,
            "limits": {"watch_ms": [300], "ladder_sample_ms": 10, "result_ms": 15_000},
        });
        let text = toml::to_string(&config).unwrap();
        std::fs::write(self.path("revoker.toml"), text).unwrap();
    }

    fn key(&self, key: &Value) -> Value {
        let name = key["name"].as_str().unwrap();
        let role = key["role"].as_str().unwrap();
        let mut declared = json!({"name": name, "role": role, "api_key": key["api_key"]});
        if role != "manage" {
            declared["account"] = "trading-1".into();
        }
        declared["secret"] = match role {
            "trade" | "move" => {
                declared["vault_path"] = format!("kv/trading/{name}").into();
                format!("vault:kv/trading/{name}#secret").into()
            }
            _ => self.secret(name, key["secret"].as_str().unwrap()).into(),
        };
        declared
    }

    fn enrol(&self) {
        let offer = SoftKey::create(&self.path("demo.key"))
            .unwrap()
            .offer()
            .unwrap();
        let enrolment = Enrolment {
            label: "demo".into(),
            application: offer.application,
            credential_id: offer.credential_id,
            public_key: offer.public_key,
            aaguid: String::new(),
            counter: 0,
            uv: true,
            actions: Action::ALL.to_vec(),
            device: "demo".into(),
            enrolled_ms: 0,
        };
        let text = serde_json::to_string(&[enrolment]).unwrap();
        std::fs::write(self.path("enrolments.json"), text).unwrap();
    }

    pub async fn operator(&self) -> Frames<UnixStream> {
        let socket = self.path("operator.sock");
        connect(&socket, Component::Console, Component::Revoker, None)
            .await
            .unwrap()
    }

    pub async fn ask(&self, request: &Request) -> Reply {
        let mut frames = self.operator().await;
        frames.send(request).await.unwrap();
        frames.recv().await.unwrap()
    }

    /// Asks for a challenge and touches the demo key: the request that will start the run.
    pub async fn touch(&self, frames: &mut Frames<UnixStream>, wish: Wish) -> Request {
        frames.send(&Request::Challenge { wish }).await.unwrap();
        let challenge = match frames.recv::<Reply>().await.unwrap() {
            Reply::Challenge(challenge) => challenge,
            other => panic!("no challenge: {other:?}"),
        };
        let offers: Vec<Offer> = challenge
            .credentials
            .iter()
            .map(|c| Offer {
                application: c.application,
                credential_id: c.id.clone(),
                public_key: c.public_key.clone(),
            })
            .collect();
        let mut key = SoftKey::open(&self.path("demo.key")).unwrap();
        Request::Execute {
            nonce: challenge.document.nonce,
            assertion: key.sign(&challenge.document, &offers).unwrap(),
        }
    }

    /// A wish from challenge to report.
    pub async fn run(&self, wish: Wish) -> Report {
        let mut frames = self.operator().await;
        let execute = self.touch(&mut frames, wish).await;
        frames.send(&execute).await.unwrap();
        report(&mut frames).await
    }

    /// The run that the record begins with.
    pub fn recorded_run(&self) -> Option<String> {
        self.record()
            .into_iter()
            .find(|row| row["event"] == "intent")
            .map(|row| row["run"].as_str().unwrap().to_owned())
    }

    /// The bodies of the intent log, as far as it is written.
    pub fn record(&self) -> Vec<Value> {
        let path = self.path("state").join("intents.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rows = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        rows.map(|row| serde_json::from_str(row["body"].as_str().unwrap()).unwrap())
            .collect()
    }

    /// Attaches to a run and waits for its report.
    pub async fn attach(&self, run: &str) -> Report {
        let mut frames = self.operator().await;
        let run = run.to_owned();
        frames.send(&Request::Attach { run }).await.unwrap();
        report(&mut frames).await
    }

    /// Sends a stop request signed by the enrolled breaker (or by another key).
    pub async fn stop(&self, kind: StopKind, sequence: u64, forged: bool) -> stop::Reply {
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let signer = if forged { &other } else { &self.breaker };
        let stop = Stop {
            kind,
            account: "trading-1".into(),
            sequence,
            rung: "R4".into(),
            t_ms: 1,
            evidence: "nav 0.5".into(),
        };
        let request = Signed::sign(STOP, &stop, signer).unwrap();
        let socket = self.path("breaker.sock");
        let mut frames = connect(&socket, Component::Breaker, Component::Revoker, None)
            .await
            .unwrap();
        frames.send(&stop::Request::Stop { request }).await.unwrap();
        tokio::time::timeout(LIMIT, frames.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// Posts to the simulator's control API.
    pub async fn control(&self, what: &str, body: Value) -> Value {
        let base = self.endpoints["control"].as_str().unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{base}/{what}"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{what}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// Reads from the simulator's control API.
    pub async fn look(&self, what: &str) -> Value {
        let base = self.endpoints["control"].as_str().unwrap();
        let answer = reqwest::get(format!("{base}/{what}")).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// The simulator's log of requests to the exchange: method, path, key name, code.
    pub async fn log(&self) -> Vec<Call> {
        let log = self.look("log").await;
        let rows = log.as_array().or_else(|| log["log"].as_array()).unwrap();
        rows.iter()
            .filter(|row| row["service"] == "bybit")
            .map(|row| Call {
                path: row["path"].as_str().unwrap_or_default().to_owned(),
                key: row["key"].as_str().unwrap_or_default().to_owned(),
                code: row["code"].as_i64().unwrap_or(-1),
            })
            .collect()
    }
}

/// One request that the simulated exchange answered.
#[derive(Debug)]
pub struct Call {
    pub path: String,
    pub key: String,
    pub code: i64,
}

pub fn kill_wish() -> Wish {
    Wish::Kill {
        account: None,
        total: false,
        flatten: false,
        key_theft: false,
        reason: "test".into(),
    }
}

pub fn rotate_wish(key: &str) -> Wish {
    Wish::Rotate {
        keys: vec![key.into()],
        due: false,
        reason: "test".into(),
    }
}

/// Follows a run to its report.
pub async fn report(frames: &mut Frames<UnixStream>) -> Report {
    let follow = async {
        loop {
            match frames.recv::<Reply>().await.unwrap() {
                Reply::Result { report } => return serde_json::from_str(&report.body).unwrap(),
                Reply::Refused(refused) => panic!("{refused:?}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(LIMIT, follow).await.unwrap()
}

pub fn verdict(report: &Report, key: &str) -> Option<Verdict> {
    let found = report.keys.iter().find(|k| k.name.as_str() == key);
    found.map(|k| k.verdict)
}

/// Keys that a kill is about.
pub fn revocable(report: &Report) -> impl Iterator<Item = &KeyProof> {
    report.keys.iter().filter(|k| k.verdict != Verdict::Kept)
}

/// Waits for a condition in the outside.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
