//! API keys and sub-accounts: what the kill is about.
//!
//! `Assumption`s: an unknown `apikey` answers 10001; deletion is immediate everywhere, WebSocket sessions follow after
//! about a second (see [`crate::bybit::stream`]); addresses may be edited by API.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::args::{Args, nth, page};
use super::super::error::ApiError;
use super::super::keys::{Key, MASTER_UID, NewKey, Permissions, Role};
use super::super::state::State;
use super::{Answer, Call};

pub(super) fn query_api(_: &mut State, call: &Call) -> Answer {
    Ok(call.key()?.query_api(call.now_ms))
}

pub(super) fn sub_apikeys(state: &mut State, call: &Call) -> Answer {
    let uid = sub_uid(state, &call.args, "subMemberId")?;
    let rows = state
        .keys
        .of_uid(uid)
        .enumerate()
        .map(|(i, k)| (nth(i), k.listed(call.now_ms)))
        .collect();
    let (list, cursor) = page(rows, &call.args, 20, 20)?;
    Ok(json!({"result": list, "nextPageCursor": cursor}))
}

fn sub_uid(state: &State, args: &Args, name: &str) -> Result<u64, ApiError> {
    let uid = args
        .need(name)?
        .parse()
        .map_err(|_| ApiError::params(format_args!("{name} invalid")))?;
    let known = uid != MASTER_UID && state.account(uid).is_ok();
    if known {
        Ok(uid)
    } else {
        Err(ApiError::params("subMember not exist"))
    }
}

fn members(state: &State) -> Vec<Value> {
    let subs = state.accounts.iter().filter(|a| a.uid != MASTER_UID);
    subs.map(|a| {
        json!({
            "uid": a.uid.to_string(), "username": a.name, "memberType": 1, "status": if a.frozen { 4 } else { 1 },
            "remark": if a.frozen { "frozen" } else { "" }, "accountMode": 6,
        })
    })
    .collect()
}

pub(super) fn query_sub_members(state: &mut State, _: &Call) -> Answer {
    Ok(json!({"subMembers": members(state)}))
}

pub(super) fn sub_members(state: &mut State, call: &Call) -> Answer {
    let size = usize::try_from(call.args.int("pageSize")?.unwrap_or(100))
        .unwrap_or(100)
        .clamp(1, 100);
    let from = usize::try_from(call.args.int("nextCursor")?.unwrap_or(0)).unwrap_or(0);
    let all = members(state);
    let end = (from + size).min(all.len());
    let next = if end < all.len() { end } else { 0 };
    let list: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    Ok(json!({"subMembers": list, "nextCursor": next.to_string()}))
}

pub(super) fn create_sub_api(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let uid = sub_uid(state, args, "subuid")?;
    let read_only = args
        .int("readOnly")?
        .ok_or_else(|| ApiError::params("readOnly is missing"))?
        == 1;
    let permissions =
        read_permissions(args)?.ok_or_else(|| ApiError::params("permissions is missing"))?;
    let role = match permissions.get("Wallet") {
        _ if read_only => Role::Read,
        Some(scopes) if !scopes.is_empty() => Role::Move,
        _ => Role::Trade,
    };
    let name = args.text("note").unwrap_or_default();
    let ips = read_ips(args)?.unwrap_or_default();
    let key = state.keys.add(
        NewKey {
            name,
            role,
            uid,
            read_only,
            permissions,
            ips,
        },
        call.now_ms,
    );
    Ok(json!({
        "id": key.id, "note": key.name, "apiKey": key.api_key, "readOnly": i32::from(key.read_only),
        "secret": key.secret, "permissions": key.permissions_json(),
    }))
}

pub(super) fn update_sub_api(state: &mut State, call: &Call) -> Answer {
    let key = target(state, call)?;
    update(key, &call.args)
}

pub(super) fn update_api(state: &mut State, call: &Call) -> Answer {
    let api_key = call.key()?.api_key.clone();
    let key = state
        .keys
        .find_mut(&api_key)
        .ok_or_else(|| ApiError::known(10003))?;
    update(key, &call.args)
}

/// `readOnly` left out makes a key writable, as the documented table says.
fn update(key: &mut Key, args: &Args) -> Answer {
    let (permissions, ips) = (read_permissions(args)?, read_ips(args)?);
    key.read_only = args.int("readOnly")?.unwrap_or(0) == 1;
    key.permissions = permissions.unwrap_or_else(|| key.permissions.clone());
    key.ips = ips.unwrap_or_else(|| key.ips.clone());
    Ok(json!({
        "id": key.id, "note": key.name, "apiKey": key.api_key, "readOnly": i32::from(key.read_only), "secret": "",
        "permissions": key.permissions_json(), "ips": key.ips_json(),
    }))
}

pub(super) fn delete_sub_api(state: &mut State, call: &Call) -> Answer {
    target(state, call)?.deleted_ms = Some(call.now_ms);
    Ok(json!({}))
}

pub(super) fn delete_api(state: &mut State, call: &Call) -> Answer {
    let api_key = call.key()?.api_key.clone();
    let key = state
        .keys
        .find_mut(&api_key)
        .ok_or_else(|| ApiError::known(10003))?;
    key.deleted_ms = Some(call.now_ms);
    Ok(json!({}))
}

/// The sub-account key an update or deletion means: the master names it, a sub key means itself and names none.
fn target<'s>(state: &'s mut State, call: &Call) -> Result<&'s mut Key, ApiError> {
    let caller = call.key()?;
    let named = call.args.text("apikey");
    let api_key = match (caller.uid == MASTER_UID, named) {
        (true, Some(api_key)) => api_key,
        (true, None) => return Err(ApiError::params("apikey is missing")),
        (false, None) => caller.api_key.clone(),
        (false, Some(_)) => {
            return Err(ApiError::params(
                "a sub-account key must not name an apikey",
            ));
        }
    };
    let key = state
        .keys
        .find_mut(&api_key)
        .filter(|k| k.uid != MASTER_UID);
    key.ok_or_else(|| ApiError::params("apikey not exist"))
}

pub(super) fn frozen_sub_member(state: &mut State, call: &Call) -> Answer {
    let uid = sub_uid(state, &call.args, "subuid")?;
    let frozen = match call.args.int("frozen")? {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(ApiError::params("frozen invalid")),
    };
    state.account_mut(uid)?.frozen = frozen;
    Ok(json!({}))
}

fn read_permissions(args: &Args) -> Result<Option<Permissions>, ApiError> {
    let wrong = |_| ApiError::params("permissions invalid");
    args.value("permissions")
        .map(|v| serde_json::from_value(v.clone()).map_err(wrong))
        .transpose()
}

/// `ips` as a list or a text with commas; `*` or nothing means any.
fn read_ips(args: &Args) -> Result<Option<Vec<IpAddr>>, ApiError> {
    let texts: Vec<String> = match args.value("ips") {
        None => return Ok(None),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        Some(Value::String(text)) => text.split(',').map(|t| t.trim().to_owned()).collect(),
        Some(_) => return Err(ApiError::params("ips invalid")),
    };
    let bound = texts.iter().filter(|t| !t.is_empty() && *t != "*");
    bound
        .map(|t| t.parse().map_err(|_| ApiError::params("ips invalid")))
        .collect::<Result<_, _>>()
        .map(Some)
}
