//! Rungs into plans, plans into attempts. What is written here happens in this order: the ladder
//! and the plan are durable, the rows are in the outbox, then the first effect.

use super::{Engine, Input};
use crate::Now;
use crate::edge::bot::BotView;
use crate::edge::cluster::ClusterView;
use crate::edge::revoker;
use crate::plan::{Baseline, Held, Job, Outcome, Plan, State, gravest};
use fusebox_domain::{Order, Position};
use fusebox_ladder::Rung;
use fusebox_wire::Signed;
use fusebox_wire::stop::{STOP, Stop, StopKind};

/// R2 is judged by what was seen of the exchange at most this long ago.
const SEEN_MS: i64 = 10_000;

/// After the revoker refused a kill that the ladder still wants, it is asked again.
const ASK_AGAIN_MS: i64 = 60_000;

/// Rungs that want the bot at zero replicas for as long as they are in force.
const ZERO: [Rung; 3] = [Rung::R3, Rung::R4, Rung::B3];

impl Engine {
    /// Acts upon the rungs that one event put in force: one plan, that of the gravest; a row and
    /// an alert for each.
    pub(super) fn begin(&mut self, rungs: &[(Rung, String)], t_ms: i64, now: Now) {
        let Some(rung) = gravest(rungs.iter().map(|(rung, _)| *rung)) else {
            return;
        };
        let why = rungs
            .iter()
            .find(|(r, _)| *r == rung)
            .map(|(_, why)| why.clone())
            .unwrap_or_default();
        let plan = self.make_plan(rung, why, t_ms, now);
        let grave = ZERO.contains(&rung);
        if grave {
            let by = plan.id.clone();
            for open in self.plans.iter_mut().filter(|plan| plan.is_open()) {
                open.supersede(&by, now.wall_ms);
            }
        }
        self.plans.push(plan);
        let changed: Vec<Plan> = self.plans.clone();
        self.save(&changed.iter().collect::<Vec<_>>(), now);
        for (rung, why) in rungs {
            self.journal_halt(*rung, why, t_ms, now);
        }
        // The gravest first here too: a channel may be slow.
        let mut order: Vec<&(Rung, String)> = rungs.iter().collect();
        order.sort_by_key(|(r, _)| (*r != rung, std::cmp::Reverse(*r as u8)));
        for (rung, why) in order {
            self.alert_rung(*rung, why, now);
        }
        self.trim_plans();
    }

    fn make_plan(&mut self, rung: Rung, why: String, t_ms: i64, now: Now) -> Plan {
        let number = self.store.next("plan");
        let id = format!("{}-{}-{number}", self.account(), rung.name().to_lowercase());
        let mut plan = Plan::new(id, rung, why, t_ms, now.wall_ms);
        if rung == Rung::R2 {
            plan.baseline = Some(Baseline {
                held: self.seen_positions(now).map(|_| self.held()),
                deadline_ms: now.wall_ms.saturating_add(self.config.reduce_verify_ms),
                keep_percent: self.config.reduce_to_percent,
            });
            if let Some(graver) = ZERO.iter().find(|r| self.ladder.latch_of(**r).is_some()) {
                plan.supersede(graver.name(), now.wall_ms);
            }
        }
        plan
    }

    /// After a restart: the gravest latch must have its plan, even if the plan's record was lost.
    pub(super) fn plan_what_is_missing(&mut self, now: Now) {
        let in_force = ZERO.into_iter();
        let in_force = in_force.filter(|rung| self.ladder.latch_of(*rung).is_some());
        let Some(rung) = gravest(in_force) else {
            return;
        };
        if self.plans.iter().any(|plan| plan.rung == rung.name()) {
            return;
        }
        let why = format!("{} is in force and has no plan", rung.name());
        let plan = self.make_plan(rung, why, now.exchange_ms, now);
        self.save(&[&plan], now);
        self.plans.push(plan);
    }

    /// What is held now, by the exchange's word.
    fn held(&self) -> Vec<Held> {
        let held = self.book.positions().map(|position| Held {
            symbol: position.symbol.clone(),
            side: position.side,
            size: position.size,
            price: self
                .marks
                .latest(&position.symbol)
                .map(|(_, mark)| mark)
                .or(position.mark_price)
                .unwrap_or(position.entry_price),
        });
        held.collect()
    }

