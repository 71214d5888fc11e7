//! What can go wrong with the exchange, and how to react to it.

use fusebox_domain::{Environment, EnvironmentError, clean_line};

/// A `retCode` of Bybit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetCode(pub i64);

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reaction {
    /// Measure the clock anew, sign anew, send once more.
    Resync,
    /// Send again after a pause; nothing was done.
    Retry,
    /// Send nothing before `until_ms` (exchange time, where the exchange named one) and at least
    /// `pause_ms` long.
    WaitUntil {
        /// Exchange time in milliseconds.
        until_ms: Option<i64>,
        /// Milliseconds from now.
        pause_ms: u64,
    },
    /// The same request will never succeed; a person or a new plan is needed.
    Never,
    /// It may have been done or not: read before anything is sent again.
    Ambiguous,
    /// What was wanted is so already.
    AlreadySo,
}

/// How a class of codes is treated; `WaitUntil` gets its time from the answer.
#[derive(Clone, Copy)]
enum Class {
    Resync,
    Retry,
    Wait,
    Never,
    Ambiguous,
    AlreadySo,
}

/// Every code with a meaning here (reference `bybit-v5.md`, "Rate limits & errors").
const CODES: &[(i64, Class, &str)] = &[
    (-1, Class::Resync, "request expired"),
    (10002, Class::Resync, "outside of the time window"),
    (
        10003,
        Class::Never,
        "key unknown, or of another environment",
    ),
    (10004, Class::Never, "wrong signature"),
    (10005, Class::Never, "the key lacks this permission"),
    (10006, Class::Wait, "rate limit"),
    (10018, Class::Wait, "rate limit of the address"),
    (10007, Class::Never, "authentication failed"),
    (10008, Class::Never, "account banned"),
    (10009, Class::Never, "address refused by region"),
    (10010, Class::Never, "address not bound to this key"),
    (10024, Class::Never, "refused by compliance rules"),
    (10027, Class::Never, "trading banned"),
    (10028, Class::Never, "account mode does not allow it"),
    (100028, Class::Never, "account mode does not allow it"),
    (33004, Class::Never, "key expired"),
    (-2015, Class::Never, "key expired"),
    (429, Class::Ambiguous, "too many requests"),
    (10000, Class::Ambiguous, "server error"),
    (10016, Class::Ambiguous, "server error"),
    (10019, Class::Ambiguous, "server restarting"),
    (10429, Class::Ambiguous, "system protection"),
    (10014, Class::Ambiguous, "duplicate request"),
    (110072, Class::Ambiguous, "duplicate order id"),
    (110001, Class::AlreadySo, "order gone"),
    (110008, Class::AlreadySo, "order finished or cancelled"),
    (110010, Class::AlreadySo, "order cancelled"),
    (110017, Class::AlreadySo, "nothing to reduce"),
    (110034, Class::AlreadySo, "no position"),
    (110022, Class::Retry, "reduce-only for now"),
    (110023, Class::Retry, "reduce-only for now"),
    (110042, Class::Retry, "settlement runs"),
    (110063, Class::Retry, "settlement runs"),
    (110066, Class::Retry, "not allowed right now"),
    (110079, Class::Retry, "order is being processed"),
    (110095, Class::Retry, "auction runs"),
    (110103, Class::Retry, "auction: no cancel"),
    (141004, Class::Never, "sub-account not normal"),
    (141019, Class::Never, "address list: web page only"),
    (141020, Class::Never, "sensitive change: web page only"),
    (141025, Class::Never, "sub-account not normal"),
    (81007, Class::Never, "this site makes no keys by API"),
];

/// Bybit bans an address for ten minutes when it exceeds 600 requests in 5 s.
const ADDRESS_BAN_MS: u64 = 600_000;

impl RetCode {
    /// The key is not known to this environment: half of a proof of death, never the whole.
    pub const INVALID_KEY: Self = Self(10003);
    /// The key expired.
    pub const EXPIRED_KEY: Self = Self(33004);

    /// Its meaning in words.
    pub fn meaning(self) -> &'static str {
        self.class().map_or("unknown code", |(_, words)| words)
    }

    fn class(self) -> Option<(Class, &'static str)> {
        CODES
            .iter()
            .find(|(code, ..)| *code == self.0)
            .map(|(_, class, words)| (*class, *words))
    }

    /// What to do; `until_ms` is the exchange's own "not before", where it sent one. An unknown
    /// code is ambiguous: nobody knows what was done.
    pub fn reaction(self, until_ms: Option<i64>) -> Reaction {
        match self.class().map_or(Class::Ambiguous, |(class, _)| class) {
            Class::Resync => Reaction::Resync,
            Class::Retry => Reaction::Retry,
            Class::Wait => Reaction::WaitUntil {
                until_ms,
                pause_ms: if until_ms.is_some() { 0 } else { 1_000 },
            },
            Class::Never => Reaction::Never,
            Class::Ambiguous => Reaction::Ambiguous,
            Class::AlreadySo => Reaction::AlreadySo,
        }
    }
}

