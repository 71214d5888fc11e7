//! API keys: who they belong to, what they may do, and the inventory the demo starts with.
//!
//! A deleted key stays in the list (marked), so that the request log can name who knocked; nothing else sees it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::ids::{Ids, rfc3339_s};

/// The master account's uid; sub-accounts follow it.
pub(crate) const MASTER_UID: u64 = 100_000;
const DAY_MS: i64 = 86_400_000;
/// A key that is bound to no address lives this long.
const UNBOUND_LIFE_MS: i64 = 90 * DAY_MS;

/// Scopes by group, e.g. `ContractTrade` → `Order`, `Position`.
pub(crate) type Permissions = BTreeMap<String, Vec<String>>;

/// What a key is for; decides its scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Trade,
    Read,
    Move,
    Manage,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Read => "read",
            Self::Move => "move",
            Self::Manage => "manage",
        }
    }

    fn scopes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Trade | Self::Read => &[
                ("ContractTrade", "Order"),
                ("ContractTrade", "Position"),
                ("Derivatives", "DerivativesTrade"),
            ],
            Self::Move => &[
                ("Wallet", "AccountTransfer"),
                ("Wallet", "SubMemberTransferList"),
            ],
            Self::Manage => &[
                ("Wallet", "AccountTransfer"),
                ("Wallet", "SubMemberTransfer"),
            ],
        }
    }
}

/// What a route asks of the key that calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// No key at all.
    Nobody,
    /// Any valid key.
    Anyone,
    /// Any key with a contract scope, read-only or not.
    Contract,
    /// May place and cancel orders.
    Order,
    /// May change positions' settings.
    Position,
    /// A key of the master account.
    Master,
    /// A master key that may move money and is not read-only (`Assumption`: read-only blocks these calls).
    Admin,
    /// As `Admin`, or a sub-account's key acting on itself.
    AdminOrSelf,
    /// May move money between wallets of its own account.
    Transfer,
    /// May move money between accounts.
    UniversalTransfer,
    /// May list movements between accounts.
    UniversalList,
}

/// One API key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    /// Bybit's note; our name for it.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) uid: u64,
    pub(crate) api_key: String,
    pub(crate) secret: String,
    pub(crate) read_only: bool,
    pub(crate) permissions: Permissions,
    /// Addresses it may be used from; empty: any.
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) created_ms: i64,
    pub(crate) deleted_ms: Option<i64>,
}

impl Key {
    fn has(&self, group: &str, scope: &str) -> bool {
        self.permissions
            .get(group)
            .is_some_and(|scopes| scopes.iter().any(|s| s == scope))
    }

    fn is_master(&self) -> bool {
        self.uid == MASTER_UID
    }

    /// Whether this key is enough for `need`.
    pub(crate) fn may(&self, need: Need) -> bool {
        let moves = ["AccountTransfer", "SubMemberTransfer", "Withdraw"]
            .iter()
            .any(|s| self.has("Wallet", s));
        let writes = !self.read_only;
        match need {
            Need::Nobody | Need::Anyone => true,
            Need::Contract => {
                self.has("ContractTrade", "Order") || self.has("ContractTrade", "Position")
            }
            Need::Order => writes && self.has("ContractTrade", "Order"),
            Need::Position => writes && self.has("ContractTrade", "Position"),
            Need::Master => self.is_master(),
            Need::Admin => writes && self.is_master() && moves,
            Need::AdminOrSelf => writes && (moves || self.has("Wallet", "SubMemberTransferList")),
            Need::Transfer => writes && self.has("Wallet", "AccountTransfer"),
            Need::UniversalTransfer => writes && self.may(Need::UniversalList),
            Need::UniversalList if self.is_master() => self.has("Wallet", "SubMemberTransfer"),
            Need::UniversalList => self.has("Wallet", "SubMemberTransferList"),
        }
    }

    /// When it stops working by itself, Unix ms; a key bound to addresses never does.
    pub(crate) fn expires_ms(&self) -> Option<i64> {
        self.ips
            .is_empty()
            .then(|| self.created_ms + UNBOUND_LIFE_MS)
    }