    /// Looks at every open plan: what has come about, what is to be tried now.
    pub(super) fn drive(&mut self, now: Now) {
        if !self.plans.iter().any(Plan::is_open) {
            return;
        }
        let seen = self.seen_positions(now);
        let mut plans = std::mem::take(&mut self.plans);
        let mut failed = Vec::new();
        for plan in plans.iter_mut().filter(|plan| plan.is_open()) {
            let before = plan.clone();
            if seen.is_some() {
                plan.hold(|| self.held());
            }
            plan.observe(seen.as_deref(), now.wall_ms);
            let jobs = plan.due(now.wall_ms);
            if *plan != before {
                self.store.save_plan(plan);
            }
            if !plan.is_open() {
                self.journal_plan(plan, now);
            }
            if plan.reduction_failed() && !before.reduction_failed() {
                failed.push(plan.id.clone());
            }
            for job in jobs {
                self.attempt(plan, job);
            }
        }
        self.plans.append(&mut plans);
        for id in failed {
            let why = format!("{id} did not reduce in time: the bot may lie; R3 instead");
            self.incident("reduction-failed", &why, now);
            self.ladder.latch(Rung::R3, now.exchange_ms);
            self.verdict = self.ladder.now();
            self.begin(&[(Rung::R3, why)], now.exchange_ms, now);
        }
    }

    /// Positions, if what is known of them is fresh enough to judge a reduction by.
    fn seen_positions(&self, now: Now) -> Option<Vec<Position>> {
        let listed = self
            .listed_ms
            .is_some_and(|t| now.exchange_ms.saturating_sub(t) <= SEEN_MS);
        listed.then(|| self.book.positions().cloned().collect())
    }

    /// Begins one attempt; its outcome comes back as [`Input::Attempt`].
    fn attempt(&mut self, plan: &Plan, job: Job) {
        let (bot, cluster) = (self.hands.bot.clone(), self.hands.cluster.clone());
        let revoker_path = self.hands.revoker.clone();
        let signed = match job {
            Job::CancelEntries => self.sign(plan, StopKind::CancelEntries),
            Job::RequestKill => self.sign(plan, StopKind::Kill),
            _ => None,
        };
        let (id, input) = (plan.id.clone(), self.out.input.clone());
        let baseline = plan.baseline.clone().unwrap_or_default();
        tracing::info!(plan = id, job = job.words(), "attempt");
        tokio::spawn(async move {
            let outcome = match (job, bot, cluster, revoker_path, signed) {
                (Job::StopEntries, Some(bot), ..) => bot.stop_entries().await,
                (Job::Reduce, Some(bot), ..) => bot.reduce(&baseline).await,
                (Job::ScaleZero, _, Some(cluster), ..) => cluster.scale_to_zero().await,
                (Job::VerifyNoPods, _, Some(cluster), ..) => cluster.no_pods().await,
                (Job::CancelEntries, _, _, Some(path), Some(signed)) => {
                    revoker::cancel_entries(&path, signed).await
                }
                (Job::RequestKill, _, _, Some(path), Some(signed)) => {
                    revoker::request_kill(&path, signed).await
                }
                _ => Outcome::Failed("not configured".to_owned()),
            };
            let _ = input
                .send(Input::Attempt {
                    plan: id,
                    job,
                    outcome,
                })
                .await;
        });
    }

    /// A request that the revoker will believe; its number is durable before it is used.
    fn sign(&mut self, plan: &Plan, kind: StopKind) -> Option<Signed> {
        let stop = Stop {
            kind,
            account: self.config.account.clone(),
            sequence: self.store.next("stop"),
            rung: plan.rung.clone(),
            t_ms: plan.t_ms,
            evidence: plan.reason.clone(),
        };
        Signed::sign(STOP, &stop, &self.key)
            .inspect_err(|error| tracing::error!(%error, "a request could not be signed"))
            .ok()
    }

    pub(super) fn on_attempt(&mut self, plan_id: &str, job: Job, outcome: Outcome, now: Now) {
        tracing::info!(plan = plan_id, job = job.words(), ?outcome, "attempt ended");
        let Some(at) = self.plans.iter().position(|plan| plan.id == plan_id) else {
            return;
        };
        let mut ended = None;
        if let Some(plan) = self.plans.get_mut(at) {
            let was_open = plan.is_open();
            plan.report(job, outcome, now.wall_ms);
            self.store.save_plan(plan);
            if was_open && !plan.is_open() {
                ended = Some(plan.clone());
            }
        }
        if let Some(plan) = ended {
            self.journal_plan(&plan, now);
        }
    }

    pub(super) fn on_bot(&mut self, result: Result<(BotView, i64), String>, now: Now) {
        let told = match result {
            Ok((view, began_ms)) => {
                self.orders.bot_orders(view.order_ids, began_ms);
                Ok(format!("{}, {} trades", view.state, view.trades.len()))
            }
            Err(why) => match self.bot_is_gone() {
                true => Err("scaled to zero".to_owned()),
                false => Err(why),
            },
        };
        self.health.note("bot", told, now.wall_ms);
    }

