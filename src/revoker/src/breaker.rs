//! `breaker.sock`: a breaker lives, or asks to stop something. It can only stop.
//!
//! Cancelling entries is granted on its signature alone. Revoking keys needs the revoker's own
//! ladder as well (K11); without it entries are stopped, the bot is scaled to zero and people are
//! called.

use crate::authorization::{Authorization, Measured};
use crate::config::Account;
use crate::daemon::Revoker;
use crate::intents::Entry;
use crate::plan::{Plan, PlannedAccount};
use crate::proof::{Listing, Probe};
use crate::run::End;
use crate::world::now_ms;
use crate::{kill, planner, runs};
use fusebox_domain::{AccountName, AutoRevoke};
use fusebox_notify::{Field, Level};
use fusebox_wire::operator::{StepState, Verdict};
use fusebox_wire::stop::{Reply, Request, STOP, Stop, StopKind};
use fusebox_wire::{Component, Error, Frames, Listener, Signed};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

const CONNECTIONS: usize = 8;
const DURABLE_WITHIN: Duration = Duration::from_secs(1);

pub(crate) fn bind(config: &crate::config::Sockets) -> Result<Listener, Error> {
    Listener::bind(&config.breaker, Component::Revoker, &config.breaker_uids)
}

/// Serves breakers.
pub(crate) async fn serve(revoker: Arc<Revoker>, listener: Listener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let pending = match listener.accept().await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::error!(%error, "breaker.sock");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("breaker.sock: too many connections, one was closed");
            continue;
        };
        let revoker = revoker.clone();
        tokio::spawn(async move {
            let ended = match pending.greet().await {
                Ok((frames, _)) => converse(&revoker, frames).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) | Err(Error::Closed) => {}
                Err(error) => tracing::warn!(%error, "breaker.sock"),
            }
            drop(place);
        });
    }
}

