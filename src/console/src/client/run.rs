//! A kill, a rotation or a release, from the wish to the proof: plan → challenge → touch →
//! execute → steps → signed result. The dialog and `fusebox kill` walk the same path.
//!
//! It never believes a plan whose words are not those of its own hash, nor a result that the
//! pinned key did not sign; it shows both, marked.

use super::{ANSWER_LIMIT, Address, ask};
use crate::app::run::Places;
use crate::dialog::Command;
use fusebox_authenticator::{Offer, SoftKey, agent};
use fusebox_domain::{clean, clean_line};
use fusebox_touch::{Application, Assertion, PlanHash};
use fusebox_wire::operator::{
    Challenge, KeyProof, Plan, REPORT, Refused, Reply, Report, Request, Step, Wish,
};
use fusebox_wire::{Frames, Signed, feed};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// A run's result may take the watch's first 30 s and more when the exchange is slow (K9, K15).
const RESULT_LIMIT: Duration = Duration::from_secs(16 * 60);

/// Why a run did not get as far as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The revoker could not be reached, or the line broke.
    #[error("the revoker: {0}")]
    Wire(#[from] fusebox_wire::Error),
    /// The revoker said no.
    #[error("{}", .0.message)]
    Refused(Refused),
    /// No assertion was made.
    #[error(transparent)]
    Touch(#[from] fusebox_authenticator::Error),
    /// Words and hash do not belong together.
    #[error(
        "the revoker's plan does not match its own hash: nothing was signed; somebody may be answering in its place"
    )]
    PlanForged,
    /// An answer that does not belong here.
    #[error("the revoker answered out of turn ({0}); nothing further was asked")]
    OutOfTurn(&'static str),
    /// The line broke after the run began.
    #[error(
        "the line to the revoker broke while the run goes on ({0}); it continues without the console: see `fusebox journal tail` and `fusebox status`"
    )]
    Lost(fusebox_wire::Error),
}

/// A signed report, judged.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) report: Report,
    pub(crate) signed: Signed,
    /// Why the report is not to be believed; `None`: the pinned key signed it.
    pub(crate) untrusted: Option<String>,
    /// What the breaker said to a release.
    pub(crate) released: Option<Released>,
}

/// The breaker's answer to a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    /// Whether it acted on it.
    pub(crate) done: bool,
    /// In words.
    pub(crate) detail: String,
}

/// What a dialog hears.
#[derive(Debug)]
pub(crate) enum Event {
    Plan(Plan),
    /// With whether the demo key will answer it.
    Challenge(Challenge, bool),
    /// The assertion was made and sent.
    Touched,
    Started(String),
    Step(Step),
    Key(KeyProof),
    Done(Finished),
    /// Over, without a result.
    Failed {
        code: String,
        message: String,
    },
}

/// How the touch is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The key in the laptop, through the SSH agent.
    Agent(Option<PathBuf>),
    /// The demo's software key.
    Demo(PathBuf),
}

impl Route {
    /// Which route a challenge takes: the demo key only if the revoker itself offers it.
    pub(crate) fn choose(demo_key: Option<&Path>, challenge: &Challenge) -> Self {
        let offered = challenge
            .credentials
            .iter()
            .any(|c| c.application == Application::Demo);
        match demo_key {
            Some(path) if offered && challenge.plan.environment.accepts_demo_key() => {
                Self::Demo(path.into())
            }
            _ => Self::Agent(std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from)),
        }
    }

    /// Whether somebody must press a key on *this* keyboard.
    pub(crate) fn is_demo(&self) -> bool {
        matches!(self, Self::Demo(_))
    }

    /// Makes the assertion.
    pub(crate) async fn touch(&self, challenge: &Challenge) -> Result<Assertion, Error> {
        let offers: Vec<Offer> = challenge
            .credentials
            .iter()
            .filter(|c| c.verifies_user || !challenge.plan.needs_pin)
            .map(|c| Offer {
                application: c.application,
                credential_id: c.id.clone(),
                public_key: c.public_key.clone(),
            })
            .collect();
        let document = challenge.document.clone();
        match self {
            Self::Demo(path) => {
                let path = path.clone();
                let signed = tokio::task::spawn_blocking(move || {
                    SoftKey::open(&path)?.sign(&document, &offers)
                });
                signed
                    .await
                    .map_err(|_| Error::OutOfTurn("the software key's task ended"))?
                    .map_err(Error::from)
            }
            Self::Agent(None) => Err(fusebox_authenticator::Error::NoAgent.into()),
            Self::Agent(Some(socket)) => {
                let left = document.expires_ms.saturating_sub(document.issued_ms);
                Ok(agent::sign(socket, &document, &offers, Duration::from_millis(left)).await?)
            }
        }
    }
}

/// Who hears of a run: the dialog of this number.
#[derive(Debug, Clone)]
pub(crate) struct Tell {
    dialog: u64,
    events: super::Events,
}

