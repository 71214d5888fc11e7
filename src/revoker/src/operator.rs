//! `operator.sock`: the console asks. It may name accounts, keys and runs by their registry names
//! and carry a touch; it can never hand over a key, a path or an address.
//!
//! What may be said when is the table [`PERMITS`]; everything else is refused by name.

use crate::authorization::Authorization;
use crate::daemon::Revoker;
use crate::kill::outlook;
use crate::plan::Plan;
use crate::planner::{self, refused};
use crate::random;
use crate::runs;
use crate::world::now_ms;
use fusebox_notify::{Field, Level};
use fusebox_touch::{Assertion, Challenge, Nonce, Policy, Refusal, verify};
use fusebox_wire::operator::{
    self as wire, Credential, Device, Keys, Refused, RegisteredKey, Reply, Request, Status,
};
use fusebox_wire::{Component, Error, Frames, Listener, Peer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;

/// Consoles at once.
const CONNECTIONS: usize = 16;
/// Requests a connection may send at once, and how many more each second.
const BURST: f64 = 40.0;
const PER_SECOND: f64 = 20.0;

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is pending.
    Idle,
    /// A challenge was given and waits for its touch.
    Asked,
    /// Steps of a run are being sent.
    Watching,
}

/// Which request may come in which state (the idea is OpenSSH's monitor). A touch may come
/// without a pending challenge: sent again, it finds the run that it started (K10).
const PERMITS: &[(&str, &[State])] = &[
    ("status", &[State::Idle, State::Asked, State::Watching]),
    ("keys", &[State::Idle, State::Asked, State::Watching]),
    ("plan", &[State::Idle, State::Asked]),
    ("challenge", &[State::Idle, State::Asked]),
    ("execute", &[State::Idle, State::Asked]),
    ("attach", &[State::Idle, State::Asked]),
    ("cancel", &[State::Idle, State::Asked]),
];

fn word(request: &Request) -> &'static str {
    match request {
        Request::Status => "status",
        Request::Keys => "keys",
        Request::Plan { .. } => "plan",
        Request::Challenge { .. } => "challenge",
        Request::Execute { .. } => "execute",
        Request::Attach { .. } => "attach",
        Request::Cancel => "cancel",
    }
}

fn is_permitted(request: &Request, state: State) -> bool {
    let row = PERMITS.iter().find(|(name, _)| *name == word(request));
    row.is_some_and(|(_, states)| states.contains(&state))
}