    fn bot_is_gone(&self) -> bool {
        self.cluster
            .as_ref()
            .is_some_and(|view| view.wanted == 0 && view.running == 0)
    }

    pub(super) fn on_cluster(&mut self, result: Result<ClusterView, String>, now: Now) {
        let told = result
            .as_ref()
            .map(|view| format!("{} wanted, {} running", view.wanted, view.running));
        self.health
            .note("k3s", told.map_err(Clone::clone), now.wall_ms);
        self.cluster = result.ok();
        if self.bot_is_gone() {
            for plan in self.plans.iter_mut().filter(|plan| plan.is_open()) {
                let done = Outcome::Done("no bot runs".to_owned());
                plan.report(Job::StopEntries, done, now.wall_ms);
            }
        }
        let wanted = self.cluster.as_ref().map_or(0, |view| view.wanted);
        let in_force = ZERO.iter().find(|r| self.ladder.latch_of(**r).is_some());
        let scaling = self
            .plans
            .iter()
            .any(|plan| plan.is_open() && plan.state_of(Job::ScaleZero).is_some());
        if let Some(rung) = in_force.filter(|_| wanted > 0 && !scaling) {
            let why = format!(
                "somebody scaled the bot to {wanted} while {} is in force",
                rung.name()
            );
            self.incident("scaled-up-while-halted", &why, now);
            // Not a new kill: only the bot is stopped again.
            let plan = self.make_plan(Rung::B3, why, now.exchange_ms, now);
            self.save(&[&plan], now);
            self.plans.push(plan);
        }
    }

    /// R4 stands, the revoker refused (its own ladder was not there yet), and the loss is still
    /// there: ask again.
    pub(super) fn ask_kill_again(&mut self, now: Now) {
        if !self.verdict.tripped.contains(Rung::R4) {
            return;
        }
        let refused = self
            .plans
            .iter()
            .rev()
            .find(|plan| plan.state_of(Job::RequestKill).is_some())
            .is_some_and(|plan| {
                plan.state_of(Job::RequestKill) == Some(State::Failed)
                    && plan
                        .ended_ms
                        .is_some_and(|end| now.wall_ms.saturating_sub(end) >= ASK_AGAIN_MS)
            });
        if !refused {
            return;
        }
        let why = "the peak loss still stands: the revoker is asked again".to_owned();
        let plan = self.make_plan(Rung::R4, why, now.exchange_ms, now);
        self.save(&[&plan], now);
        self.plans.push(plan);
    }

    /// Orders of the exchange, as they come. An entry that may take is flagged (S0-39); once R2 is
    /// in force only maker entries are allowed at all, and it stops them.
    pub(super) fn look_at(&mut self, orders: &[Order], now: Now) {
        for order in orders {
            let Some(finding) = self.orders.order(order) else {
                continue;
            };
            let why = format!("{}: an entry that is not maker-only", finding.what);
            match self.ladder.latch_of(Rung::R2) {
                Some(_) => self.integrity("not-post-only", &why, &finding.order_id, now),
                None => self.incident("not-post-only", &why, now),
            }
        }
    }

    /// Orders that the bot does not know.
    pub(super) fn judge_orders(&mut self, now: Now) {
        for finding in self.orders.judge() {
            let why = format!("{}: not placed by the bot", finding.what);
            self.integrity("foreign-order", &why, &finding.order_id, now);
        }
    }

    /// Rule X: entries stop until a certificate says otherwise.
    fn integrity(&mut self, kind: &str, why: &str, order_id: &str, now: Now) {
        let detail = format!("{why} (order {order_id})");
        self.journal_incident(kind, &detail, now);
        let new = self.ladder.latch_of(Rung::X).is_none();
        self.ladder.latch(Rung::X, now.exchange_ms);
        self.verdict = self.ladder.now();
        let stopping = self
            .plans
            .iter()
            .any(|plan| plan.is_open() && plan.state_of(Job::StopEntries).is_some());
        if new || !stopping {
            return self.begin(&[(Rung::X, why.to_owned())], now.exchange_ms, now);
        }
        self.alert_rung(Rung::X, why, now);
    }

    /// Finished plans beyond what the screen shows go.
    fn trim_plans(&mut self) {
        while self.plans.len() > 50 {
            let Some(at) = self.plans.iter().position(|plan| !plan.is_open()) else {
                return;
            };
            self.plans.remove(at);
        }
    }
}
