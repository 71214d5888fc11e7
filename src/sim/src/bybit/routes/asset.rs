//! Movements of money between wallets and accounts.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::super::args::page;
use super::super::error::ApiError;
use super::super::keys::MASTER_UID;
use super::super::state::State;
use super::{Answer, Call};

pub(super) fn coin_info(_: &mut State, _: &Call) -> Answer {
    Ok(
        json!({"rows": [{"name": "USDT", "coin": "USDT", "remainAmount": "10000000", "chains": []}]}),
    )
}

pub(super) fn empty_rows(_: &mut State, _: &Call) -> Answer {
    Ok(json!({"rows": [], "nextPageCursor": ""}))
}

/// Id and amount of a transfer, checked against what the account may spare.
fn read_transfer(state: &State, call: &Call) -> Result<(String, Decimal), ApiError> {
    let args = &call.args;
    let id = args.need("transferId")?;
    if args.need("coin")? != "USDT" {
        return Err(ApiError::params("this simulated account holds USDT only"));
    }
    let amount = args
        .decimal("amount")?
        .filter(|a| a.is_sign_positive() && !a.is_zero());
    let amount = amount.ok_or_else(|| ApiError::params("amount invalid"))?;
    let is_it = |row: &Value| {
        row.get("transferId")
            .and_then(Value::as_str)
            .is_some_and(|t| t.contains(&id))
    };
    if state
        .accounts
        .iter()
        .any(|a| a.transfers.iter().any(|(_, _, row)| is_it(row)))
    {
        return Err(ApiError::known(131214));
    }
    Ok((id, amount))
}

/// Takes from and gives to one wallet; the trading wallet's side is a ledger row.
fn shift(
    state: &mut State,
    uid: u64,
    wallet: &str,
    amount: Decimal,
    now_ms: i64,
) -> Result<(), ApiError> {
    let account = state.account(uid)?;
    let free = match wallet {
        "UNIFIED" => account.available(&state.markets).min(account.wallet),
        "FUND" => account.fund,
        _ => return Err(ApiError::params("accountType invalid")),
    };
    if free + amount < Decimal::ZERO {
        return Err(ApiError::known(131212));
    }
    if wallet == "FUND" {
        state.account_mut(uid)?.fund += amount;
        return Ok(());
    }
    let kind = if amount.is_sign_negative() {
        "TRANSFER_OUT"
    } else {
        "TRANSFER_IN"
    };
    state.transfer(uid, kind, amount, 0, now_ms)
}

pub(super) fn inter_transfer(state: &mut State, call: &Call) -> Answer {
    let (id, amount) = read_transfer(state, call)?;
    let (uid, from, to) = (
        call.uid()?,
        call.args.need("fromAccountType")?,
        call.args.need("toAccountType")?,
    );
    if from == to
        || ![&from, &to]
            .iter()
            .all(|w| ["UNIFIED", "FUND"].contains(&w.as_str()))
    {
        return Err(ApiError::params("fromAccountType or toAccountType invalid"));
    }
    shift(state, uid, &from, -amount, call.now_ms)?;
    shift(state, uid, &to, amount, call.now_ms)?;
    let row = json!({
        "transferId": format!("selfTransfer_{id}"), "coin": "USDT", "amount": amount.to_string(),
        "fromAccountType": from, "toAccountType": to, "timestamp": call.now_ms.to_string(), "status": "SUCCESS",
    });
    let seq = state.next_seq();
    state
        .account_mut(uid)?
        .transfers
        .push((call.now_ms, seq, row));
    Ok(json!({"transferId": id, "status": "SUCCESS"}))
}

pub(super) fn universal_transfer(state: &mut State, call: &Call) -> Answer {
    let (id, amount) = read_transfer(state, call)?;
    let args = &call.args;
    let member = |name| -> Result<u64, ApiError> {
        args.need(name)?
            .parse()
            .map_err(|_| ApiError::params(format_args!("{name} invalid")))
    };
    let (from, to, caller) = (member("fromMemberId")?, member("toMemberId")?, call.uid()?);
    // A sub-account may only give to the master.
    if caller != MASTER_UID && (from != caller || to != MASTER_UID) {
        return Err(ApiError::known(10005));
    }
    let (from_wallet, to_wallet) = (args.need("fromAccountType")?, args.need("toAccountType")?);
    state.account(to)?;
    if !["UNIFIED", "FUND"].contains(&to_wallet.as_str()) {
        return Err(ApiError::params("toAccountType invalid"));
    }
    shift(state, from, &from_wallet, -amount, call.now_ms)?;
    shift(state, to, &to_wallet, amount, call.now_ms)?;
    let row = json!({
        "transferId": format!("universalTransfer_{id}_{caller}"), "coin": "USDT", "amount": amount.to_string(),
        "timestamp": call.now_ms.to_string(), "status": "SUCCESS", "fromAccountType": from_wallet,
        "toAccountType": to_wallet, "fromMemberId": from.to_string(), "toMemberId": to.to_string(),
    });
    let seq = state.next_seq();
    for uid in [from, to] {
        state
            .account_mut(uid)?
            .transfers
            .push((call.now_ms, seq, row.clone()));
    }
    Ok(json!({"transferId": id, "status": "SUCCESS"}))
}

pub(super) fn inter_transfers(state: &mut State, call: &Call) -> Answer {
    transfers(state, call, "selfTransfer_")
}

pub(super) fn universal_transfers(state: &mut State, call: &Call) -> Answer {
    transfers(state, call, "universalTransfer_")
}

fn transfers(state: &State, call: &Call, prefix: &str) -> Answer {
    let args = &call.args;
    let (start, end) = args.window(call.now_ms, 7)?;
    let account = state.account(call.uid()?)?;
    let of_kind = |row: &Value| {
        row.get("transferId")
            .and_then(Value::as_str)
            .is_some_and(|t| t.starts_with(prefix))
    };
    let rows = account
        .transfers
        .iter()
        .rev()
        .filter(|(at, _, row)| (start..=end).contains(at) && of_kind(row))
        .map(|(at, seq, row)| ((*at, *seq), row.clone()))
        .collect();
    let (list, cursor) = page(rows, args, 20, 50)?;
    Ok(json!({"list": list, "nextPageCursor": cursor}))
}