impl Tell {
    pub(crate) fn new(dialog: u64, events: super::Events) -> Self {
        Self { dialog, events }
    }

    async fn event(&self, event: Event) {
        let _ = self
            .events
            .send(super::Event::Run(self.dialog, Box::new(event)))
            .await;
    }
}

/// A conversation with the revoker about one run.
#[derive(Debug)]
pub(crate) struct Talk {
    frames: Frames<UnixStream>,
}

impl Talk {
    pub(crate) async fn open(revoker: &Address) -> Result<Self, Error> {
        Ok(Self {
            frames: revoker.connect().await?,
        })
    }

    /// What the wish would do.
    pub(crate) async fn plan(&mut self, wish: Wish) -> Result<Plan, Error> {
        match ask(&mut self.frames, &Request::Plan { wish }).await? {
            Reply::Plan(plan) => checked(plan),
            Reply::Refused(refused) => Err(Error::Refused(washed(refused))),
            _ => Err(Error::OutOfTurn("to a plan")),
        }
    }

    /// The same, with bytes to sign.
    pub(crate) async fn challenge(&mut self, wish: Wish) -> Result<Challenge, Error> {
        match ask(&mut self.frames, &Request::Challenge { wish }).await? {
            Reply::Challenge(mut challenge) => {
                challenge.plan = checked(challenge.plan)?;
                if challenge.document.plan != challenge.plan.hash {
                    return Err(Error::PlanForged);
                }
                Ok(challenge)
            }
            Reply::Refused(refused) => Err(Error::Refused(washed(refused))),
            _ => Err(Error::OutOfTurn("to a challenge")),
        }
    }

    /// Forgets a challenge that will not be answered.
    pub(crate) async fn cancel(&mut self) {
        let _ = ask::<_, Reply>(&mut self.frames, &Request::Cancel).await;
    }

    /// Starts the run and follows it to its result. `tell` hears everything between.
    pub(crate) async fn execute(
        &mut self,
        challenge: &Challenge,
        assertion: Assertion,
        trust: &Trust,
        tell: &Tell,
    ) -> Result<Finished, Error> {
        let nonce = challenge.document.nonce;
        self.frames
            .send(&Request::Execute { nonce, assertion })
            .await?;
        self.follow(trust, tell).await
    }

    /// Follows a run that was started elsewhere.
    pub(crate) async fn attach(
        &mut self,
        run: String,
        trust: &Trust,
        tell: &Tell,
    ) -> Result<Finished, Error> {
        self.frames.send(&Request::Attach { run }).await?;
        self.follow(trust, tell).await
    }

    async fn follow(&mut self, trust: &Trust, tell: &Tell) -> Result<Finished, Error> {
        let mut begun = false;
        let mut released = None;
        loop {
            let limit = if begun { RESULT_LIMIT } else { ANSWER_LIMIT };
            let reply = match tokio::time::timeout(limit, self.frames.recv::<Reply>()).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(e)) if begun => return Err(Error::Lost(e)),
                Ok(Err(e)) => return Err(e.into()),
                Err(_) => return Err(Error::OutOfTurn("nothing, in time")),
            };
            match reply {
                Reply::Started { run } => {
                    begun = true;
                    tell.event(Event::Started(clean_line(&run, 80))).await;
                }
                Reply::Step(mut step) => {
                    begun = true;
                    step.detail = clean_line(&step.detail, 300);
                    tell.event(Event::Step(step)).await;
                }
                Reply::Key(mut key) => {
                    key.detail = clean_line(&key.detail, 300);
                    tell.event(Event::Key(key)).await;
                }
                Reply::Certificate { certificate } => {
                    released = Some(trust.release(certificate).await)
                }
                Reply::Result { report } => {
                    let mut result = trust.judge(report)?;
                    result.released = released;
                    return Ok(result);
                }
                Reply::Refused(refused) => return Err(Error::Refused(washed(refused))),
                _ => return Err(Error::OutOfTurn("to a run")),
            }
        }
    }
}

/// What a result is judged by, and where a release goes.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// The revoker's pinned public key.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) feed: Address,
}

impl Trust {
    fn judge(&self, signed: Signed) -> Result<Finished, Error> {
        let believed = match &self.key {
            None => Err("no revoker_key is pinned in the configuration".to_owned()),
            Some(key) => signed
                .open::<Report>(REPORT, key)
                .map_err(|e| e.to_string()),
        };
        let (report, untrusted) = match believed {
            Ok(report) => (report, None),
            Err(why) => {
                let report = signed
                    .peek()
                    .map_err(|_| Error::OutOfTurn("with a report that cannot be read"))?;
                (report, Some(why))
            }
        };
        Ok(Finished {
            report,
            signed,
            untrusted,
            released: None,
        })
    }

