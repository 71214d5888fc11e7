//! Bybit's answers other than success: code and text.

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {msg}")]
pub(crate) struct ApiError {
    pub(crate) code: i64,
    pub(crate) msg: String,
}

impl ApiError {
    /// A refusal with its own words.
    pub(crate) fn new(code: i64, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
        }
    }

    /// A refusal whose words are always the same.
    pub(crate) fn known(code: i64) -> Self {
        let msg = TEXTS
            .iter()
            .find(|(c, _)| *c == code)
            .map_or("error", |(_, text)| text);
        Self::new(code, msg)
    }

    /// 10001 with what is wrong.
    pub(crate) fn params(what: impl std::fmt::Display) -> Self {
        Self::new(10001, format!("params error: {what}"))
    }
}

/// Texts as observed where a capture exists, else after the documented error table (wording: `Assumption`).
const TEXTS: &[(i64, &str)] = &[
    (10003, "API key is invalid."),
    (
        10004,
        "Error sign, please check your signature generation algorithm.",
    ),
    (
        10005,
        "Permission denied, please check your API key permissions.",
    ),
    (10006, "Too many visits. Exceeded the API Rate Limit."),
    (
        10010,
        "Unmatched IP, please check your API key's bound IP addresses.",
    ),
    (10027, "Transactions are banned."),
    (33004, "Your api key has expired."),
    (34040, "not modified"),
    (110001, "order not exists or too late to cancel"),
    (110007, "ab not enough for new order"),
    (
        110009,
        "The number of stop orders exceeds the maximum allowable limit",
    ),
    (
        110017,
        "current position is zero, cannot fix reduce-only order qty",
    ),
    (110020, "Not allowed to have more than 500 active orders"),
    (110043, "leverage not modified"),
    (110072, "OrderLinkedID is duplicate"),
    (110094, "Order does not meet minimum order value 5USDT"),
    (131212, "User insufficient balance"),
    (131214, "Transfer Id already exists"),
];
