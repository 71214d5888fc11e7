//! What would be done: a value, written down before anything happens, hashed, shown, signed.
//!
//! A plan names registry ids and frozen key ids, never paths or addresses of the asker's choice
//! (threat T39). Its canonical bytes are the JSON of these structs in their field order; the hash
//! over them is what a touch approves, and what is read back after a crash.

use fusebox_domain::{AccountName, ApiKeyId, Environment, KeyName, KeyRole, Uid};
use fusebox_touch::{Action, PlanHash};
use fusebox_wire::operator as wire;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "snake_case")]
pub(crate) enum Plan {
    Contain(Contain),
    Rotate(Rotate),
    Resume(Resume),
}

/// Where and why: the same in every plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub version: u32,
    pub host_id: String,
    pub environment: Environment,
    pub reason: String,
}

/// CONTAIN (study 5.2): every key that can trade or move money dies; eyes and manager stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contain {
    pub head: Head,
    /// A key leaked: nothing waits for the sweeps.
    pub key_theft: bool,
    pub accounts: Vec<PlannedAccount>,
    pub delete: Vec<PlannedKey>,
    pub keep: Vec<PlannedKey>,
    /// Declared, but its id is not known: a person must delete it.
    pub unresolved: Vec<KeyName>,
    pub secret: Option<String>,
    pub external_secret: Option<String>,
    pub lease_prefixes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedAccount {
    pub name: AccountName,
    pub uid: Uid,
    pub read_key: KeyName,
    pub cancel_key: Option<KeyName>,
    pub deployment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedKey {
    pub name: KeyName,
    pub role: KeyRole,
    /// None for the master's own key.
    pub account: Option<AccountName>,
    pub uid: Uid,
    pub api_key: ApiKeyId,
    /// Listed by the exchange, declared by nobody: no secret to probe it with.
    pub undeclared: bool,
    pub vault_path: Option<String>,
}

impl PlannedKey {
    pub(crate) fn wire(&self, effect: &str) -> wire::PlannedKey {
        let nobody = || AccountName::new("master");
        wire::PlannedKey {
            name: self.name.clone(),
            role: self.role,
            account: self.account.clone().unwrap_or_else(nobody),
            short: self.api_key.short(),
            effect: effect.to_owned(),
        }
    }

    pub(crate) fn proof(&self, verdict: wire::Verdict) -> wire::KeyProof {
        wire::KeyProof {
            name: self.name.clone(),
            role: self.role,
            short: self.api_key.short(),
            verdict,
            proofs: Vec::new(),
            detail: String::new(),
            proven_ms: None,
        }
    }
}

/// New keys for old, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rotate {
    pub head: Head,
    pub keys: Vec<RotatedKey>,
    pub external_secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RotatedKey {
    pub old: PlannedKey,
    /// Unique: by it an orphan of a crash is found again.
    pub note: String,
    pub grant: crate::exchange::Grant,
    /// The Deployment to restart on the new key: the bot's own key has one.
    pub deployment: Option<String>,
}

/// Release of one latch; the breaker acts on the certificate, not on this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resume {
    pub head: Head,
    pub account: AccountName,
    pub rung: String,
    pub release: String,
    pub config_hash: String,
}

impl Contain {
    /// The account's cancel key, which dies last (K2).
    pub(crate) fn is_cancel_key(&self, key: &PlannedKey) -> bool {
        let account = self
            .accounts
            .iter()
            .find(|a| Some(&a.name) == key.account.as_ref());
        account.is_some_and(|a| a.cancel_key.as_ref() == Some(&key.name))
    }

    pub(crate) fn keys_of<'a>(
        &'a self,
        account: &'a AccountName,
    ) -> impl Iterator<Item = &'a PlannedKey> {
        let mine = move |k: &&PlannedKey| k.account.as_ref() == Some(account);
        self.delete.iter().filter(mine)
    }
}

impl Plan {
    pub(crate) fn head(&self) -> &Head {
        match self {
            Self::Contain(plan) => &plan.head,
            Self::Rotate(plan) => &plan.head,
            Self::Resume(plan) => &plan.head,
        }
    }

    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Contain(_) => Action::Contain,
            Self::Rotate(_) => Action::Rotate,
            Self::Resume(_) => Action::Resume,
        }
    }

    /// The word of the wire and of reports.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Contain(_) => "kill",
            Self::Rotate(_) => "rotate",
            Self::Resume(_) => "resume",
        }
    }

    pub(crate) fn title(&self) -> String {
        match self {
            Self::Contain(plan) => {
                let names: Vec<&str> = plan.accounts.iter().map(|a| a.name.as_str()).collect();
                format!("KILL {}", names.join(", "))
            }
            Self::Rotate(plan) => {
                let names: Vec<&str> = plan.keys.iter().map(|k| k.old.name.as_str()).collect();
                format!("ROTATE {}", names.join(", "))
            }
            Self::Resume(plan) => format!("RELEASE {} of {}", plan.rung, plan.account),
        }
    }

    /// What it is about, in a few names.
    pub(crate) fn subject(&self) -> String {
        let title = self.title();
        title
            .split_once(' ')
            .map_or_else(String::new, |(_, names)| names.to_owned())
    }

    /// The six words of its hash.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = self.hash().fingerprint().to_string();
        words.split(' ').map(str::to_owned).collect()
    }

    /// The bytes that are hashed. Plain structs of text and lists always have a JSON form.
    pub(crate) fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn hash(&self) -> PlanHash {
        PlanHash::of(self.canonical().as_bytes())
    }

    /// The plan as the console shows it.
    pub(crate) fn view(&self) -> wire::Plan {
        let mut view = wire::Plan {
            action: self.word().to_owned(),
            title: self.title(),
            environment: self.head().environment,
            hash: self.hash(),
            words: self.words(),
            canonical: self.canonical(),
            keys: Vec::new(),
            orders: Vec::new(),
            workload: Vec::new(),
            secrets: Vec::new(),
            leaves: Vec::new(),
            needs_pin: self.action().needs_verification(),
        };
        match self {
            Self::Contain(plan) => plan.describe(&mut view),
            Self::Rotate(plan) => plan.describe(&mut view),
            Self::Resume(plan) => view.leaves.push(format!(
                "the breaker of {} gets a certificate to {} {}; entries stay stopped until it acts on it",
                plan.account, plan.release, plan.rung
            )),
        }
        view
    }
}