/// Serves consoles until the listener fails for good.
pub(crate) async fn serve(revoker: Arc<Revoker>, listener: Listener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok(pending) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    tracing::warn!("operator.sock: too many connections, one was closed");
                    continue;
                };
                let revoker = revoker.clone();
                tokio::spawn(async move {
                    let ended = match pending.greet().await {
                        Ok((frames, peer)) => Conversation::new(revoker, peer, frames).run().await,
                        Err(error) => Err(error),
                    };
                    match ended {
                        Ok(()) | Err(Error::Closed) => {}
                        Err(error) => tracing::warn!(%error, "operator.sock"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "operator.sock");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One console: at most one pending challenge, at most one run watched.
struct Conversation {
    revoker: Arc<Revoker>,
    peer: Peer,
    frames: Frames<UnixStream>,
    pending: Option<(Challenge, Plan)>,
    watched: Option<broadcast::Receiver<Reply>>,
    tokens: f64,
    refilled: Instant,
}

#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack of its loop"
)]
enum Event {
    Asked(Result<Request, Error>),
    Changed(Result<Reply, broadcast::error::RecvError>),
}

impl Conversation {
    fn new(revoker: Arc<Revoker>, peer: Peer, frames: Frames<UnixStream>) -> Self {
        Self {
            revoker,
            peer,
            frames,
            pending: None,
            watched: None,
            tokens: BURST,
            refilled: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        loop {
            let event = tokio::select! {
                asked = self.frames.recv() => Event::Asked(asked),
                changed = next(&mut self.watched) => Event::Changed(changed),
            };
            match event {
                Event::Asked(Ok(request)) => self.answer(request).await?,
                Event::Asked(Err(error @ (Error::NotUnderstood(_) | Error::NotUtf8 { .. }))) => {
                    let reply = refused("unknown_message", error.to_string());
                    self.frames.send(&Reply::Refused(reply)).await?;
                    return Err(error);
                }
                Event::Asked(Err(error)) => return Err(error),
                Event::Changed(Ok(reply)) => self.forward(reply).await?,
                Event::Changed(Err(broadcast::error::RecvError::Lagged(missed))) => {
                    tracing::warn!(missed, "a console is too slow; it misses steps");
                }
                Event::Changed(Err(broadcast::error::RecvError::Closed)) => self.watched = None,
            }
        }
    }

    /// A result ends the watching; what comes after it is in the record.
    async fn forward(&mut self, reply: Reply) -> Result<(), Error> {
        if matches!(reply, Reply::Result { .. }) {
            self.watched = None;
        }
        self.frames.send(&reply).await
    }

    async fn answer(&mut self, request: Request) -> Result<(), Error> {
        let reply = match self.admit(&request) {
            Err(refusal) => Err(refusal),
            Ok(()) => match request {
                Request::Status => Ok(vec![Reply::Status(self.revoker.status())]),
                Request::Keys => Ok(vec![Reply::Keys(self.revoker.keys())]),
                Request::Plan { wish } => self.plan(&wish).await,
                Request::Challenge { wish } => self.challenge(&wish).await,
                Request::Execute { nonce, assertion } => self.execute(nonce, &assertion).await,
                Request::Attach { run } => self.attach(&run),
                Request::Cancel => {
                    self.pending = None;
                    Ok(vec![Reply::Cancelled])
                }
            },
        };
        let replies = reply.unwrap_or_else(|refusal| {
            tracing::warn!(uid = self.peer.uid, code = refusal.code, "refused");
            vec![Reply::Refused(refusal)]
        });
        for reply in replies {
            self.forward(reply).await?;
        }
        Ok(())
    }

    fn admit(&mut self, request: &Request) -> Result<(), Refused> {
        let elapsed = self.refilled.elapsed().as_secs_f64();
        self.refilled = Instant::now();
        self.tokens = (self.tokens + elapsed * PER_SECOND).min(BURST);
        if self.tokens < 1.0 {
            return Err(refused(
                "rate",
                "too many requests; nothing was done; slow down",
            ));
        }
        self.tokens -= 1.0;
        let state = match (&self.watched, &self.pending) {
            (Some(_), _) => State::Watching,
            (None, Some(_)) => State::Asked,
            (None, None) => State::Idle,
        };
        is_permitted(request, state).then_some(()).ok_or_else(|| {
            let message = format!(
                "{} cannot come now ({state:?}); nothing was done",
                word(request)
            );
            refused("not_now", message)
        })
    }

    async fn plan(&self, wish: &wire::Wish) -> Result<Vec<Reply>, Refused> {
        let plan = planner::plan(&self.revoker.world, wish).await?;
        Ok(vec![Reply::Plan(self.shown(&plan).await)])
    }

    /// The plan with what it will leave open, in numbers of now. They are not part of its hash.
    async fn shown(&self, plan: &Plan) -> wire::Plan {
        let mut view = plan.view();
        if let Plan::Contain(contain) = plan {
            let outlook = outlook(&self.revoker.world, contain).await;
            view.leaves.splice(0..0, outlook);
        }
        view
    }

    /// Bytes to sign for one plan; an older pending challenge of this console is forgotten.
    async fn challenge(&mut self, wish: &wire::Wish) -> Result<Vec<Reply>, Refused> {
        self.pending = None;
        let world = &self.revoker.world;
        let plan = planner::plan(world, wish).await?;
        let credentials = self.revoker.credentials(plan.action())?;
        let nonce = random::bytes().map_err(|e| refused("randomness", e))?;
        let issued_ms = u64::try_from(now_ms()).unwrap_or(0);
        let requester = format!("operator uid {}", self.peer.uid);
        let host_id = world.config.host_id.clone();
        let document = Challenge::new(
            host_id,
            plan.action(),
            plan.hash(),
            Nonce(nonce),
            issued_ms,
            requester,
        );
        let view = self.shown(&plan).await;
        self.revoker.show_fingerprint(&view, &document.requester);
        self.pending = Some((document.clone(), plan));
        Ok(vec![Reply::Challenge(wire::Challenge {
            plan: view,
            document,
            credentials,
        })])
    }

    /// Read policy, judge, spend, start: the only way from a touch to an effect.
    async fn execute(
        &mut self,
        nonce: Nonce,
        assertion: &Assertion,
    ) -> Result<Vec<Reply>, Refused> {
        if let Some(run) = self.revoker.runs.of_touch(&hex::encode(assertion.id())) {
            return self.attach(&run.id); // K10: the same touch again
        }
        let nobody = || {
            refused(
                "no_challenge",
                "no challenge with this nonce is pending here; ask for a new plan",
            )
        };
        let (challenge, plan) = self.pending.take().ok_or_else(nobody)?;
        if challenge.nonce != nonce {
            return Err(nobody());
        }
        let authorization = self.revoker.judge(&challenge, &plan, assertion)?;
        let revoker = &self.revoker;
        let run = runs::start(&revoker.world, &revoker.runs, authorization, plan).await?;
        self.attach(&run.id)
    }

    fn attach(&mut self, id: &str) -> Result<Vec<Reply>, Refused> {
        let unknown = || {
            refused(
                "unknown_run",
                "no run with this id is known; ask for Status",
            )
        };
        let run = self.revoker.runs.find(id).ok_or_else(unknown)?;
        let (past, updates) = run.watch();
        // Sent in one go before anything new; a step may then come twice, never be missed.
        self.watched = Some(updates);
        Ok(past)
    }
}

/// The next change of the watched run; never, when none is watched.
async fn next(
    watched: &mut Option<broadcast::Receiver<Reply>>,
) -> Result<Reply, broadcast::error::RecvError> {
    match watched {
        Some(updates) => updates.recv().await,
        None => std::future::pending().await,
    }
}

/// What a device may approve, in the wire's words.
fn approves(action: fusebox_touch::Action) -> String {
    match action {
        fusebox_touch::Action::Contain => "kill".to_owned(),
        other => other.to_string(),
    }
}

/// Stable words for programs, by refusal.
fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Version(_) => "version",
        Refusal::OtherHost(_) => "other_host",
        Refusal::Replayed => "replayed",
        Refusal::Expired { .. } => "expired",
        Refusal::NotYet => "clock",
        Refusal::OtherPlan => "other_plan",
        Refusal::OtherCredential => "unknown_credential",
        Refusal::ActionNotAllowed { .. } => "action_not_allowed",
        Refusal::DemoKey { .. } => "demo_key",
        Refusal::AuthDataLength(_) | Refusal::ExtraData(_) => "malformed",
        Refusal::OtherApplication(_) => "application",
        Refusal::NotPresent => "user_presence",
        Refusal::NotVerified(_) => "user_verification",
        Refusal::Counter { .. } => "counter",
        Refusal::Signature => "signature",
    }
}

