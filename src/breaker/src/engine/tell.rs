//! Alerts, journal rows, and what a console may ask: to acknowledge a review, and to carry a
//! certificate of the revoker.

use super::measure::{nav_text, usdt};
use super::{Engine, Input};
use crate::Now;
use crate::edge::feed::Ask;
use crate::edge::recorder::Delivery;
use crate::money::from_e8;
use crate::plan::{Plan, gravest};
use fusebox_ladder::{Rebase, Refusal, Rung, Verdict};
use fusebox_notify::{Field, Level, Notice, Open, Raised, Telegram, TelegramError};
use fusebox_wire::Signed;
use fusebox_wire::append::Draft;
use fusebox_wire::feed::{CERTIFICATE, Certificate, Reply, Request};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Attempts to deliver one alert.
const SEND_ATTEMPTS: u32 = 5;

/// The longest pause that a channel may ask for, seconds.
const MAX_SLOWER_S: u64 = 30;

impl Engine {
    /// Writes a row into the outbox; the recorder gets it when it can.
    fn journal(&mut self, kind: &str, body: Value, now: Now) {
        self.store.push(Draft {
            kind: kind.to_owned(),
            body,
            happened_ms: now.wall_ms,
            outbox: None,
        });
    }

    pub(super) fn journal_started(&mut self, now: Now) {
        let latched: Vec<&str> = self.ladder.latched().iter().map(Rung::name).collect();
        let body = json!({
            "event": "started", "component": "breaker", "account": self.account(),
            "detail": format!("in force: {}; ladder {}", list(&latched), self.config_hash),
        });
        self.journal("system", body, now)
    }

    pub(super) fn journal_stopped(&mut self, now: Now) {
        let body = json!({
            "event": "stopped", "component": "breaker", "account": self.account(),
            "detail": "asked to stop; nothing watches the account until it runs again",
        });
        self.journal("system", body, now)
    }

    pub(super) fn journal_funded(&mut self, verdict: &Verdict, now: Now) {
        let equity = from_e8(verdict.equity_e8).map(usdt).unwrap_or_default();
        let body = json!({
            "event": "funded", "component": "breaker", "account": self.account(),
            "detail": format!("the ladder begins at {equity}"),
        });
        self.journal("system", body, now)
    }

    pub(super) fn journal_halt(&mut self, rung: Rung, why: &str, t_ms: i64, now: Now) {
        let latched = self.ladder.latch_of(rung).is_some();
        let id = match latched {
            true => self.halt_id(rung),
            false => format!("{}/{}/{t_ms}", self.account(), rung.name()),
        };
        self.halts.insert(rung.name(), id.clone());
        let body = json!({
            "id": id, "account": self.account(), "reason": format!("{} {why}", rung.name()),
            "trigger_value": nav_text(self.verdict.nav.e12()), "rung": rung.name(), "t_ms": t_ms,
            "equity": from_e8(self.verdict.equity_e8).map(|e| e.to_string()),
        });
        self.journal("halt", body, now)
    }

    /// A rung is no longer in force.
    pub(super) fn released(&mut self, rung: Rung, why: &str, now: Now) {
        let Some(id) = self.halts.remove(rung.name()) else {
            return;
        };
        self.save(&[], now);
        let body = json!({
            "id": id, "account": self.account(), "reason": format!("{} {why}", rung.name()),
            "rung": rung.name(), "resolved_at": rfc3339(now.wall_ms),
        });
        self.journal("halt", body, now);
        if rung == Rung::B1 {
            // A warning that ended is no act.
            return;
        }
        let number = self.store.next("plan");
        let mut plan = Plan::new(
            format!("{}-release-{number}", self.account()),
            rung,
            format!("{} released: {why}", rung.name()),
            now.exchange_ms,
            now.wall_ms,
        );
        plan.action = "release".to_owned();
        plan.tasks.clear();
        plan.ended_ms = Some(now.wall_ms);
        self.store.save_plan(&plan);
        self.plans.push(plan);
    }