    pub(crate) fn expired(&self, now_ms: i64) -> bool {
        self.expires_ms().is_some_and(|at| now_ms >= at)
    }

    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        self.ips.is_empty() || self.ips.contains(&ip)
    }

    pub(crate) fn ips_json(&self) -> Value {
        if self.ips.is_empty() {
            json!(["*"])
        } else {
            json!(self.ips)
        }
    }

    fn days_left(&self, now_ms: i64) -> i64 {
        self.expires_ms().map_or(-2, |at| (at - now_ms) / DAY_MS)
    }

    /// Scopes with every group named, as the exchange shows them.
    pub(crate) fn permissions_json(&self) -> Value {
        let mut all: BTreeMap<&str, &[String]> = GROUPS.iter().map(|g| (*g, &[][..])).collect();
        all.extend(
            self.permissions
                .iter()
                .map(|(g, s)| (g.as_str(), s.as_slice())),
        );
        json!(all)
    }

    /// The row of `GET /v5/user/query-api`.
    pub(crate) fn query_api(&self, now_ms: i64) -> Value {
        json!({
            "id": self.id, "note": self.name, "apiKey": self.api_key, "readOnly": i32::from(self.read_only),
            "secret": "", "permissions": self.permissions_json(), "ips": self.ips_json(), "type": 1,
            "deadlineDay": self.days_left(now_ms), "expiredAt": rfc3339_s(self.expires_ms().unwrap_or(0)),
            "createdAt": rfc3339_s(self.created_ms), "unified": 0, "uta": 1, "userID": self.uid, "inviterID": 0,
            "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "rsaPublicKey": "",
            "isMaster": self.is_master(),
            "parentUid": if self.is_master() { "0".to_owned() } else { MASTER_UID.to_string() },
            "kycLevel": "LEVEL_1", "kycRegion": "DEU", "userIDInt64": "0", "inviterIDInt64": "0",
            "affiliateIDInt64": "0",
        })
    }

    /// The row of `GET /v5/user/sub-apikeys`.
    pub(crate) fn listed(&self, now_ms: i64) -> Value {
        let days = self.days_left(now_ms);
        let status = match self.expires_ms() {
            None => 1,
            Some(at) if now_ms >= at => 2,
            Some(_) if days < 7 => 4,
            Some(_) => 3,
        };
        let shown_expiry = self
            .expires_ms()
            .unwrap_or(self.created_ms + UNBOUND_LIFE_MS);
        json!({
            "id": self.id, "ips": self.ips_json(), "apiKey": self.api_key, "note": self.name, "status": status,
            "expiredAt": rfc3339_s(shown_expiry), "createdAt": rfc3339_s(self.created_ms), "type": 1,
            "permissions": self.permissions_json(), "secret": "******", "readOnly": self.read_only,
            "deadlineDay": days, "flag": "hmac",
        })
    }
}

/// Every group the exchange names, used or not.
const GROUPS: &[&str] = &[
    "ContractTrade",
    "Spot",
    "Wallet",
    "Options",
    "Derivatives",
    "CopyTrading",
    "BlockTrade",
    "Exchange",
    "NFT",
    "Affiliate",
    "Earn",
    "FiatP2P",
    "FiatConvertBroker",
    "FiatGlobalPay",
    "FiatBitPay",
    "BitCard",
    "ByXPost",
];

/// What a new key is to be.
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) uid: u64,
    pub(crate) read_only: bool,
    pub(crate) permissions: Permissions,
    pub(crate) ips: Vec<IpAddr>,
}

impl NewKey {
    /// A key with the scopes of its role, usable from anywhere.
    pub(crate) fn of(role: Role, name: String, uid: u64) -> Self {
        let mut permissions = Permissions::new();
        for (group, scope) in role.scopes() {
            permissions
                .entry((*group).to_owned())
                .or_default()
                .push((*scope).to_owned());
        }
        Self {
            name,
            role,
            uid,
            read_only: role == Role::Read,
            permissions,
            ips: Vec::new(),
        }
    }
}

/// The key inventory.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    list: Vec<Key>,
    ids: Ids,
}

impl Keys {
    /// The keys of the demo: per account a bot's, a mover's, a rescuer's and three readers; `revocable` trade and
    /// move keys in all, dealt round robin, at least one per account; one manager, bound to this machine.
    pub(crate) fn demo(seed: u64, accounts: usize, revocable: usize, now_ms: i64) -> Self {
        let mut keys = Self {
            list: Vec::new(),
            ids: Ids::new(seed, "bybit keys"),
        };
        // Made a while ago, each on another day, so that ages and rotation dates differ.
        let created = |i: usize| now_ms - (3 + 4 * (i as i64 % 12)) * DAY_MS;
        for account in 1..=accounts {
            let uid = MASTER_UID + account as u64;
            let share = (revocable + accounts - account) / accounts;
            for (name, role) in revocable_names(account, accounts, share.max(1)) {
                keys.add(NewKey::of(role, name, uid), created(keys.list.len()));
            }
            for eye in ["breaker", "recorder", "revoker"] {
                let name = format!("eye-{eye}-{account}");
                keys.add(NewKey::of(Role::Read, name, uid), created(keys.list.len()));
            }
        }
        let manager = NewKey {
            ips: vec![IpAddr::from([127, 0, 0, 1])],
            ..NewKey::of(Role::Manage, "manager".to_owned(), MASTER_UID)
        };
        keys.add(manager, created(keys.list.len()));
        keys
    }

    /// Makes a key; its id, key text and secret come from the seed.
    pub(crate) fn add(&mut self, new: NewKey, now_ms: i64) -> Key {
        let key = Key {
            id: (90_110_000 + self.list.len()).to_string(),
            name: new.name,
            role: new.role,
            uid: new.uid,
            api_key: self.ids.token(18),
            // Two words, because one gives at most 32 characters.
            secret: self.ids.token(18) + &self.ids.token(18),
            read_only: new.read_only,
            permissions: new.permissions,
            ips: new.ips,
            created_ms: now_ms,
            deleted_ms: None,
        };
        self.list.push(key.clone());
        key
    }

