//! Who may do what in the cluster: bearer tokens of two service accounts and their rules.

/// `(resource with its subresource, verbs)`; everything is in the one namespace.
type Rule = (&'static str, &'static [&'static str]);

/// The breaker scales its Deployment down and counts pods, nothing else.
const BREAKER: &[Rule] = &[
    ("deployments/scale", &["get", "patch", "update"]),
    ("pods", &["get", "list"]),
];

/// The revoker also deletes pods and secrets and restarts the bot on a new key.
const REVOKER: &[Rule] = &[
    ("deployments", &["get", "list", "patch"]),
    ("deployments/scale", &["get", "patch", "update"]),
    ("pods", &["get", "list", "delete"]),
    ("secrets", &["get", "list", "delete"]),
    ("externalsecrets", &["get", "list", "patch", "delete"]),
];

/// A service account of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Breaker,
    Revoker,
}

impl Account {
    /// The name in the request log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Account::Breaker => "breaker",
            Account::Revoker => "revoker",
        }
    }

    /// The name in messages of refusal.
    pub(super) fn user(self) -> String {
        format!(
            "system:serviceaccount:{}:fusebox-{}",
            super::NAMESPACE,
            self.name()
        )
    }

    /// Whether a rule covers the verb on the resource (`pods`, `deployments/scale`).
    pub(super) fn may(self, verb: &str, resource: &str) -> bool {
        let rules = match self {
            Account::Breaker => BREAKER,
            Account::Revoker => REVOKER,
        };
        rules
            .iter()
            .any(|(name, verbs)| *name == resource && verbs.contains(&verb))
    }
}
