//! What the exchange says of API keys and sub-accounts.

use crate::Error;
use crate::fields::Row;
use fusebox_domain::{ApiKeyId, ObservedKey, Scope, Uid};

/// `query-api`: the calling key, about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// The key.
    pub key: ObservedKey,
    /// Whether it belongs to a master account.
    pub is_master: bool,
}

/// A sub-account in the master's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubMember {
    /// Its number.
    pub uid: Uid,
    /// Its user name.
    pub username: String,
    /// 1 normal, 2 login banned, 4 frozen.
    pub status: i64,
}

/// Permissions with a meaning here: group, word, scope. Whatever is not in the table is
/// [`Scope::Unknown`] and counts as able to write.
const SCOPES: &[(&str, &str, Scope)] = &[
    ("ContractTrade", "Order", Scope::Trade),
    ("ContractTrade", "Position", Scope::Trade),
    ("Spot", "SpotTrade", Scope::Trade),
    ("Options", "OptionsTrade", Scope::Trade),
    ("Derivatives", "DerivativesTrade", Scope::Trade),
    ("Wallet", "AccountTransfer", Scope::Transfer),
    ("Wallet", "SubMemberTransfer", Scope::Transfer),
    ("Wallet", "SubMemberTransferList", Scope::Transfer),
    ("Wallet", "Withdraw", Scope::Withdraw),
];

/// `result` of `query-api`.
pub(crate) fn own_key(row: &Row<'_>) -> Result<OwnKey, Error> {
    let uid = Uid::new(row.need_id("userID")?);
    Ok(OwnKey {
        key: observed(row, uid)?,
        is_master: row.flag("isMaster")?.unwrap_or(false),
    })
}

/// One row of `sub-apikeys`, or `query-api` itself.
pub(crate) fn observed(row: &Row<'_>, uid: Uid) -> Result<ObservedKey, Error> {
    Ok(ObservedKey {
        api_key: ApiKeyId::new(row.need_text("apiKey")?),
        uid,
        note: row.text("note").unwrap_or_default().to_owned(),
        // Not said is not "read-only".
        read_only: row.flag("readOnly")?.unwrap_or(false),
        scopes: scopes(row)?,
        ips: row
            .texts("ips")
            .into_iter()
            .filter(|ip| ip != "*")
            .collect(),
        created_at: row.text("createdAt").map(str::to_owned),
        deadline_days: row.integer("deadlineDay")?,
    })
}

fn scopes(row: &Row<'_>) -> Result<Vec<Scope>, Error> {
    let groups = row
        .value("permissions")
        .and_then(|value| value.as_object())
        .ok_or_else(|| row.missing("permissions"))?;
    let mut scopes: Vec<Scope> = groups
        .iter()
        .flat_map(|(group, words)| {
            let words = words.as_array().map(Vec::as_slice).unwrap_or_default();
            words
                .iter()
                .map(move |word| scope(group, word.as_str().unwrap_or("?")))
        })
        .collect();
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

fn scope(group: &str, word: &str) -> Scope {
    SCOPES
        .iter()
        .find(|(g, w, _)| *g == group && *w == word)
        .map_or_else(
            || Scope::Unknown(format!("{group}.{word}")),
            |(_, _, scope)| scope.clone(),
        )
}

/// One row of `query-sub-members`.
pub(crate) fn sub_member(row: &Row<'_>) -> Result<SubMember, Error> {
    Ok(SubMember {
        uid: Uid::new(row.need_id("uid")?),
        username: row.text("username").unwrap_or_default().to_owned(),
        status: row.need_integer("status")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_permission_is_kept_and_counts_as_able_to_write() {
        let value = json!({"apiKey": "k", "readOnly": false,
            "permissions": {"Wallet": [], "Lottery": ["Bet"]}, "ips": ["*"]});
        let key = observed(&Row::top("x", &value).unwrap(), "1".into()).unwrap();
        assert_eq!(key.scopes, [Scope::Unknown("Lottery.Bet".into())]);
        assert!(key.can_write() && key.ips.is_empty());
    }

    #[test]
    fn read_only_comes_as_number_and_as_bool_and_its_absence_is_not_read_only() {
        let read = |mut value: serde_json::Value| {
            value["apiKey"] = "k".into();
            value["permissions"] = json!({"ContractTrade": ["Order", "Position"]});
            observed(&Row::top("x", &value).unwrap(), "1".into()).unwrap()
        };
        assert!(!read(json!({"readOnly": 1})).can_write());
        assert!(!read(json!({"readOnly": true})).can_write());
        assert!(read(json!({})).can_write());
        assert_eq!(read(json!({})).scopes, [Scope::Trade]);
    }
}