impl Revoker {
    /// The check of one touch, and the spending of its nonce: under one lock, so that the same
    /// touch can never be accepted twice.
    fn judge(
        &self,
        challenge: &Challenge,
        plan: &Plan,
        assertion: &Assertion,
    ) -> Result<Authorization, Refused> {
        let mut touches = self.touches();
        let enrolment = touches.enrolment(&assertion.credential_id)?;
        let policy = Policy {
            now_ms: u64::try_from(now_ms()).unwrap_or(0),
            environment: self.world.config.environment,
            host_id: &self.world.config.host_id,
            plan: plan.hash(),
            nonce_spent: touches.is_spent(&challenge.nonce),
        };
        let verified = verify(challenge, &enrolment, assertion, &policy)
            .map_err(|refusal| refused(code(&refusal), refusal.to_string()))?;
        touches.spend(challenge.nonce, &verified);
        Ok(Authorization::touch(&verified, challenge))
    }

    /// The six words on a second way before anybody touches: a console that lies about the plan
    /// cannot lie there (threat T06). The same plan is not sent twice a minute.
    fn show_fingerprint(&self, view: &wire::Plan, requester: &str) {
        let words = view.words.join(" ");
        tracing::info!(
            fingerprint = words,
            title = view.title,
            requester,
            "challenge"
        );
        let mut last = self.last_shown();
        let (hash, shown) = *last;
        if hash == Some(view.hash) && shown.elapsed() < Duration::from_secs(60) {
            return;
        }
        *last = (Some(view.hash), Instant::now());
        self.world.pager.page(
            Level::Warn,
            "PLAN",
            view.title.as_str(),
            format!("asked for by {requester}"),
            vec![
                Field::Words(view.words.clone()),
                Field::Next("touch only if the console shows the same words".to_owned()),
            ],
        );
    }

    fn credentials(&self, action: fusebox_touch::Action) -> Result<Vec<Credential>, Refused> {
        let enrolled = self.touches().list()?;
        let environment = self.world.config.environment;
        let may = |e: &fusebox_touch::Enrolment| {
            e.actions.contains(&action)
                && (e.application == fusebox_touch::Application::Fusebox
                    || environment.accepts_demo_key())
        };
        let credentials: Vec<Credential> = enrolled
            .into_iter()
            .filter(may)
            .map(|e| Credential {
                id: e.credential_id,
                application: e.application,
                public_key: e.public_key,
                label: e.label,
                verifies_user: e.uv,
            })
            .collect();
        match credentials.is_empty() {
            true => Err(refused(
                "not_armed",
                format!(
                    "no enrolled security key may approve {action} in environment {environment}; enrol one"
                ),
            )),
            false => Ok(credentials),
        }
    }

