//! From the command line to running tasks.

use crate::config::Config;
use crate::edge::bot::Bot;
use crate::edge::cluster::Cluster;
use crate::edge::{feed, metrics, recorder, revoker};
use crate::engine::{Engine, Hands, Input, Outlets};
use crate::store::Store;
use crate::{Error, Now, poll, replay, signing};
use clap::{Args as _, FromArgMatches, Parser};
use fusebox_daemon::{Args, Service, exit};
use fusebox_ladder::Config as LadderConfig;
use fusebox_notify::Telegram;
use fusebox_venue::stream::{PrivateEvent, PublicEvent, Watch, private, public};
use fusebox_venue::{Endpoints, Reader, Signer, Urls};
use fusebox_wire::{Component, Listener};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Inputs that may wait for the engine.
const QUEUE: usize = 1_024;

/// How far back the very first reading of the ledger looks.
const FIRST_LOOK_MS: i64 = 7 * 24 * 3_600_000;

/// `fusebox-breaker replay`.
#[derive(Debug, Parser)]
struct ReplayArgs {
    /// Configuration whose thresholds and limits are used; absent: the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    // The texts come last: `augment_args` would put those of the argument types in their place.
    let daemon = Args::augment_args(clap::Command::new("fusebox-breaker"))
        .about("Measures one account, runs the drawdown ladder and acts by itself")
        .version(env!("CARGO_PKG_VERSION"))
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true);
    let replay = ReplayArgs::augment_args(clap::Command::new("replay"))
        .about("Runs the ladder over a history from standard input, one JSON line each way");
    let matches = daemon.subcommand(replay).get_matches();
    if let Some(("replay", matches)) = matches.subcommand() {
        return match ReplayArgs::from_arg_matches(matches) {
            Ok(args) => run_replay(&args),
            Err(error) => error.exit(),
        };
    }
    match Args::from_arg_matches(&matches) {
        Ok(args) if args.check => check(&args),
        Ok(args) => fusebox_daemon::run_with::<Config, _>(&args, |config, service| async move {
            Box::pin(run(config, service)).await.map_err(Into::into)
        }),
        Err(error) => error.exit(),
    }
}

/// `--check`: what the types say and what they do not.
fn check(args: &Args) -> ExitCode {
    fusebox_daemon::init_logs();
    let outcome = fusebox_daemon::load::<Config>(&args.config)
        .map_err(|e| e.to_string())
        .and_then(|config| {
            config.validate()?;
            endpoints(&config).map_err(|e| e.to_string())
        });
    match outcome {
        Ok(_) => {
            println!("{}: ok", args.config.display());
            ExitCode::from(exit::DONE)
        }
        Err(why) => {
            tracing::error!(why, "configuration");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn run_replay(args: &ReplayArgs) -> ExitCode {
    let config = match &args.config {
        None => LadderConfig::default(),
        Some(path) => match fusebox_daemon::load::<Config>(path) {
            Ok(config) => config.ladder(),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(exit::USAGE);
            }
        },
    };
    match replay::run(std::io::stdin().lock(), std::io::stdout().lock(), config) {
        Ok(_) => ExitCode::from(exit::DONE),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit::FAILED)
        }
    }
}

fn endpoints(config: &Config) -> Result<Endpoints, fusebox_venue::Error> {
    let urls = config.exchange.rest.as_ref().map(|rest| Urls {
        rest: rest.clone(),
        ws_public: config.exchange.ws_public.clone(),
        ws_private: config.exchange.ws_private.clone(),
    });
    Endpoints::new(config.environment, urls.as_ref())
}