    /// How a plan ended.
    pub(super) fn journal_plan(&mut self, plan: &Plan, now: Now) {
        if plan.tasks.is_empty() {
            return;
        }
        let failed = plan
            .tasks
            .iter()
            .any(|t| t.state == crate::plan::State::Failed);
        let body = json!({
            "plan_id": plan.id, "event": "result", "action": plan.action, "rung": plan.rung,
            "account": self.account(), "state": if failed { "failed" } else { "done" },
            "detail": plan.detail(),
        });
        self.journal("plan", body, now)
    }

    /// Something that should not be: a row.
    pub(super) fn journal_incident(&mut self, kind: &str, detail: &str, now: Now) {
        let number = self.store.next("incident");
        let body = json!({
            "id": format!("{}/{kind}/{number}", self.account()), "account": self.account(),
            "type": kind, "severity": 2, "detail": detail,
        });
        self.journal("incident", body, now)
    }

    /// The same with an alert of its own, where no rung brings one.
    pub(super) fn incident(&mut self, kind: &str, detail: &str, now: Now) {
        self.journal_incident(kind, detail, now);
        let next = Field::Next("open the console".to_owned());
        let notice = self.notice(Level::Warn, kind, detail, vec![next]);
        self.raise(notice, 0, now);
    }

    fn notice(&self, level: Level, rule: &str, title: &str, fields: Vec<Field>) -> Notice {
        let environment = Field::Environment(self.config.environment.to_string());
        Notice {
            level,
            rule: rule.to_owned(),
            subject: self.account().to_owned(),
            title: title.to_owned(),
            fields: std::iter::once(environment).chain(fields).collect(),
        }
    }

    /// The alert of a rung that was just put in force.
    pub(super) fn alert_rung(&mut self, rung: Rung, why: &str, now: Now) {
        let notice = self.rung_notice(rung, why);
        let depth = self.depth(rung);
        self.raise(notice, depth, now);
    }

    /// After a restart: what is in force still needs its acknowledgement.
    pub(super) fn alert_still_in_force(&mut self, rung: Rung, now: Now) {
        let acknowledged = self.ladder.latch_of(rung).is_some_and(|l| l.acknowledged);
        if !acknowledged {
            let notice = self.rung_notice(rung, "in force since before the restart");
            let depth = self.depth(rung);
            self.raise(notice, depth, now);
        }
    }

    fn rung_notice(&self, rung: Rung, why: &str) -> Notice {
        let level = match rung {
            Rung::B1 => Level::Info,
            Rung::R1 | Rung::B2 => Level::Warn,
            _ => Level::Critical,
        };
        let loss_bp = self.config.ladder().loss_bp(rung);
        let mut fields = Vec::new();
        if let Some((basis, _)) = self.verdict.references.base(rung) {
            fields.push(Field::Change {
                basis: basis.name().replace("hwm", "peak"),
                change_bp: i64::from(self.verdict.dd_bp(basis)),
                threshold_bp: loss_bp,
            });
        }
        let action = crate::plan::action_name(rung.rule().action).replace('_', " ");
        fields.push(Field::Begun(action));
        fields.push(Field::Next("open the console and acknowledge".to_owned()));
        // A rung's reason has no balance in it; anything longer stays on the console.
        self.notice(level, rung.name(), why, fields)
    }

    /// Whole per cents of loss: getting one deeper is told again.
    fn depth(&self, rung: Rung) -> i64 {
        self.verdict
            .references
            .base(rung)
            .map_or(0, |(basis, _)| i64::from(-self.verdict.dd_bp(basis) / 100))
    }

    /// Re-alerts a rung in force that got a point deeper, and what nobody acknowledged.
    pub(super) fn escalate(&mut self, now: Now) {
        // The gravest only: the story of the others is contained in it, and a flood hides it.
        let in_force = self.verdict.tripped.iter();
        let in_force = in_force.filter(|rung| self.ladder.latch_of(*rung).is_some());
        if let Some(rung) = gravest(in_force) {
            self.alert_rung(rung, "in force and deeper", now);
        }
        for open in self.desk.due(now.wall_ms) {
            let mut notice = open.notice.clone();
            notice.title = format!("NOT ACKNOWLEDGED ({}): {}", open.escalations, notice.title);
            self.send(&open.id, notice);
        }
    }

    fn raise(&mut self, notice: Notice, depth: i64, now: Now) {
        if let Raised::Tell(id) = self.desk.raise(notice.clone(), depth, now.wall_ms) {
            tracing::warn!(
                alert = id,
                rule = notice.rule,
                title = notice.title,
                "alert"
            );
            self.send(&id, notice);
        }
    }

