//! Tells people, outwards only: nothing that comes back is read (threat T09). A text is a
//! template over allow-listed fields; of a key it shows at most the last four characters.

use crate::config;
use fusebox_custody::Secret;
use fusebox_domain::clean;
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
/// Telegram refuses longer texts.
const MAX_CHARS: usize = 3_500;
/// Messages that may wait; beyond, new ones are dropped and that is logged.
const WAITING: usize = 64;

#[derive(Clone)]
pub(crate) struct Pager {
    texts: mpsc::Sender<String>,
}

impl Pager {
    /// Starts the sender; without a channel in the configuration the texts go to the log alone.
    pub(crate) fn start(channel: Option<(&config::Telegram, Secret)>) -> Self {
        let (texts, inbox) = mpsc::channel(WAITING);
        let telegram = channel.and_then(|(to, token)| {
            let http = reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .no_proxy()
                .build();
            Some(Telegram {
                http: http.ok()?,
                address: to.address.trim_end_matches('/').to_owned(),
                token,
                chat_id: to.chat_id.clone(),
            })
        });
        tokio::spawn(deliver(telegram, inbox));
        Self { texts }
    }

    /// Says something; never waits.
    pub(crate) fn page(&self, text: impl Into<String>) {
        let text = clean(&text.into(), MAX_CHARS);
        tracing::warn!(text, "page");
        if self.texts.try_send(text).is_err() {
            tracing::error!("a page was dropped: too many wait for delivery");
        }
    }
}

struct Telegram {
    http: reqwest::Client,
    address: String,
    token: Secret,
    chat_id: String,
}

async fn deliver(telegram: Option<Telegram>, mut inbox: mpsc::Receiver<String>) {
    while let Some(text) = inbox.recv().await {
        let Some(telegram) = &telegram else { continue };
        for _ in 0..TRIES {
            if telegram.send(&text).await {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Telegram {
    async fn send(&self, text: &str) -> bool {
        // The token is part of the address, which therefore must never reach an error or a log.
        let url = format!("{}/bot{}/sendMessage", self.address, self.token.expose());
        let body = json!({"chat_id": self.chat_id, "text": text}).to_string();
        let request = self
            .http
            .post(url)
            .header("Content-Type", "application/json")
            .body(body);
        match request.send().await {
            Ok(answer) => answer.status().is_success(),
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(%error, "telegram does not answer");
                false
            }
        }
    }
}