/// The breaker's life.
async fn run(config: Config, service: Service) -> Result<(), Error> {
    config.validate().map_err(Error::Config)?;
    signing::make_state_dir(&config.state_dir)?;
    // Before anything that can fail: the revoker is enrolled with the public half.
    let key = signing::load_or_make(&config.state_dir)?;
    let store = Store::open(&config.state_dir.join("breaker.db"))?;
    let secret = config.exchange.secret.fetch(None).await?;
    let signer = Signer::new(config.exchange.api_key.as_str().into(), secret);
    let reader = Arc::new(Reader::new(endpoints(&config)?, signer)?);
    let listener = Listener::bind(&config.feed_socket, Component::Breaker, &config.feed_uids)?;

    let (input, inputs) = mpsc::channel(QUEUE);
    let (hands, rows) = hands(&config).await?;
    let (feed_tx, feed_rx) = mpsc::channel(QUEUE);
    let (page_tx, page_rx) = watch::channel(metrics::Page::default());
    let (symbols_tx, symbols_rx) = watch::channel(BTreeSet::new());
    let (since_tx, since_rx) = watch::channel(None);
    let out = Outlets {
        feed: feed_tx,
        page: page_tx,
        symbols: symbols_tx,
        ledger_since: since_tx,
        input: input.clone(),
    };
    // The exchange's clock, before the first decision; without it this machine's stands in.
    let _ = reader.server_time().await;
    let wall_ms = crate::wall_ms();
    let now = Now {
        wall_ms,
        exchange_ms: reader.exchange_now_ms().unwrap_or(wall_ms),
    };
    let (bot, cluster) = (hands.bot.clone(), hands.cluster.clone());
    let engine = Engine::new(config.clone(), key, store, hands, out, now)?;

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(feed::serve(listener, feed_rx, input.clone()));
    if let Some(listen) = config.metrics_listen {
        tasks.spawn(metrics::serve_on(listen, page_rx));
    }
    tasks.spawn(poll::tick(input.clone()));
    tasks.spawn(poll::wallet(Arc::clone(&reader), input.clone()));
    tasks.spawn(poll::ledger(
        Arc::clone(&reader),
        since_rx,
        FIRST_LOOK_MS,
        input.clone(),
    ));
    tasks.spawn(poll::listing(Arc::clone(&reader), input.clone()));
    tasks.spawn(follow_private(Arc::clone(&reader), input.clone()));
    tasks.spawn(follow_public(
        Arc::clone(&reader),
        symbols_rx,
        input.clone(),
    ));
    if let Some(bot) = bot {
        tasks.spawn(poll::bot(bot, Arc::clone(&reader), input.clone()));
    }
    if let Some(cluster) = cluster {
        tasks.spawn(poll::cluster(cluster, input.clone()));
    }
    if let Some(path) = config.revoker_socket.clone() {
        tasks.spawn(revoker::beat(path, config.account.clone(), input.clone()));
    }
    if let (Some(path), Some(rows)) = (config.recorder_socket.clone(), rows) {
        tasks.spawn(recorder::deliver(path, rows, input.clone()));
    }
    drop(input);

    service.ready(&format!("watching {}", config.account));
    let clock = Arc::clone(&reader);
    engine
        .run(inputs, move || clock.exchange_now_ms(), async move {
            service.stopped().await
        })
        .await;
    Ok(())
}

/// A row of the outbox with its number.
type Row = (u64, fusebox_wire::append::Draft);

/// Whatever is configured; a secret that is missing is told before anything runs.
async fn hands(config: &Config) -> Result<(Hands, Option<mpsc::Receiver<Row>>), Error> {
    let mut hands = Hands {
        revoker: config.revoker_socket.clone(),
        ..Hands::default()
    };
    if let Some(freqtrade) = &config.freqtrade {
        let password = freqtrade.password.fetch(None).await?;
        hands.bot = Some(Arc::new(Bot::new(freqtrade, password)?));
    }
    if let Some(kubernetes) = &config.kubernetes {
        let token = kubernetes.token.fetch(None).await?;
        hands.cluster = Some(Arc::new(Cluster::new(kubernetes, token)?));
    }
    if let Some(telegram) = &config.telegram {
        let token = telegram.token.fetch(None).await?;
        let telegram = Telegram::new(&telegram.url, token, &telegram.chat_id)?;
        hands.telegram = Some(Arc::new(telegram));
    }
    let mut rows = None;
    if config.recorder_socket.is_some() {
        let (tx, rx) = mpsc::channel(1);
        hands.recorder = Some(tx);
        rows = Some(rx);
    }
    Ok((hands, rows))
}

async fn follow_private(reader: Arc<Reader>, out: mpsc::Sender<Input>) {
    let (tx, mut rx) = mpsc::channel::<PrivateEvent>(QUEUE);
    tokio::join!(private(&reader, Watch::PRIVATE, tx), async move {
        while let Some(event) = rx.recv().await {
            if out.send(Input::Private(event)).await.is_err() {
                return;
            }
        }
    });
}

async fn follow_public(
    reader: Arc<Reader>,
    symbols: watch::Receiver<BTreeSet<fusebox_domain::Symbol>>,
    out: mpsc::Sender<Input>,
) {
    let (tx, mut rx) = mpsc::channel::<PublicEvent>(QUEUE);
    let endpoints = reader.endpoints();
    tokio::join!(public(endpoints, symbols, Watch::PUBLIC, tx), async move {
        while let Some(event) = rx.recv().await {
            if out.send(Input::Public(event)).await.is_err() {
                return;
            }
        }
    });
}