    /// Hands a notice to the channel; the answer comes back as [`Input::Told`].
    fn send(&self, id: &str, notice: Notice) {
        let (alert, input) = (id.to_owned(), self.out.input.clone());
        let telegram = self.hands.telegram.clone();
        tokio::spawn(async move {
            let result = match telegram {
                Some(telegram) => deliver(telegram, &notice).await,
                None => Err("not configured".to_owned()),
            };
            let _ = input.send(Input::Told { alert, result }).await;
        });
    }

    pub(super) fn on_told(&mut self, alert: &str, result: Result<(), String>, now: Now) {
        let configured = self.hands.telegram.is_some();
        let words = match &result {
            Ok(()) => "ok".to_owned(),
            Err(why) => why.clone(),
        };
        if configured {
            let told = result.map(|()| "delivered".to_owned());
            self.health.note("telegram", told, now.wall_ms);
        }
        let channel = ("telegram".to_owned(), words.clone());
        let channels = self.delivered.entry(alert.to_owned()).or_default();
        channels.retain(|(name, _)| name != "telegram");
        channels.push(channel);
        let Some(open) = self.desk.alerts().iter().find(|a| a.id == alert).cloned() else {
            self.delivered.remove(alert);
            return;
        };
        let body = json!({
            "id": open.id, "account": self.account(), "severity": severity(&open),
            "title": format!("{} {}", open.notice.rule, open.notice.title),
            "detail": open.notice.text(), "delivery": format!("telegram {words}"),
        });
        self.journal("alert", body, now)
    }

    /// A disk that takes nothing is told once, and again when it recovered and failed anew.
    pub(super) fn watch_disk(&mut self, now: Now) {
        let trouble = self.store.trouble().map(str::to_owned);
        let new = trouble.is_some() && !self.undurable;
        self.undurable = trouble.is_some();
        if let Some(why) = trouble.filter(|_| new) {
            let detail = format!("state is not durable ({why}); stopping goes on without it");
            self.incident("state-not-durable", &detail, now);
        }
    }

    /// The next row for the recorder, if it has taken the one before.
    pub(super) fn pump_outbox(&mut self) {
        let Some(recorder) = &self.hands.recorder else {
            return;
        };
        if self.in_flight.is_some() {
            return;
        }
        if let Some((seq, draft)) = self.store.peek()
            && recorder.try_send((seq, draft)).is_ok()
        {
            self.in_flight = Some(seq);
        }
    }

    pub(super) fn on_recorder(&mut self, delivery: Delivery, now: Now) {
        let mut taken = |seq| {
            self.store.delivered(seq);
            self.in_flight = None;
        };
        let told = match delivery {
            Delivery::Up => Ok(()),
            Delivery::Down(why) => Err(why),
            Delivery::Appended(seq) => {
                taken(seq);
                Ok(())
            }
            Delivery::Refused(seq, why) => {
                tracing::error!(seq, why, "the recorder will not take a row; it is dropped");
                taken(seq);
                Err(format!("refused a row: {why}"))
            }
        };
        let waiting = self.store.waiting();
        let told = told
            .map(|()| format!("{waiting} rows wait"))
            .map_err(|why| format!("{why}; {waiting} rows wait"));
        self.health.note("recorder", told, now.wall_ms);
    }

    /// What a console asks. Nothing of it can increase risk: the certificate brings its own
    /// authority.
    pub(super) fn on_console(&mut self, ask: Ask, now: Now) {
        let outcome = match ask.request {
            Request::Acknowledge { alert } => self.acknowledge(&alert, ask.uid, now),
            Request::Release { certificate } => self.release(&certificate, ask.uid, now),
        };
        let reply = match outcome {
            Ok(detail) => Reply { done: true, detail },
            Err(detail) => Reply {
                done: false,
                detail,
            },
        };
        // The console may be gone by now.
        let _ = ask.answer.send(reply);
    }

