//! The route table: every call the exchange answers.

mod account;
mod asset;
mod market;
mod order;
mod position;
mod user;

pub(super) use market::minutes_of;

use serde_json::Value;

use super::args::Args;
use super::error::ApiError;
use super::keys::{Key, Need};
use super::state::State;

/// One call, admitted.
pub(super) struct Call {
    pub(super) now_ms: i64,
    pub(super) args: Args,
    /// Absent on public routes only.
    pub(super) key: Option<Key>,
}

impl Call {
    /// The calling key.
    fn key(&self) -> Result<&Key, ApiError> {
        self.key.as_ref().ok_or_else(|| ApiError::known(10003))
    }

    /// The calling account.
    fn uid(&self) -> Result<u64, ApiError> {
        Ok(self.key()?.uid)
    }
}

/// What a route's function gives: the envelope's `result`.
type Answer = Result<Value, ApiError>;

/// One row of the table.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// Calls per second and uid.
    pub(super) per_s: u32,
    /// `retMsg` of success: it differs by product.
    pub(super) ok: &'static str,
    pub(super) run: fn(&mut State, &Call) -> Answer,
}

const fn get(
    path: &'static str,
    need: Need,
    per_s: u32,
    ok: &'static str,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route {
        method: "GET",
        path,
        need,
        per_s,
        ok,
        run,
    }
}

const fn post(
    path: &'static str,
    need: Need,
    per_s: u32,
    ok: &'static str,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route {
        method: "POST",
        path,
        need,
        per_s,
        ok,
        run,
    }
}

/// Every call the exchange answers; anything else is 404.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    get("/v5/market/time", Need::Nobody, 0, "OK", market::time),
    get("/v5/market/instruments-info", Need::Nobody, 0, "OK", market::instruments_info),
    get("/v5/market/tickers", Need::Nobody, 0, "OK", market::tickers),
    get("/v5/market/kline", Need::Nobody, 0, "OK", market::kline),
    get("/v5/market/mark-price-kline", Need::Nobody, 0, "OK", market::mark_price_kline),
    get("/v5/market/orderbook", Need::Nobody, 0, "OK", market::orderbook),
    get("/v5/market/risk-limit", Need::Nobody, 0, "OK", market::risk_limit),
    get("/v5/market/funding/history", Need::Nobody, 0, "OK", market::funding_history),
    get("/v5/system/status", Need::Nobody, 0, "", market::system_status),

    get("/v5/account/wallet-balance", Need::Anyone, 50, "OK", account::wallet_balance),
    get("/v5/account/info", Need::Anyone, 50, "OK", account::info),
    get("/v5/account/transaction-log", Need::Anyone, 25, "OK", account::transaction_log),
    post("/v5/account/set-margin-mode", Need::Position, 5, "Request accepted", account::set_margin_mode),
    get("/v5/account/query-dcp-info", Need::Anyone, 5, "success", account::query_dcp_info),

    get("/v5/position/list", Need::Contract, 50, "OK", position::list),
    get("/v5/position/closed-pnl", Need::Contract, 50, "OK", position::closed_pnl),
    post("/v5/position/set-leverage", Need::Position, 10, "OK", position::set_leverage),
    post("/v5/position/switch-mode", Need::Position, 10, "OK", position::switch_mode),
    post("/v5/position/trading-stop", Need::Position, 10, "OK", position::trading_stop),

    post("/v5/order/create", Need::Order, 20, "OK", order::create),
    post("/v5/order/amend", Need::Order, 10, "OK", order::amend),
    post("/v5/order/cancel", Need::Order, 20, "OK", order::cancel),
    post("/v5/order/cancel-all", Need::Order, 10, "OK", order::cancel_all),
    get("/v5/order/realtime", Need::Contract, 50, "OK", order::realtime),
    get("/v5/order/history", Need::Contract, 50, "OK", order::history),
    get("/v5/execution/list", Need::Contract, 50, "OK", order::executions),

    get("/v5/user/query-api", Need::Anyone, 10, "", user::query_api),
    get("/v5/user/sub-apikeys", Need::Master, 10, "", user::sub_apikeys),
    get("/v5/user/query-sub-members", Need::Admin, 10, "", user::query_sub_members),
    get("/v5/user/submembers", Need::Admin, 10, "", user::sub_members),
    post("/v5/user/create-sub-api", Need::Admin, 1, "", user::create_sub_api),
    post("/v5/user/update-sub-api", Need::AdminOrSelf, 5, "", user::update_sub_api),
    post("/v5/user/delete-sub-api", Need::AdminOrSelf, 5, "", user::delete_sub_api),
    post("/v5/user/update-api", Need::Admin, 5, "", user::update_api),
    post("/v5/user/delete-api", Need::Admin, 5, "", user::delete_api),
    post("/v5/user/frozen-sub-member", Need::Admin, 5, "", user::frozen_sub_member),

    get("/v5/asset/coin/query-info", Need::Anyone, 5, "success", asset::coin_info),
    post("/v5/asset/transfer/inter-transfer", Need::Transfer, 1, "success", asset::inter_transfer),
    get("/v5/asset/transfer/query-inter-transfer-list", Need::Anyone, 1, "success", asset::inter_transfers),
    post("/v5/asset/transfer/universal-transfer", Need::UniversalTransfer, 5, "success", asset::universal_transfer),
    get("/v5/asset/transfer/query-universal-transfer-list", Need::UniversalList, 5, "success", asset::universal_transfers),
    get("/v5/asset/deposit/query-record", Need::Anyone, 2, "success", asset::empty_rows),
    get("/v5/asset/deposit/query-internal-record", Need::Anyone, 5, "success", asset::empty_rows),
    get("/v5/asset/deposit/query-sub-member-record", Need::Master, 5, "success", asset::empty_rows),
    get("/v5/asset/withdraw/query-record", Need::Master, 5, "success", asset::empty_rows),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_stands_once_and_private_ones_have_a_limit() {
        for (i, route) in ROUTES.iter().enumerate() {
            assert!(
                ROUTES[..i].iter().all(|r| r.path != route.path),
                "{} twice",
                route.path
            );
            assert_eq!(
                route.need == Need::Nobody,
                route.per_s == 0,
                "{}",
                route.path
            );
        }
    }
}
