//! The bot's process and port: started and stopped by its Deployment's pods, reachable while one is there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::book::{self, Book, SharedBook};
use super::engine::{self, Start};
use super::force::{self, Command};
use super::rest::{self, Outcome, Tokens};
use super::strategy::RunState;
use crate::clock::Clock;
use crate::http::{Reply, Request, Service};
use crate::ids::Ids;
use crate::kubernetes::{KubernetesService, Workload};

/// How often the pods are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// Commands that may wait for the engine.
const MAILBOX: usize = 16;

/// What one bot is made with.
#[derive(Debug, Clone)]
pub(crate) struct BotSettings {
    /// Account name for the seed and the log, `1`, `2`, …
    pub(crate) account: String,
    /// The Deployment whose pods are this bot.
    pub(crate) deployment: String,
    /// Its database file; made when missing, read when there.
    pub(crate) db: PathBuf,
    /// Base URL of the exchange's REST API, without a trailing slash.
    pub(crate) bybit_rest: String,
    pub(crate) seed: u64,
}

/// A process that lives in a pod.
struct Running {
    pod: String,
    book: SharedBook,
    commands: mpsc::Sender<force::Request>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One bot: its supervision and its REST port.
pub(crate) struct BotService {
    settings: BotSettings,
    kubernetes: Arc<KubernetesService>,
    clock: Clock,
    tokens: Tokens,
    running: Mutex<Option<Running>>,
}

impl BotService {
    /// A bot that does not run yet.
    pub(crate) fn new(
        settings: BotSettings,
        kubernetes: Arc<KubernetesService>,
        clock: Clock,
    ) -> Self {
        let room = format!("bot/{}/jwt", settings.account);
        let tokens = Tokens::new(&Ids::new(settings.seed, &room).bytes());
        Self {
            settings,
            kubernetes,
            clock,
            tokens,
            running: Mutex::new(None),
        }
    }

    /// Lives for ever: ten times a second, what the pods say is done.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut watch = tokio::time::interval(WATCH);
        watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            watch.tick().await;
            let workload = self.kubernetes.workload(&self.settings.deployment);
            self.follow(workload);
        }
    }

    /// Starts, stops or leaves the process as its pod demands.
    fn follow(&self, workload: Option<Workload>) {
        let mut running = self.lock();
        let Some(workload) = workload else {
            // Dropping it aborts it wherever it stands.
            *running = None;
            return;
        };
        if running.as_ref().is_none_or(|bot| bot.pod != workload.pod) {
            *running = None;
            if workload.terminating {
                return;
            }
            *running = Some(self.start(&workload));
        }
        if workload.terminating
            && let Some(bot) = running.as_ref()
        {
            let mut book = book::lock(&bot.book);
            if book.run != RunState::Stopped {
                let now_us = self.clock.wall_ms() * 1000;
                book.note(now_us, "INFO", "SIGTERM received, stopping".to_owned());
                book.run = RunState::Stopped;
                book.broken = true;
            }
        }
    }

    fn start(&self, workload: &Workload) -> Running {
        let book: SharedBook = Arc::new(Mutex::new(Book::new(self.clock.wall_ms() * 1000)));
        let (commands, inbox) = mpsc::channel(MAILBOX);
        let start = Start {
            account: self.settings.account.clone(),
            db: self.settings.db.clone(),
            seed: self.settings.seed,
            clock: self.clock.clone(),
            bybit_rest: self.settings.bybit_rest.clone(),
            env: workload.env.clone(),
        };
        let task = tokio::spawn(engine::run(start, book.clone(), inbox)).abort_handle();
        Running {
            pod: workload.pod.clone(),
            book,
            commands,
            task,
        }
    }

    /// Book and mailbox of the process, when there is one. A pod that is gone is noticed here too, not only at the
    /// next look.
    fn process(&self) -> Option<(SharedBook, mpsc::Sender<force::Request>)> {
        let workload = self.kubernetes.workload(&self.settings.deployment);
        self.follow(workload);
        self.lock()
            .as_ref()
            .map(|bot| (bot.book.clone(), bot.commands.clone()))
    }

    async fn respond(&self, request: Request) -> Reply {
        let Some((book, commands)) = self.process() else {
            return Reply::reset();
        };
        let now_ms = self.clock.wall_ms();
        let outcome = rest::answer(&request, &mut book::lock(&book), &self.tokens, now_ms);
        let command = match outcome {
            Outcome::Answer(status, body) => return Reply::json(status, &body),
            Outcome::Act(command) => command,
        };
        let trade = match &command {
            Command::ForceExit { trade, .. } => *trade,
            Command::ForceEnter(_) => None,
        };
        let (answer, result) = oneshot::channel();
        let sent = commands.send((command, answer)).await.is_ok();
        let result = if sent { result.await.ok() } else { None };
        let Some(result) = result else {
            // The pod went while the command was under way.
            return Reply::reset();
        };
        let (status, body) = rest::finished(&request.path, trade, result, &book::lock(&book));
        Reply::json(status, &body)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for BotService {
    fn name(&self) -> &'static str {
        "freqtrade"
    }

    fn caller(&self, request: &Request) -> Option<String> {
        rest::caller(request, &self.tokens, self.clock.wall_ms())
    }

    fn state(&self) -> Value {
        match self.lock().as_ref() {
            Some(bot) => {
                let book = book::lock(&bot.book);
                json!({
                    "deployment": self.settings.deployment, "pod": bot.pod, "state": book.run.word(),
                    "open_trades": book.trades.iter().filter(|trade| trade.is_open).count(),
                    "trades": book.trades.len(), "last_error": book.last_error,
                })
            }
            None => json!({"deployment": self.settings.deployment, "pod": null, "state": "gone"}),
        }
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(self.respond(request))
    }
}