    fn acknowledge(&mut self, alert: &str, uid: u32, now: Now) -> Result<String, String> {
        let open = self.desk.alerts().iter().find(|a| a.id == alert).cloned();
        let open = open.ok_or_else(|| format!("there is no alert {alert}"))?;
        self.desk.acknowledge(alert);
        if open.notice.rule == Rung::R1.name() {
            self.ladder.acknowledge_review();
            self.save(&[], now);
        }
        let body = json!({
            "id": alert, "note": format!("{} by uid {uid}", open.notice.rule), "uid": uid,
        });
        self.journal("ack", body, now);
        Ok(format!("{} acknowledged", open.notice.rule))
    }

    fn release(&mut self, certificate: &Signed, uid: u32, now: Now) -> Result<String, String> {
        let (certificate, rung, rebase) = self.verified(certificate, now)?;
        let number = certificate.sequence;
        // Loosening must be durable, and a number counts once even if what follows is refused.
        match self.store.raise("certificate", number) {
            Ok(true) => {}
            Ok(false) => return Err("this certificate was used, or a later one was".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        self.ladder
            .release(rung, rebase)
            .map_err(|refusal| refused(rung, refusal))?;
        self.verdict = self.ladder.now();
        let why = format!(
            "by certificate {number} (uid {uid}): {}",
            certificate.reason
        );
        self.released(rung, &why, now);
        Ok(format!("{} released", rung.name()))
    }

    /// Everything that a certificate must be, before it has any effect.
    fn verified(
        &self,
        certificate: &Signed,
        now: Now,
    ) -> Result<(Certificate, Rung, Rebase), String> {
        let path = self
            .config
            .revoker_public_key
            .as_ref()
            .ok_or("no revoker_public_key is configured: no certificate can be verified")?;
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("reading {}: {e}", path.display()))?;
        let key = hex::decode(text.trim())
            .map_err(|_| format!("{} is not a key in hex", path.display()))?;
        let certificate: Certificate = certificate
            .open(CERTIFICATE, &key)
            .map_err(|e| e.to_string())?;
        if certificate.account != self.config.account {
            return Err(format!("the certificate is for {}", certificate.account));
        }
        if now.wall_ms >= certificate.expires_ms {
            return Err("the certificate has expired".to_owned());
        }
        if certificate.config_hash != self.config_hash {
            return Err("the ladder's configuration is not the one that was approved".to_owned());
        }
        let rung = Rung::ALL
            .into_iter()
            .find(|rung| rung.name() == certificate.rung)
            .ok_or_else(|| format!("there is no rung {}", certificate.rung))?;
        let rebase = match certificate.action.as_str() {
            "release" => Rebase::Keep,
            "rebase_month" => Rebase::Month,
            "rebase_peak" => Rebase::MonthAndPeak,
            other => return Err(format!("there is no release called {other}")),
        };
        Ok((certificate, rung, rebase))
    }
}

/// Sends with patience, but not for ever.
async fn deliver(telegram: Arc<Telegram>, notice: &Notice) -> Result<(), String> {
    let mut last = String::new();
    for attempt in 0..SEND_ATTEMPTS {
        let pause_s = match telegram.send(notice).await {
            Ok(()) => return Ok(()),
            Err(TelegramError::Slower(seconds)) => {
                last = format!("asked to wait {seconds} s");
                seconds.min(MAX_SLOWER_S)
            }
            Err(error) => {
                last = error.to_string();
                1 << attempt
            }
        };
        if attempt + 1 < SEND_ATTEMPTS {
            tokio::time::sleep(Duration::from_secs(pause_s)).await;
        }
    }
    Err(last)
}

fn refused(rung: Rung, refusal: Refusal) -> String {
    match refusal {
        Refusal::NotLatched => format!("{} is not in force", rung.name()),
        Refusal::NotConfirmed => "no confirmed fresh equity to judge by".to_owned(),
        Refusal::StillTrue(other) => format!(
            "{} would trip again at once; a re-base is needed, or the loss made good",
            other.name()
        ),
    }
}

pub(super) fn severity(open: &Open) -> u8 {
    match open.notice.level {
        Level::Critical => 1,
        Level::Warn => 2,
        Level::Info => 4,
    }
}

fn list(words: &[&str]) -> String {
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(" "),
    }
}

/// `2026-11-21T08:00:00.123Z`.
fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms)
        .map(|at| at.to_string())
        .unwrap_or_default()
}
