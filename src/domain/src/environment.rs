//! Which world a component talks to. Keys of one world are never sent to another: the wrong
//! world answers "invalid key" (Bybit 10003), which would look like a proof of death.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The typed environment of every endpoint, key and request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// The simulator on this machine: loopback only, plain HTTP allowed, the demo's key accepted.
    Sim,
    /// The exchange's demo trading (invented money on production hosts).
    Demo,
    /// The exchange's testnet.
    Testnet,
    /// Real money.
    Mainnet,
}

/// Why an endpoint may not be used in an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// `sim` reaches out of this machine.
    #[error(
        "environment sim accepts only loopback addresses, and {host} is not one; use 127.0.0.1, or name the real environment"
    )]
    NotLoopback {
        /// The host that was named.
        host: String,
    },
    /// Plain HTTP outside of `sim`.
    #[error(
        "environment {environment} needs https or wss, and {url} is neither; only sim may use plain text"
    )]
    PlainText {
        /// The environment.
        environment: Environment,
        /// The offending URL.
        url: String,
    },
    /// Not a URL with a scheme and a host.
    #[error("{url} is not a URL: expected scheme://host[:port]")]
    NotAUrl {
        /// The offending text.
        url: String,
    },
}

impl Environment {
    /// The word used in configuration and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Demo => "demo",
            Self::Testnet => "testnet",
            Self::Mainnet => "mainnet",
        }
    }

    /// Whether the demo's software key may approve anything here.
    pub fn accepts_demo_key(self) -> bool {
        self == Self::Sim
    }

    /// Checks that `url` may be used here: `sim` loopback only, everything else encrypted.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the URL and what would be accepted.
    pub fn check_url(self, url: &str) -> Result<(), EnvironmentError> {
        let not_a_url = || EnvironmentError::NotAUrl {
            url: url.to_owned(),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(not_a_url)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host_port = authority.rsplit('@').next().unwrap_or_default();
        let host = match host_port.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host_port.split(':').next().unwrap_or_default(),
        };
        if host.is_empty() {
            return Err(not_a_url());
        }
        match self {
            Self::Sim => {
                let loopback =
                    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
                loopback
                    .then_some(())
                    .ok_or_else(|| EnvironmentError::NotLoopback {
                        host: host.to_owned(),
                    })
            }
            _ if matches!(scheme, "https" | "wss") => Ok(()),
            _ => Err(EnvironmentError::PlainText {
                environment: self,
                url: url.to_owned(),
            }),
        }
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sim_reaches_only_this_machine() {
        for good in [
            "http://127.0.0.1:8000",
            "ws://localhost:1/v5",
            "http://[::1]:9/x",
        ] {
            assert_eq!(Environment::Sim.check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "https://api.bybit.com",
            "http://10.0.0.1:1",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(
                matches!(
                    Environment::Sim.check_url(bad),
                    Err(EnvironmentError::NotLoopback { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn real_environments_refuse_plain_text_and_nonsense() {
        assert!(matches!(
            Environment::Mainnet.check_url("http://api.bybit.com"),
            Err(EnvironmentError::PlainText { .. })
        ));
        assert!(matches!(
            Environment::Testnet.check_url("api.bybit.com"),
            Err(EnvironmentError::NotAUrl { .. })
        ));
        assert!(matches!(
            Environment::Testnet.check_url("https://"),
            Err(EnvironmentError::NotAUrl { .. })
        ));
        assert_eq!(
            Environment::Mainnet.check_url("wss://stream.bybit.com/v5/private"),
            Ok(())
        );
    }
}