    async fn release(&self, certificate: Signed) -> Released {
        let request = feed::Request::Release { certificate };
        match super::feed::request(&self.feed, &request).await {
            Ok(reply) => Released {
                done: reply.done,
                detail: clean_line(&reply.detail, 300),
            },
            Err(e) => Released {
                done: false,
                detail: format!("it could not be told: {e}; the certificate had no effect"),
            },
        }
    }
}

/// Recomputes hash and words; cleans what will be shown.
fn checked(mut plan: Plan) -> Result<Plan, Error> {
    let hash = PlanHash::of(plan.canonical.as_bytes());
    let words = hash.fingerprint().to_string();
    if hash != plan.hash || words != plan.words.join(" ") {
        return Err(Error::PlanForged);
    }
    plan.title = clean_line(&plan.title, 100);
    let lists = [
        &mut plan.orders,
        &mut plan.workload,
        &mut plan.secrets,
        &mut plan.leaves,
    ];
    for line in lists.into_iter().flatten() {
        *line = clean_line(line, 300);
    }
    Ok(plan)
}

fn washed(mut refused: Refused) -> Refused {
    refused.message = clean(&refused.message, 600);
    refused
}

/// Serves one dialog: takes its commands, tells it what the revoker says. Ends when the dialog
/// is closed; a run that began goes on at the revoker.
pub(crate) async fn drive(places: Places, mut commands: mpsc::Receiver<Command>, tell: Tell) {
    let mut open: Option<(Talk, Challenge)> = None;
    let mut next = commands.recv().await;
    while let Some(command) = next.take() {
        let result = match command {
            Command::Plan(wish) => look(&places, wish, &tell).await,
            Command::Challenge(wish) => match ask_touch(&places, wish, &tell).await {
                Ok((talk, challenge, route)) if route.is_demo() => {
                    // Waits for the operator's `t`.
                    open = Some((talk, challenge));
                    Ok(())
                }
                Ok((talk, challenge, route)) => {
                    touch(
                        talk,
                        &challenge,
                        &route,
                        &places,
                        &tell,
                        Some((&mut commands, &mut next)),
                    )
                    .await
                }
                Err(e) => Err(e),
            },
            Command::Touch => match open.take() {
                Some((talk, challenge)) => {
                    let route = Route::choose(places.demo_key.as_deref(), &challenge);
                    touch(talk, &challenge, &route, &places, &tell, None).await
                }
                None => Ok(()),
            },
            Command::Cancel => {
                if let Some((mut talk, _)) = open.take() {
                    talk.cancel().await;
                }
                Ok(())
            }
            Command::Attach(run) => attach(&places, run, &tell).await,
        };
        if let Err(e) = result {
            tell.event(e.into()).await;
        }
        if next.is_none() {
            next = commands.recv().await;
        }
    }
}

async fn look(places: &Places, wish: Wish, tell: &Tell) -> Result<(), Error> {
    let plan = Talk::open(&places.revoker).await?.plan(wish).await?;
    tell.event(Event::Plan(plan)).await;
    Ok(())
}

async fn ask_touch(
    places: &Places,
    wish: Wish,
    tell: &Tell,
) -> Result<(Talk, Challenge, Route), Error> {
    let mut talk = Talk::open(&places.revoker).await?;
    let challenge = talk.challenge(wish).await?;
    let route = Route::choose(places.demo_key.as_deref(), &challenge);
    tell.event(Event::Challenge(challenge.clone(), route.is_demo()))
        .await;
    Ok((talk, challenge, route))
}

/// Waits for the touch and follows the run. Turns back if the dialog says something meanwhile:
/// the agent cannot be told, but what it signs later is thrown away, and the revoker forgets the
/// challenge.
async fn touch(
    mut talk: Talk,
    challenge: &Challenge,
    route: &Route,
    places: &Places,
    tell: &Tell,
    interrupt: Option<(&mut mpsc::Receiver<Command>, &mut Option<Command>)>,
) -> Result<(), Error> {
    let assertion = match interrupt {
        None => route.touch(challenge).await?,
        Some((commands, next)) => tokio::select! {
            assertion = route.touch(challenge) => assertion?,
            command = commands.recv() => {
                talk.cancel().await;
                *next = command.filter(|c| *c != Command::Cancel);
                return Ok(());
            }
        },
    };
    tell.event(Event::Touched).await;
    let finished = talk
        .execute(challenge, assertion, &places.trust, tell)
        .await?;
    tell.event(Event::Done(finished)).await;
    Ok(())
}

async fn attach(places: &Places, run: String, tell: &Tell) -> Result<(), Error> {
    let mut talk = Talk::open(&places.revoker).await?;
    let finished = talk.attach(run, &places.trust, tell).await?;
    tell.event(Event::Done(finished)).await;
    Ok(())
}

impl From<Error> for Event {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Refused(refused) => refused.code.clone(),
            Error::Touch(_) => "touch".to_owned(),
            Error::Lost(_) => "lost".to_owned(),
            _ => "failed".to_owned(),
        };
        Self::Failed {
            code,
            message: error.to_string(),
        }
    }
}