impl Contain {
    fn describe(&self, view: &mut wire::Plan) {
        let deleted = self.delete.iter().map(|k| k.wire("delete"));
        let kept = self.keep.iter().map(|k| k.wire("keep"));
        view.keys = deleted.chain(kept).collect();
        for account in &self.accounts {
            view.orders.push(match &account.cancel_key {
                Some(key) => format!(
                    "{}: entries cancelled with {key} before and after the keys die, protective stops kept",
                    account.name
                ),
                None => format!("{}: no cancel key, resting entries stay", account.name),
            });
            if let Some(deployment) = &account.deployment {
                view.workload
                    .push(format!("{deployment}: scaled to zero, pods deleted"));
            }
        }
        let paths = self.delete.iter().filter_map(|k| k.vault_path.as_ref());
        view.secrets
            .extend(paths.map(|path| format!("Vault {path}: destroyed with its metadata")));
        let kubernetes = [
            ("ExternalSecret", &self.external_secret),
            ("Secret", &self.secret),
        ];
        for (kind, name) in kubernetes {
            view.secrets
                .extend(name.iter().map(|name| format!("{kind} {name}: deleted")));
        }
        view.leaves.extend(self.unresolved.iter().map(|name| {
            format!("{name}: its id is not known, so it is not deleted; delete it by hand")
        }));
        view.leaves
            .push("what is open stays open with its stops; nothing manages it any more".to_owned());
        view.leaves
            .push("other master keys and web logins: not observable".to_owned());
    }
}

impl Rotate {
    fn describe(&self, view: &mut wire::Plan) {
        view.keys = self.keys.iter().map(|k| k.old.wire("replace")).collect();
        for key in &self.keys {
            view.secrets.extend(
                key.old
                    .vault_path
                    .iter()
                    .map(|path| format!("Vault {path}: a new version with the new key")),
            );
            view.workload.extend(
                key.deployment
                    .iter()
                    .map(|d| format!("{d}: restarted on the new key")),
            );
        }
        view.leaves
            .push("positions and orders as they are; the bot is away while it restarts".to_owned());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key(name: &str, role: KeyRole) -> PlannedKey {
        PlannedKey {
            name: name.into(),
            role,
            account: Some("trading-1".into()),
            uid: "100001".into(),
            api_key: ApiKeyId::new(format!("id-of-{name}")),
            undeclared: false,
            vault_path: None,
        }
    }

    pub(crate) fn contain() -> Contain {
        Contain {
            head: Head {
                version: 1,
                host_id: "guard-1".into(),
                environment: Environment::Sim,
                reason: "test".into(),
            },
            key_theft: false,
            accounts: vec![PlannedAccount {
                name: "trading-1".into(),
                uid: "100001".into(),
                read_key: "eye".into(),
                cancel_key: Some("rescue-1".into()),
                deployment: Some("freqtrade".into()),
            }],
            delete: vec![
                key("skim-1", KeyRole::Move),
                key("freqtrade-1", KeyRole::Trade),
                key("rescue-1", KeyRole::Trade),
            ],
            keep: vec![key("eye", KeyRole::Read)],
            unresolved: Vec::new(),
            secret: None,
            external_secret: None,
            lease_prefixes: Vec::new(),
        }
    }

    #[test]
    fn the_canonical_bytes_survive_a_round_trip_and_every_change_changes_the_hash() {
        let plan = Plan::Contain(contain());
        let back: Plan = serde_json::from_str(&plan.canonical()).unwrap();
        assert_eq!(back.canonical(), plan.canonical());
        let changes: [fn(&mut Contain); 4] = [
            |p| p.head.reason.push('!'),
            |p| p.key_theft = true,
            |p| drop(p.delete.pop()),
            |p| p.delete[0].api_key = ApiKeyId::new("other"),
        ];
        for change in changes {
            let mut other = contain();
            change(&mut other);
            assert_ne!(Plan::Contain(other).hash(), plan.hash());
        }
    }

    #[test]
    fn the_view_carries_the_bytes_it_was_hashed_from() {
        let view = Plan::Contain(contain()).view();
        assert_eq!(PlanHash::of(view.canonical.as_bytes()), view.hash);
        assert_eq!(view.words.len(), 6);
        assert_eq!(view.keys.iter().filter(|k| k.effect == "delete").count(), 3);
        assert!(!view.needs_pin);
    }

    #[test]
    fn only_the_declared_cancel_key_dies_last() {
        let plan = contain();
        let last: Vec<bool> = plan.delete.iter().map(|k| plan.is_cancel_key(k)).collect();
        assert_eq!(last, [false, false, true]);
    }
}
