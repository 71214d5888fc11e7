//! Tells people, outwards only: nothing that comes back is read (threat T09). What may be said is
//! `fusebox-notify`'s list of fields; of a key that is its last four characters.

use crate::config;
use fusebox_custody::Secret;
use fusebox_notify::{Field, Level, Notice, Telegram, TelegramError};
use std::time::Duration;
use tokio::sync::mpsc;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause that Telegram may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Messages that may wait; beyond, new ones are dropped and that is logged.
const WAITING: usize = 64;

#[derive(Clone)]
pub(crate) struct Pager {
    notices: mpsc::Sender<Notice>,
}

impl Pager {
    /// Starts the sender; without a channel in the configuration the notices go to the log alone.
    pub(crate) fn start(channel: Option<(&config::Telegram, Secret)>) -> Self {
        let (notices, inbox) = mpsc::channel(WAITING);
        let telegram = channel.and_then(|(to, token)| {
            let made = Telegram::new(&to.address, token, &to.chat_id);
            made.inspect_err(|error| tracing::error!(%error, "pager"))
                .ok()
        });
        tokio::spawn(deliver(telegram, inbox));
        Self { notices }
    }

    /// Says something; never waits.
    pub(crate) fn page(
        &self,
        level: Level,
        rule: &str,
        subject: impl Into<String>,
        title: impl Into<String>,
        fields: Vec<Field>,
    ) {
        let notice = Notice {
            level,
            rule: rule.to_owned(),
            subject: subject.into(),
            title: title.into(),
            fields,
        };
        tracing::warn!(text = notice.text(), "page");
        if self.notices.try_send(notice).is_err() {
            tracing::error!("a page was dropped: too many wait for delivery");
        }
    }
}

async fn deliver(telegram: Option<Telegram>, mut inbox: mpsc::Receiver<Notice>) {
    while let Some(notice) = inbox.recv().await {
        let Some(telegram) = &telegram else { continue };
        for _ in 0..TRIES {
            let pause = match telegram.send(&notice).await {
                Ok(()) => break,
                Err(TelegramError::Slower(s)) => Duration::from_secs(s).min(PAUSE_MAX),
                Err(error) => {
                    tracing::warn!(%error, "pager");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}