async fn converse(revoker: &Arc<Revoker>, mut frames: Frames<UnixStream>) -> Result<(), Error> {
    loop {
        let reply = match frames.recv::<Request>().await {
            Ok(Request::Heartbeat { account, .. }) => {
                revoker.deadman().beat(&account);
                Reply::Beat
            }
            Ok(Request::Stop { request }) => match revoker.hear(&request).await {
                Ok(stop) => revoker.stop(&stop).await,
                Err(refusal) => refusal,
            },
            Err(error @ Error::NotUnderstood(_)) => {
                frames
                    .send(&refused("unknown_message", error.to_string()))
                    .await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        frames.send(&reply).await?;
    }
}

fn refused(code: &str, message: impl Into<String>) -> Reply {
    Reply::Refused {
        code: code.to_owned(),
        message: message.into(),
    }
}

impl Revoker {
    /// Who asks, and whether it is new: signature by the breaker enrolled for the account, and a
    /// sequence above every one heard.
    async fn hear(&self, request: &Signed) -> Result<Stop, Reply> {
        let breakers = &self.world.config.breakers;
        let opened = breakers.iter().find_map(|breaker| {
            let key = hex::decode(&breaker.public_key).ok()?;
            let stop: Stop = request.open(STOP, &key).ok()?;
            (stop.account == breaker.account).then_some(stop)
        });
        let Some(stop) = opened else {
            self.world.incident(
                "forged-stop",
                "",
                "forged-request",
                2,
                "a stop request without a valid signature of an enrolled breaker",
            );
            return Err(refused(
                "signature",
                "no breaker enrolled for this account signed the request; nothing was done",
            ));
        };
        let is_new = {
            let mut heard = self.heard();
            let last = heard.entry(stop.account.to_string()).or_default();
            let is_new = stop.sequence > *last;
            *last = stop.sequence.max(*last);
            is_new
        };
        if !is_new {
            return Err(refused(
                "replayed",
                "this request was heard before; nothing was done",
            ));
        }
        let row = Entry::Heard {
            account: stop.account.to_string(),
            sequence: stop.sequence,
        };
        // Not durable: a replay after a crash could stop something twice, which is harmless.
        let _ = self
            .world
            .intents
            .durable(now_ms(), row, DURABLE_WITHIN)
            .await;
        Ok(stop)
    }

    async fn stop(self: &Arc<Self>, stop: &Stop) -> Reply {
        tracing::warn!(account = %stop.account, rung = stop.rung, kind = ?stop.kind, evidence = stop.evidence, "stop request");
        let config = &self.world.config;
        let Some(account) = config.accounts.iter().find(|a| a.name == stop.account) else {
            return refused(
                "signature",
                "no such account is configured; nothing was done",
            );
        };
        match stop.kind {
            StopKind::CancelEntries => self.cancel_entries(account).await,
            StopKind::Kill => self.ladder_kill(account, stop).await,
        }
    }

    async fn cancel_entries(&self, account: &Account) -> Reply {
        let end = kill::sweep(&self.world, &planned(account)).await;
        let remaining = match end.state {
            StepState::Done => 0,
            // Not known is not zero.
            _ => match kill::resting(&self.world, &planned(account)).await {
                Ok(count) => u32::try_from(count).unwrap_or(u32::MAX),
                Err(_) => u32::MAX,
            },
        };
        Reply::Cancelled {
            remaining,
            detail: end.detail,
        }
    }

    /// R4. The numbers in the request are evidence for the journal, never the basis (K11).
    async fn ladder_kill(self: &Arc<Self>, account: &Account, stop: &Stop) -> Reply {
        planner::list_now(&self.world).await;
        let plan = match planner::contain(&self.world, Some(&account.name), false, &stop.rung) {
            Ok(plan) => plan,
            Err(refusal) => return refused(&refusal.code, refusal.message),
        };
        if let Some(run) = self.runs.deadly_kill(&plan)
            && self.still_dead(&run).await
        {
            return Reply::AlreadyDead {
                run: run.id.clone(),
            };
        }
        let measured = match self.own_measure(account).await {
            Ok(measured) => measured,
            Err((code, why)) => {
                self.contain_without_keys(account, &why).await;
                return refused(code, why);
            }
        };
        if self.world.auto_revoke() != AutoRevoke::On {
            let why = format!(
                "auto_revoke is {}; entries were stopped, the bot scaled to zero, people called; the keys live",
                self.world.auto_revoke().as_str()
            );
            self.contain_without_keys(account, &why).await;
            return refused("switched_off", why);
        }
        let authorization = Authorization::ladder(stop, &measured);
        let plan = Plan::Contain(plan);
        match runs::start(&self.world, &self.runs, authorization, plan).await {
            Ok(run) => Reply::Started {
                run: run.id.clone(),
            },
            Err(refusal) => refused(&refusal.code, refusal.message),
        }
    }

    async fn own_measure(&self, account: &Account) -> Result<Measured, (&'static str, String)> {
        let eye = self.eyes.iter().find(|e| e.account().name == account.name);
        let samples = match eye {
            Some(eye) => eye.confirm(&self.world).await,
            None => Err("no eye on this account".to_owned()),
        };
        let samples = samples.map_err(|why| {
            let why = format!("the own ladder could not be read ({why}); entries were stopped, the bot scaled to zero, people called; the keys live");
            ("unreadable", why)
        })?;
        let confirm_bp = self.world.config.limits.ladder_confirm_bp;
        Measured::of(&samples, confirm_bp).ok_or_else(|| {
            let why = format!("the own ladder shows drawdowns of {samples:?} bp, less than {confirm_bp}; entries were stopped, the bot scaled to zero, people called; the keys live");
            ("not_confirmed", why)
        })
    }

    /// K11's lesser answer: cancel, scale to zero, page, no revocation.
    async fn contain_without_keys(&self, account: &Account, why: &str) {
        let name = &account.name;
        self.world.pager.page(
            Level::Critical,
            "R4 NOT EXECUTED",
            name.as_str(),
            why,
            vec![Field::Next(
                "look, and kill by hand: fusebox kill".to_owned(),
            )],
        );
        self.world.incident(
            &format!("r4-not-executed-{}", now_ms()),
            name.as_str(),
            "r4-not-executed",
            1,
            why,
        );
        let account_planned = planned(account);
        let zero = async {
            match &account.deployment {
                Some(deployment) => kill::to_zero(&self.world, deployment).await,
                None => End::skipped("no deployment"),
            }
        };
        let (swept, zero) = tokio::join!(kill::sweep(&self.world, &account_planned), zero);
        tracing::warn!(%name, swept = swept.detail, workload = zero.detail, "contained without keys");
    }

    /// R4 after a kill: the keys are proven again, there is no second plan.
    async fn still_dead(&self, run: &Arc<crate::run::Run>) -> bool {
        let Plan::Contain(plan) = &run.plan else {
            return false;
        };
        let looks = plan
            .delete
            .iter()
            .map(|key| kill::look_at(&self.world, run, key));
        let seen = futures_util::future::join_all(looks).await;
        for (key, evidence) in plan.delete.iter().zip(&seen) {
            tracing::info!(key = %key.name, evidence = evidence.words(), "proven again");
        }
        // After a restart a dead key's secret is gone: then its absence, beside the refusal that is
        // on record, is all there is to prove again.
        seen.iter().all(|evidence| {
            evidence.verdict() == Verdict::Dead
                || evidence.listing == Listing::Absent && evidence.probe == Probe::NotAsked
        })
    }
}

fn planned(account: &Account) -> PlannedAccount {
    PlannedAccount {
        name: account.name.clone(),
        uid: account.uid.clone(),
        read_key: account.read_key.clone(),
        cancel_key: account.cancel_key.clone(),
        deployment: account.deployment.clone(),
    }
}

/// Who was heard when. A silent breaker is a blind account (threat T34).
#[derive(Default)]
pub(crate) struct Deadman {
    beats: std::collections::BTreeMap<AccountName, Watched>,
}

struct Watched {
    heard: Instant,
    done: Silence,
}

/// What a silence has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Silence {
    None,
    /// Entries are stopped.
    Entries,
    /// The bot is scaled to zero.
    Zero,
}

impl Deadman {
    /// Every account with an enrolled breaker is watched from now on, heard of or not.
    pub(crate) fn new(accounts: impl Iterator<Item = AccountName>, now: Instant) -> Self {
        let fresh = || Watched {
            heard: now,
            done: Silence::None,
        };
        Self {
            beats: accounts.map(|a| (a, fresh())).collect(),
        }
    }

    pub(crate) fn beat(&mut self, account: &AccountName) {
        if let Some(watched) = self.beats.get_mut(account) {
            watched.heard = Instant::now();
            watched.done = Silence::None;
        }
    }

    /// What is due now and was not done yet in this silence.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        stop_ms: u64,
        zero_ms: u64,
    ) -> Vec<(AccountName, Silence)> {
        let mut due = Vec::new();
        for (account, watched) in &mut self.beats {
            let silent = now.saturating_duration_since(watched.heard);
            let step = match u64::try_from(silent.as_millis()).unwrap_or(u64::MAX) {
                ms if ms >= zero_ms => Silence::Zero,
                ms if ms >= stop_ms => Silence::Entries,
                _ => Silence::None,
            };
            if step > watched.done {
                watched.done = step;
                due.push((account.clone(), step));
            }
        }
        due
    }
}