    /// The living key with this text.
    pub(crate) fn find(&self, api_key: &str) -> Option<&Key> {
        self.list
            .iter()
            .find(|k| k.deleted_ms.is_none() && k.api_key == api_key)
    }

    /// The living key with this text, to be changed.
    pub(crate) fn find_mut(&mut self, api_key: &str) -> Option<&mut Key> {
        self.list
            .iter_mut()
            .find(|k| k.deleted_ms.is_none() && k.api_key == api_key)
    }

    /// The living key with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Key> {
        self.list
            .iter()
            .find(|k| k.deleted_ms.is_none() && k.name == name)
    }

    /// Name of a key, living or deleted: for the log.
    pub(crate) fn name_of(&self, api_key: &str) -> Option<&str> {
        self.list
            .iter()
            .find(|k| k.api_key == api_key)
            .map(|k| k.name.as_str())
    }

    /// Living keys of one account, oldest first.
    pub(crate) fn of_uid(&self, uid: u64) -> impl Iterator<Item = &Key> {
        self.list
            .iter()
            .filter(move |k| k.uid == uid && k.deleted_ms.is_none())
    }

    /// All keys, deleted ones too.
    pub(crate) fn all(&self) -> &[Key] {
        &self.list
    }
}

/// Names and roles of one account's `share` trade and move keys.
///
/// The bot's key and the rescuer's come first when there are few; listed, the mover stands between them.
fn revocable_names(account: usize, accounts: usize, share: usize) -> Vec<(String, Role)> {
    let mut names = vec![(format!("freqtrade-{account}"), Role::Trade)];
    if share >= 3 {
        names.push((format!("skim-{account}"), Role::Move));
    }
    if share >= 2 {
        names.push((format!("rescue-{account}"), Role::Trade));
    }
    for extra in 3..share {
        let (word, role) = if extra % 2 == 1 {
            ("sweep", Role::Move)
        } else {
            ("bot", Role::Trade)
        };
        let number = extra.div_ceil(2);
        names.push(if accounts == 1 {
            (format!("{word}-{number}"), role)
        } else {
            (format!("{word}-{account}-{number}"), role)
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(accounts: usize, revocable: usize) -> Vec<String> {
        let keys = Keys::demo(1, accounts, revocable, 0);
        let revocable = keys
            .all()
            .iter()
            .filter(|k| matches!(k.role, Role::Trade | Role::Move));
        revocable.map(|k| k.name.clone()).collect()
    }

    #[test]
    fn the_demo_has_the_keys_it_promises() {
        assert_eq!(names(1, 3), ["freqtrade-1", "skim-1", "rescue-1"]);
        assert_eq!(names(1, 2), ["freqtrade-1", "rescue-1"]);
        assert_eq!(names(1, 7)[3..], ["sweep-2", "bot-2", "sweep-3", "bot-3"]);
        assert_eq!(names(2, 3), ["freqtrade-1", "rescue-1", "freqtrade-2"]);
        assert_eq!(names(3, 9).len(), 9);
        assert_eq!(names(3, 1), ["freqtrade-1", "freqtrade-2", "freqtrade-3"]);
    }

    #[test]
    fn keys_repeat_with_the_seed() {
        let (a, b, c) = (
            Keys::demo(1, 1, 3, 0),
            Keys::demo(1, 1, 3, 0),
            Keys::demo(2, 1, 3, 0),
        );
        assert_eq!(a.list[0].secret, b.list[0].secret);
        assert_ne!(a.list[0].secret, c.list[0].secret);
        assert_eq!((a.list[0].api_key.len(), a.list[0].secret.len()), (18, 36));
    }

    #[test]
    fn scopes_decide_what_a_key_may_do() {
        let keys = Keys::demo(1, 1, 3, 0);
        let may = |name: &str, need| keys.named(name).unwrap().may(need);
        assert!(may("freqtrade-1", Need::Order) && !may("freqtrade-1", Need::AdminOrSelf));
        assert!(!may("eye-breaker-1", Need::Order) && may("eye-breaker-1", Need::Contract));
        assert!(may("skim-1", Need::UniversalTransfer) && !may("skim-1", Need::Contract));
        assert!(may("skim-1", Need::AdminOrSelf) && !may("skim-1", Need::Admin));
        assert!(may("manager", Need::Admin) && !may("manager", Need::Order));
    }

    #[test]
    fn a_key_bound_to_an_address_does_not_expire() {
        let keys = Keys::demo(1, 1, 3, 0);
        assert_eq!(
            keys.named("manager").unwrap().query_api(0)["expiredAt"],
            "1970-01-01T00:00:00Z"
        );
        assert!(keys.named("freqtrade-1").unwrap().expired(91 * DAY_MS));
        assert!(
            !keys
                .named("manager")
                .unwrap()
                .allows(IpAddr::from([203, 0, 113, 7]))
        );
    }
}
