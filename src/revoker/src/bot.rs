//! Asks the bot to open nothing more. Best effort: the bot may be dead, or the thief.

use crate::told::{Told, without_url};
use fusebox_custody::Secret;
use std::time::Duration;

/// It must not hold up anything.
const CALL_LIMIT: Duration = Duration::from_secs(1);

pub(crate) struct Bot {
    http: reqwest::Client,
    address: String,
    user: String,
    password: Secret,
}

impl Bot {
    pub(crate) fn new(address: &str, user: &str, password: Secret) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(CALL_LIMIT)
                .no_proxy()
                .build()?,
            address: address.trim_end_matches('/').to_owned(),
            user: user.to_owned(),
            password,
        })
    }

    /// `POST /api/v1/stopentry`: no new trades, open ones are managed on.
    pub(crate) async fn stop_entries(&self) -> Told {
        let request = self
            .http
            .post(format!("{}/api/v1/stopentry", self.address))
            .basic_auth(&self.user, Some(self.password.expose()));
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Told::Yes,
            Ok(answer) => Told::No(format!("HTTP {}", answer.status().as_u16())),
            Err(e) => Told::Unknown(without_url(e)),
        }
    }
}
