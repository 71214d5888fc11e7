//! Orders and executions.

use serde_json::{Value, json};

use super::super::args::page;
use super::super::error::ApiError;
use super::super::order::{Order, StopKind};
use super::super::state::{Intent, State};
use super::position::linear;
use super::{Answer, Call};

/// Futures orders one `cancel-all` cancels.
const CANCEL_LIMIT: usize = 500;
/// Recently closed orders that `realtime` shows.
const RECENT: usize = 500;

fn ids((id, link): (String, String)) -> Value {
    json!({"orderId": id, "orderLinkId": link})
}

pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    let key = call.key()?;
    state
        .accept_order(key.uid, &key.name, &call.args, call.now_ms)
        .map(ids)
}

pub(super) fn amend(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    state
        .accept_amend(call.uid()?, &call.args, call.now_ms)
        .map(ids)
}

pub(super) fn cancel(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    state
        .accept_cancel(call.uid()?, &call.args, call.now_ms)
        .map(ids)
}

/// Which orders a listing or a cancellation means.
fn chosen(state: &State, call: &Call) -> Result<impl Fn(&Order) -> bool + use<>, ApiError> {
    let args = &call.args;
    let symbol = args.text("symbol");
    if let Some(symbol) = &symbol {
        state.market(symbol)?;
    }
    let (base, settle) = (args.text("baseCoin"), args.text("settleCoin"));
    let (filter, stop_type) = (args.text("orderFilter"), args.text("stopOrderType"));
    if let Some(filter) = &filter
        && !["Order", "StopOrder", "tpslOrder"].contains(&filter.as_str())
    {
        return Err(ApiError::params("orderFilter invalid"));
    }
    Ok(move |o: &Order| {
        let place = match (&symbol, &base, &settle) {
            (Some(symbol), _, _) => o.symbol == symbol,
            (None, Some(base), _) => o.symbol.strip_suffix("USDT") == Some(base),
            (None, None, Some(coin)) => coin == "USDT",
            (None, None, None) => true,
        };
        let kind = match filter.as_deref() {
            None => true,
            Some("Order") => o.stop == StopKind::None,
            Some("tpslOrder") => o.stop.is_tpsl(),
            Some(_) => {
                o.stop != StopKind::None
                    && (stop_type.as_deref() != Some("Stop") || o.stop == StopKind::Stop)
            }
        };
        place && kind
    })
}

fn needs_place(call: &Call) -> Result<(), ApiError> {
    let given = |name| call.args.text(name).is_some();
    if given("symbol") || given("baseCoin") || given("settleCoin") {
        Ok(())
    } else {
        Err(ApiError::params(
            "symbol, baseCoin or settleCoin is required",
        ))
    }
}

/// Without `orderFilter` this takes stops away too, as the real one does.
pub(super) fn cancel_all(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    needs_place(call)?;
    let uid = call.uid()?;
    let meant = chosen(state, call)?;
    let mut hit: Vec<(String, String)> = state
        .account(uid)?
        .orders
        .iter()
        .filter(|o| meant(o))
        .map(|o| (o.id.clone(), o.link_id.clone()))
        .collect();
    while hit.len() > CANCEL_LIMIT {
        let at = usize::try_from(state.rng.below(hit.len() as u64)).unwrap_or(0);
        hit.swap_remove(at);
    }
    let due = state.due(call.now_ms);
    for (order_id, _) in &hit {
        let order_id = order_id.clone();
        state.intents.push((due, Intent::Cancel { uid, order_id }));
    }
    let list: Vec<Value> = hit.into_iter().map(ids).collect();
    Ok(json!({"list": list, "success": "1"}))
}

pub(super) fn realtime(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let category = args.need("category")?;
    let (id, link) = (args.text("orderId"), args.text("orderLinkId"));
    if id.is_none() && link.is_none() && category == "linear" {
        needs_place(call)?;
    }
    let account = state.account(call.uid()?)?;
    let recent = account.closed_orders.iter().rev().take(RECENT);
    let named = id.is_some() || link.is_some();
    // A named order is found whether open or recently closed.
    let orders: Vec<&Order> = match (named, args.int("openOnly")?.unwrap_or(0)) {
        (true, _) => account.orders.iter().chain(recent).collect(),
        (false, 0) => account.orders.iter().collect(),
        (false, _) => recent.collect(),
    };
    rows(state, call, &category, orders, 50)
}

pub(super) fn history(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let category = args.need("category")?;
    let (start, end) = args.window(call.now_ms, 7)?;
    let account = state.account(call.uid()?)?;
    let inside = |o: &&Order| (start..=end).contains(&o.created_ms);
    let orders = account.closed_orders.iter().filter(inside).collect();
    rows(state, call, &category, orders, 50)
}

fn rows(state: &State, call: &Call, category: &str, mut orders: Vec<&Order>, max: usize) -> Answer {
    let (id, link) = (call.args.text("orderId"), call.args.text("orderLinkId"));
    let meant = chosen(state, call)?;
    orders.retain(|o| {
        category == "linear"
            && meant(o)
            && id.as_ref().is_none_or(|id| *id == o.id)
            && link.as_ref().is_none_or(|link| *link == o.link_id)
    });
    orders.sort_by_key(|o| std::cmp::Reverse((o.created_ms, o.seq)));
    let shown = orders
        .into_iter()
        .filter_map(|o| Some(((o.created_ms, o.seq), o.row(state.markets.get(o.symbol)?))))
        .collect();
    let (list, cursor) = page(shown, &call.args, 20, max)?;
    Ok(json!({"category": category, "list": list, "nextPageCursor": cursor}))
}

pub(super) fn executions(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let category = args.need("category")?;
    let (start, end) = args.window(call.now_ms, 7)?;
    let (symbol, order_id, link_id) = (
        args.text("symbol"),
        args.text("orderId"),
        args.text("orderLinkId"),
    );
    let kind = args.text("execType");
    let is = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|w| w == have);
    let shown = state
        .account(call.uid()?)?
        .executions
        .iter()
        .rev()
        .filter(|e| category == "linear" && (start..=end).contains(&e.time_ms))
        .filter(|e| {
            is(&symbol, e.symbol)
                && is(&order_id, &e.order_id)
                && is(&link_id, &e.link_id)
                && is(&kind, e.kind)
        })
        .map(|e| ((e.time_ms, e.seq), e.row()))
        .collect();
    let (list, cursor) = page(shown, args, 50, 100)?;
    Ok(json!({"category": category, "list": list, "nextPageCursor": cursor}))
}
