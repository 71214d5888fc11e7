//! Which hosts belong to which environment. A key sent to the wrong world answers 10003, which
//! looks like a proof of death; so the world is a type, and every host is checked against it.

use crate::Error;
use fusebox_domain::{Environment, EnvironmentError};
use serde::Deserialize;

/// Registrable domains under which Bybit serves its API, worldwide and regional.
const DOMAINS: &[&str] = &[
    "bybit.com",
    "bytick.com",
    "bybit.nl",
    "bybit.eu",
    "bybit.kz",
    "bybit.ae",
    "bybit.id",
    "bybit.tr",
    "bybit-tr.com",
    "bybitgeorgia.ge",
    "manepa.jp",
];

/// URLs of one account where they differ from the environment's own: the simulator, or a regional
/// host. Part of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urls {
    /// Base of the REST calls, `https://api.bybit.eu`.
    pub rest: String,
    /// Public WebSocket for linear contracts, whole URL; absent where no stream is used.
    pub ws_public: Option<String>,
    /// Private WebSocket, whole URL; absent where no stream is used.
    pub ws_private: Option<String>,
}

/// Checked base URLs of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    environment: Environment,
    rest: String,
    ws_public: String,
    ws_private: String,
}

impl Endpoints {
    /// The environment's fixed hosts, or `urls` once they are found to belong to it.
    ///
    /// # Errors
    /// [`Error::Environment`] for plain text outside of `sim` or a far host inside of it,
    /// [`Error::ForeignHost`] for a host of another environment, [`Error::NoHosts`] for `sim`
    /// without URLs.
    pub fn new(environment: Environment, urls: Option<&Urls>) -> Result<Self, Error> {
        let fixed = fixed(environment);
        let (rest, ws_public, ws_private) = match (urls, fixed) {
            (None, None) => return Err(Error::NoHosts { environment }),
            (None, Some((rest, public, private))) => {
                (rest.to_owned(), public.to_owned(), private.to_owned())
            }
            (Some(urls), fixed) => {
                let (_, public, private) = fixed.unwrap_or_default();
                (
                    urls.rest.trim_end_matches('/').to_owned(),
                    urls.ws_public.clone().unwrap_or_else(|| public.to_owned()),
                    urls.ws_private
                        .clone()
                        .unwrap_or_else(|| private.to_owned()),
                )
            }
        };
        check(environment, &rest, Kind::Rest)?;
        // A stream that is not configured stays empty and cannot be opened.
        for (url, kind) in [(&ws_public, Kind::Public), (&ws_private, Kind::Private)] {
            if !url.is_empty() {
                check(environment, url, kind)?;
            }
        }
        Ok(Self {
            environment,
            rest,
            ws_public,
            ws_private,
        })
    }

    /// The environment that all of them belong to.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Base of the REST calls, without a slash at the end.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The public WebSocket; empty if none is configured.
    pub(crate) fn ws_public(&self) -> &str {
        &self.ws_public
    }

    /// The private WebSocket; empty if none is configured.
    pub(crate) fn ws_private(&self) -> &str {
        &self.ws_private
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rest,
    Public,
    Private,
}

/// REST, public and private stream. Demo trading has no public stream of its own.
fn fixed(environment: Environment) -> Option<(&'static str, &'static str, &'static str)> {
    match environment {
        Environment::Sim => None,
        Environment::Mainnet => Some((
            "https://api.bybit.com",
            "wss://stream.bybit.com/v5/public/linear",
            "wss://stream.bybit.com/v5/private",
        )),
        Environment::Testnet => Some((
            "https://api-testnet.bybit.com",
            "wss://stream-testnet.bybit.com/v5/public/linear",
            "wss://stream-testnet.bybit.com/v5/private",
        )),
        Environment::Demo => Some((
            "https://api-demo.bybit.com",
            "wss://stream.bybit.com/v5/public/linear",
            "wss://stream-demo.bybit.com/v5/private",
        )),
    }
}

fn check(environment: Environment, url: &str, kind: Kind) -> Result<(), Error> {
    environment.check_url(url)?;
    if environment == Environment::Sim {
        return Ok(());
    }
    let label = match (environment, kind) {
        (Environment::Testnet, Kind::Rest) => "api-testnet",
        (Environment::Testnet, _) => "stream-testnet",
        (Environment::Demo, Kind::Rest) => "api-demo",
        (Environment::Demo, Kind::Private) => "stream-demo",
        (_, Kind::Rest) => "api",
        _ => "stream",
    };
    let authority = url
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .unwrap_or_default();
    let known = authority
        .split_once('.')
        .is_some_and(|(first, domain)| first == label && DOMAINS.contains(&domain));
    known.then_some(()).ok_or_else(|| Error::ForeignHost {
        environment,
        url: url.to_owned(),
    })
}

impl From<EnvironmentError> for Error {
    fn from(error: EnvironmentError) -> Self {
        Self::Environment(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(rest: &str) -> Urls {
        Urls {
            rest: rest.into(),
            ws_public: None,
            ws_private: None,
        }
    }

    #[test]
    fn every_real_environment_has_hosts_of_its_own() {
        let rest = |e| Endpoints::new(e, None).unwrap().rest().to_owned();
        assert_eq!(rest(Environment::Mainnet), "https://api.bybit.com");
        assert_eq!(rest(Environment::Testnet), "https://api-testnet.bybit.com");
        assert_eq!(rest(Environment::Demo), "https://api-demo.bybit.com");
        assert!(matches!(
            Endpoints::new(Environment::Sim, None),
            Err(Error::NoHosts { .. })
        ));
    }

    #[test]
    fn a_regional_host_is_taken_and_a_host_of_another_world_is_not() {
        let on = |e, url| Endpoints::new(e, Some(&urls(url)));
        assert!(on(Environment::Mainnet, "https://api.bybit.eu/").is_ok());
        assert!(on(Environment::Sim, "http://127.0.0.1:9").is_ok());
        for (environment, url) in [
            (Environment::Mainnet, "https://api-testnet.bybit.com"),
            (Environment::Testnet, "https://api.bybit.com"),
            (Environment::Demo, "https://api.bybit.com"),
            (Environment::Mainnet, "https://api.bybit.com.evil.example"),
            (Environment::Mainnet, "https://user@api.bybit.com"),
            (Environment::Mainnet, "https://api.bybit.com:8443"),
        ] {
            assert!(
                matches!(on(environment, url), Err(Error::ForeignHost { .. })),
                "{url}"
            );
        }
        for (environment, url) in [
            (Environment::Sim, "https://api.bybit.com"),
            (Environment::Mainnet, "http://127.0.0.1:9"),
        ] {
            assert!(matches!(on(environment, url), Err(Error::Environment(_))));
        }
    }
}