impl std::fmt::Display for RetCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0, self.meaning())
    }
}

/// What went wrong between here and the exchange.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The exchange answered with a code other than 0.
    #[error("{call}: the exchange refused with {code}: {message}")]
    Refused {
        /// The call, `GET /v5/position/list`.
        call: String,
        /// Its code.
        code: RetCode,
        /// Its words, cleaned.
        message: String,
        /// Exchange time before which nothing should be sent, where it named one.
        until_ms: Option<i64>,
    },
    /// An HTTP error without an answer of the API inside: a proxy, a ban, a region block.
    #[error("{call}: HTTP {status} instead of an answer: {detail}")]
    Http {
        /// The call.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The first words of the body, cleaned.
        detail: String,
    },
    /// No answer.
    #[error("{call}: no answer: {detail}")]
    Unreachable {
        /// The call.
        call: String,
        /// Time-out, refused connection …
        detail: String,
    },
    /// An answer that is broken, or lacks a field that is needed.
    #[error("{call}: the answer was not understood: {what}")]
    NotUnderstood {
        /// The call or topic.
        call: String,
        /// Which field of which row, and why.
        what: String,
    },
    /// Pages that never end or repeat: the list is not complete and must not be taken for it.
    #[error("{call}: the listing did not end after {pages} pages; it is not complete")]
    Endless {
        /// The call.
        call: String,
        /// Pages read.
        pages: usize,
    },
    /// The URL does not belong to the environment.
    #[error(transparent)]
    Environment(EnvironmentError),
    /// A host of another environment, or none of the exchange's.
    #[error(
        "{url} is not one of Bybit's hosts for environment {environment}; a key of one environment is never sent to another"
    )]
    ForeignHost {
        /// The environment.
        environment: Environment,
        /// The URL.
        url: String,
    },
    /// No URL is known for the environment.
    #[error("environment {environment} has no fixed hosts: name rest, ws_public and ws_private")]
    NoHosts {
        /// The environment.
        environment: Environment,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Client(String),
}

impl Error {
    /// What to do after it. A timeout is ambiguous for a call that changes something; for the
    /// reading calls of this crate it comes to the same as [`Reaction::Retry`].
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Refused { code, until_ms, .. } => code.reaction(*until_ms),
            Self::Http { status: 403, .. } => Reaction::WaitUntil {
                until_ms: None,
                pause_ms: ADDRESS_BAN_MS,
            },
            Self::Http { status: 404, .. } => Reaction::Never,
            Self::Http { .. } | Self::Unreachable { .. } | Self::NotUnderstood { .. } => {
                Reaction::Ambiguous
            }
            Self::Endless { .. } => Reaction::Retry,
            Self::Environment(_)
            | Self::ForeignHost { .. }
            | Self::NoHosts { .. }
            | Self::Client(_) => Reaction::Never,
        }
    }

    /// The exchange's code, where it gave one.
    pub fn code(&self) -> Option<RetCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn not_understood(call: &str, what: impl Into<String>) -> Self {
        Self::NotUnderstood {
            call: call.to_owned(),
            what: clean_line(&what.into(), 300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_to_their_reaction() {
        let reaction = |code| RetCode(code).reaction(None);
        assert_eq!(reaction(10002), Reaction::Resync);
        assert_eq!(reaction(10003), Reaction::Never);
        assert_eq!(reaction(110001), Reaction::AlreadySo);
        assert_eq!(reaction(110079), Reaction::Retry);
        assert_eq!(reaction(10016), Reaction::Ambiguous);
        assert_eq!(
            reaction(987_654),
            Reaction::Ambiguous,
            "an unknown code may have done something"
        );
        assert_eq!(
            RetCode(10006).reaction(Some(77)),
            Reaction::WaitUntil {
                until_ms: Some(77),
                pause_ms: 0
            }
        );
    }

    #[test]
    fn no_code_stands_twice_in_the_table() {
        let mut codes: Vec<_> = CODES.iter().map(|(code, ..)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
    }
}
