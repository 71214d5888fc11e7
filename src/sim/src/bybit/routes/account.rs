//! Wallet, account settings and the transaction log.

use serde_json::json;

use super::super::args::page;
use super::super::error::ApiError;
use super::super::state::State;
use super::{Answer, Call};

pub(super) fn wallet_balance(state: &mut State, call: &Call) -> Answer {
    if call.args.need("accountType")? != "UNIFIED" {
        return Err(ApiError::params("accountType only support UNIFIED"));
    }
    let row = state.account(call.uid()?)?.wallet_row(&state.markets);
    Ok(json!({"list": [row]}))
}

pub(super) fn info(state: &mut State, call: &Call) -> Answer {
    let account = state.account(call.uid()?)?;
    Ok(json!({
        "marginMode": account.margin_mode, "updatedTime": "1697078946000", "unifiedMarginStatus": 6,
        "dcpStatus": "OFF", "timeWindow": 10, "smpGroup": 0, "isMasterTrader": false, "spotHedgingStatus": "OFF",
    }))
}

pub(super) fn transaction_log(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let window = args.window(call.now_ms, 1)?;
    let uid = call.uid()?;
    let foreign = args.text("currency").is_some_and(|c| c != "USDT");
    let rows = match foreign {
        true => Vec::new(),
        false => {
            state
                .account(uid)?
                .ledger
                .list(uid, call.now_ms, window, args.text("type").as_deref())
        }
    };
    let (list, cursor) = page(rows, args, 20, 50)?;
    Ok(json!({"list": list, "nextPageCursor": cursor}))
}

pub(super) fn set_margin_mode(state: &mut State, call: &Call) -> Answer {
    let mode = call.args.need("setMarginMode")?;
    if !["ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"].contains(&mode.as_str()) {
        return Err(ApiError::params("setMarginMode invalid"));
    }
    state.account_mut(call.uid()?)?.margin_mode = mode;
    Ok(json!({"reasons": []}))
}

pub(super) fn query_dcp_info(_: &mut State, _: &Call) -> Answer {
    // Only institutional clients have it.
    Ok(json!({"dcpInfos": []}))
}
