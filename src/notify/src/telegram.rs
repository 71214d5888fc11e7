//! Sends a notice to one Telegram chat.

use crate::Notice;
use fusebox_custody::Secret;
use std::time::Duration;

/// How long one message may take.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Why a message did not arrive. Never contains the token.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// The client could not be made.
    #[error("Telegram: the HTTP client could not be made: {0}")]
    Client(String),
    /// No answer.
    #[error("Telegram did not answer: {0}")]
    Unreachable(String),
    /// Told to wait.
    #[error("Telegram asks to wait {0} s")]
    Slower(u64),
    /// Refused.
    #[error("Telegram refused with HTTP {status}: {words}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words, cleaned.
        words: String,
    },
}

/// A chat that can be written to, and nothing else.
pub struct Telegram {
    http: reqwest::Client,
    base: String,
    token: Secret,
    chat: String,
}

impl std::fmt::Debug for Telegram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Telegram({}, chat {})", self.base, self.chat)
    }
}

#[derive(serde::Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(serde::Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl Telegram {
    /// `base` is `https://api.telegram.org` or the simulator's address.
    ///
    /// # Errors
    /// [`TelegramError::Client`] when no TLS provider is installed.
    pub fn new(base: &str, token: Secret, chat: &str) -> Result<Self, TelegramError> {
        let http = reqwest::Client::builder()
            .timeout(SEND_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| TelegramError::Client(e.without_url().to_string()))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token,
            chat: chat.to_owned(),
        })
    }

    /// Sends a notice once.
    ///
    /// # Errors
    /// [`TelegramError`]; the URL, which contains the token, is never part of it.
    pub async fn send(&self, notice: &Notice) -> Result<(), TelegramError> {
        let url = format!("{}/bot{}/sendMessage", self.base, self.token.expose());
        let body = serde_json::json!({
            "chat_id": self.chat, "text": notice.text(), "disable_web_page_preview": true,
        });
        let lost = |e: reqwest::Error| TelegramError::Unreachable(e.without_url().to_string());
        let response = self.http.post(url).json(&body).send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(lost)?;
        judge(status, &bytes)
    }
}

fn judge(status: u16, body: &[u8]) -> Result<(), TelegramError> {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.ok && status == 200 => Ok(()),
        Ok(answer) => match answer.parameters.and_then(|p| p.retry_after) {
            Some(seconds) => Err(TelegramError::Slower(seconds)),
            None => Err(TelegramError::Refused {
                status,
                words: fusebox_domain::clean_line(&answer.description, 120),
            }),
        },
        Err(_) => Err(TelegramError::Refused {
            status,
            words: "not an answer of Telegram".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_delivered() {
        assert!(judge(200, br#"{"ok":true,"result":{}}"#).is_ok());
        assert!(matches!(
            judge(429, br#"{"ok":false,"parameters":{"retry_after":7}}"#),
            Err(TelegramError::Slower(7))
        ));
        for (status, body) in [
            (200, "{\"ok\":false}"),
            (500, "{\"ok\":true}"),
            (200, "<html>"),
        ] {
            assert!(matches!(
                judge(status, body.as_bytes()),
                Err(TelegramError::Refused { .. })
            ));
        }
    }

    #[tokio::test]
    async fn the_token_is_in_no_debug_output_and_no_error() {
        // Plain HTTP needs no TLS, but the client asks for a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let telegram =
            Telegram::new("http://127.0.0.1:1", Secret::new("7:tok".into()), "1").unwrap();
        let notice = Notice {
            level: crate::Level::Info,
            rule: "R1".into(),
            subject: "trading-1".into(),
            title: "t".into(),
            fields: vec![],
        };
        let error = telegram.send(&notice).await.unwrap_err();
        assert!(matches!(error, TelegramError::Unreachable(_)));
        assert!(!format!("{telegram:?} {error} {error:?}").contains("tok"));
    }
}
