//! The daemon's life: verify, serve, follow, close.

use crate::append::{self, Desk};
use crate::bot::{self, BotOrders};
use crate::config::{Config, Exchange};
use crate::coverage::Coverer;
use crate::exchange::Follower;
use crate::status::Board;
use crate::writer::{self, Writer};
use crate::{Error, key, now_ms};
use fusebox_daemon::Service;
use fusebox_domain::ApiKeyId;
use fusebox_journal::{Draft, Store, System};
use fusebox_venue::{Endpoints, Reader, Signer, Urls};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Pause before an account that could not be reached is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// Runs until the service stops.
pub(crate) async fn run(config: Config, service: Service) -> Result<(), Error> {
    let (writer, thread) = open(&config).await?;
    let board = Board::default();
    let accounts = config.exchange.iter().map(|e| e.account.clone()).collect();
    let coverer = Arc::new(Coverer::new(writer.clone(), board.clone(), accounts));
    let mut tasks = JoinSet::new();
    let mut bots = BTreeMap::new();
    for bot in config.freqtrade {
        let orders = BotOrders::default();
        bots.insert(bot.account.clone(), orders.clone());
        tasks.spawn(bot::follow(bot, writer.clone(), board.clone(), orders));
    }
    for exchange in config.exchange {
        let orders = bots.get(&exchange.account).cloned();
        tasks.spawn(follow(
            exchange,
            orders,
            writer.clone(),
            board.clone(),
            coverer.clone(),
        ));
    }
    let desk = Desk {
        writer: writer.clone(),
        board,
        coverer,
    };
    for socket in config.append {
        let listener = append::bind(&socket)?;
        tasks.spawn(append::serve(socket, listener, desk.clone()));
    }
    writer.append(vec![about_itself("started")]).await?;
    service.ready(&format!("writing {}", config.journal.display()));
    let mut reloads = service.clone();
    loop {
        tokio::select! {
            () = service.stopped() => break,
            () = reloads.reload_asked() => {
                tracing::warn!("a changed configuration needs a restart of the recorder");
            }
        }
    }
    let _ = writer.append(vec![about_itself("stopped")]).await;
    tasks.shutdown().await;
    drop((desk, writer));
    let closed = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .is_err()
    {
        tracing::warn!("the journal did not close in time; the next start tidies up");
    }
    Ok(())
}

/// Opens the journal after checking every row of it, also against its last checkpoint.
async fn open(config: &Config) -> Result<(Writer, std::thread::JoinHandle<()>), Error> {
    let key = key::checkpoint_key(&config.checkpoint_key, &config.name).await?;
    let remembered = key::last_checkpoint(&config.journal, &key)?;
    let store = Store::open(&config.journal)?;
    let (chain, fault) = store.reader().verify(remembered.map(|c| c.chain))?;
    if let Some(fault) = fault {
        return Err(fusebox_journal::Error::Broken(fault).into());
    }
    tracing::info!(entries = chain.size, head = %chain.head, "the journal verifies");
    let interval = Duration::from_secs(config.checkpoint_s.max(1));
    writer::start(store, key, interval, now_ms)
}

fn about_itself(event: &str) -> Draft {
    let body = System {
        event: event.to_owned(),
        component: "recorder".to_owned(),
        detail: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..System::default()
    };
    Draft::new(now_ms(), "recorder", &body)
}

/// Follows one account until the task is dropped.
async fn follow(
    config: Exchange,
    orders: Option<BotOrders>,
    writer: Writer,
    board: Board,
    coverer: Arc<Coverer>,
) {
    let source = format!("exchange {}", config.account);
    let follower = loop {
        match start(&config, orders.clone(), &writer).await {
            Ok(follower) => break Arc::new(Mutex::new(follower)),
            Err(error) => board.bad(&source, now_ms(), error.to_string()),
        }
        tokio::time::sleep(RETRY).await;
    };
    coverer.add(follower.clone()).await;
    let mut tick = tokio::time::interval(Duration::from_millis(config.poll_ms.max(250)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = follower.lock().await.poll(&writer, &board).await {
            board.bad(&source, now_ms(), error.to_string());
        }
    }
}

async fn start(
    config: &Exchange,
    orders: Option<BotOrders>,
    writer: &Writer,
) -> Result<Follower, Error> {
    let urls = config.rest.clone().map(|rest| Urls {
        rest,
        ws_public: None,
        ws_private: None,
    });
    let endpoints = Endpoints::new(config.environment, urls.as_ref())?;
    let api_key = config.api_key.fetch(None).await?;
    let secret = config.secret.fetch(None).await?;
    let signer = Signer::new(ApiKeyId::new(api_key.expose()), secret);
    let reader = Reader::new(endpoints, signer)?;
    let history_ms = i64::from(config.history_h).saturating_mul(3_600_000);
    Follower::start(&config.account, reader, orders, history_ms, writer).await
}