    /// Who it is, who is enrolled, what runs.
    pub(crate) fn status(&self) -> Status {
        let world = &self.world;
        let config = &world.config;
        let enrolled = self.touches().list().unwrap_or_default();
        let devices: std::collections::BTreeSet<&str> =
            enrolled.iter().map(|e| e.device.as_str()).collect();
        let enough = if config.environment.accepts_demo_key() {
            1
        } else {
            2
        };
        let revocable = world.registry.all();
        let revocable = revocable.iter().filter(|k| k.role.is_revocable());
        let controlled: Option<Vec<i64>> = revocable
            .map(|k| world.controls.last_ms(&k.api_key))
            .collect();
        Status {
            host_id: config.host_id.clone(),
            environment: config.environment,
            armed: devices.len() >= enough,
            devices: enrolled
                .iter()
                .map(|e| Device {
                    label: e.label.clone(),
                    application: e.application.to_string(),
                    actions: e.actions.iter().map(|a| approves(*a)).collect(),
                })
                .collect(),
            auto_revoke: world.auto_revoke().as_str().to_owned(),
            public_key: world.public_key(),
            accounts: config.accounts.iter().map(|a| a.name.clone()).collect(),
            runs: self.runs.summaries(),
            services: self.health().services(),
            controlled_ms: controlled.and_then(|all| all.into_iter().min()),
        }
    }

    /// The registry beside what the exchange listed last.
    pub(crate) fn keys(&self) -> Keys {
        let world = &self.world;
        let now = now_ms();
        let uids = world.config.accounts.iter().map(|a| &a.uid);
        let declared = world
            .config
            .keys
            .iter()
            .map(|key| self.registered(key, now));
        let strangers = world.config.accounts.iter().flat_map(|account| {
            let listed = world.registry.observed(&account.uid);
            let listed = listed.map(|o| o.keys).unwrap_or_default();
            planner::undeclared(world, account)
                .into_iter()
                .map(move |key| RegisteredKey {
                    observed: listed.iter().find(|k| k.api_key == key.api_key).cloned(),
                    name: key.name,
                    role: None,
                    account: Some(account.name.clone()),
                    uid: account.uid.clone(),
                    excess: Vec::new(),
                    age_days: None,
                    rotation_due_days: None,
                    findings: vec![
                        "nobody declared this key, and it can change something".to_owned(),
                    ],
                    controlled_ms: None,
                })
        });
        Keys {
            keys: declared.chain(strangers).collect(),
            listing_age_ms: world.registry.listing_age_ms(uids, now),
            blind_spots: vec!["other master keys and web logins".to_owned()],
        }
    }

    fn registered(&self, key: &crate::config::Key, now_ms: i64) -> RegisteredKey {
        let world = &self.world;
        let held = world.registry.held(&key.name);
        let uid = held.as_ref().map(|h| h.uid.clone());
        let observed = held.as_ref().and_then(|held| {
            let listed = world.registry.observed(&held.uid)?;
            listed.keys.into_iter().find(|k| k.api_key == held.api_key)
        });
        let excess = observed
            .as_ref()
            .map(|o| crate::inventory::excess(key.role, o))
            .unwrap_or_default();
        let mut findings = crate::inventory::findings(world, key, observed.as_ref());
        if held.is_none() {
            findings.insert(
                0,
                "its secret could not be read: a kill cannot prove it dead".to_owned(),
            );
        }
        RegisteredKey {
            name: key.name.clone(),
            role: Some(key.role),
            account: key.account.clone(),
            uid: uid.unwrap_or_else(|| "?".into()),
            excess,
            age_days: observed.as_ref().and_then(|o| planner::age_days(o, now_ms)),
            rotation_due_days: planner::rotation_due_days(world, key),
            findings,
            controlled_ms: held.and_then(|h| world.controls.last_ms(&h.api_key)),
            observed,
        }
    }
}

/// Binds the socket of this module.
pub(crate) fn bind(config: &crate::config::Sockets) -> Result<Listener, Error> {
    Listener::bind(&config.operator, Component::Revoker, &config.operator_uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every request, so that a new one must find its place in the table.
    #[test]
    fn the_table_permits_what_it_names_and_nothing_else() {
        let nonce = Nonce([0; 32]);
        let assertion = Assertion {
            credential_id: fusebox_touch::CredentialId::new([1]),
            auth_data: Vec::new(),
            signature: Vec::new(),
        };
        let wish = || wire::Wish::Rotate {
            keys: Vec::new(),
            due: true,
            reason: String::new(),
        };
        let all = [
            Request::Status,
            Request::Keys,
            Request::Plan { wish: wish() },
            Request::Challenge { wish: wish() },
            Request::Execute { nonce, assertion },
            Request::Attach { run: "x".into() },
            Request::Cancel,
        ];
        assert_eq!(all.len(), PERMITS.len());
        let watching: Vec<&str> = all
            .iter()
            .filter(|r| is_permitted(r, State::Watching))
            .map(word)
            .collect();
        assert_eq!(watching, ["status", "keys"]);
        assert!(all.iter().all(|r| is_permitted(r, State::Idle)));
        assert!(all.iter().all(|r| is_permitted(r, State::Asked)));
    }
}