/// Acts on silence: stop entries at 30 s, scale to zero at 300 s. It never revokes.
pub(crate) async fn watch_silence(revoker: Arc<Revoker>) {
    let limits = &revoker.world.config.limits;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        let due = revoker.deadman().due(
            Instant::now(),
            limits.heartbeat_stop_ms,
            limits.heartbeat_zero_ms,
        );
        for (name, silence) in due {
            revoker.act_on_silence(&name, silence).await;
        }
    }
}

impl Revoker {
    async fn act_on_silence(&self, name: &AccountName, silence: Silence) {
        let world = &self.world;
        let Some(account) = world.config.accounts.iter().find(|a| a.name == *name) else {
            return;
        };
        let done = match silence {
            Silence::None => return,
            Silence::Entries => match world.bots.get(name) {
                Some(bot) => format!("entries: {:?}", bot.stop_entries().await),
                None => "no way to stop entries".to_owned(),
            },
            Silence::Zero => match &account.deployment {
                Some(deployment) => kill::to_zero(world, deployment).await.detail,
                None => "no deployment to scale".to_owned(),
            },
        };
        let text = format!("BREAKER SILENT on {name}: {silence:?}: {done}");
        let id = format!("breaker-silent-{}", now_ms());
        world.incident(&id, name.as_str(), "breaker-silent", 1, &text);
        world.pager.page(
            Level::Critical,
            "BREAKER SILENT",
            name.as_str(),
            done,
            vec![Field::Next(
                "look at the breaker: systemctl status fusebox-breaker".to_owned(),
            )],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_acted_on_once_each_and_a_beat_ends_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let name = || AccountName::new("trading-1");
        let mut deadman = Deadman::new(std::iter::once(name()), start);
        let due = |deadman: &mut Deadman, ms| deadman.due(at(ms), 30_000, 300_000);
        assert_eq!(due(&mut deadman, 29_999), []);
        assert_eq!(due(&mut deadman, 30_000), [(name(), Silence::Entries)]);
        assert_eq!(due(&mut deadman, 31_000), []);
        assert_eq!(due(&mut deadman, 300_000), [(name(), Silence::Zero)]);
        assert_eq!(due(&mut deadman, 900_000), []);
        deadman.beat(&name());
        assert_eq!(due(&mut deadman, 1_000), []);
        deadman.beat(&"stranger".into());
        assert_eq!(deadman.beats.len(), 1);
    }
}
