//! `status` and `keys`: what the panes show, as lines or as one object.

use super::out::{Code, Out};
use crate::app::run::Places;
use crate::client::{self, Address};
use crate::fmt;
use crate::store::Store;
use fusebox_wire::feed::RungState;
use fusebox_wire::operator;
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

/// What could be reached, and why the rest could not.
struct Picture {
    store: Store,
    status: Option<operator::Status>,
    recorder: Option<fusebox_wire::append::Status>,
    missing: Vec<(String, String)>,
}

async fn picture(places: &Places) -> Picture {
    let mut picture = Picture {
        store: Store::default(),
        status: None,
        recorder: None,
        missing: Vec::new(),
    };
    let feed = async {
        let mut frames = places.feed.connect().await?;
        client::feed::first_picture(&mut frames, &mut picture.store).await
    };
    if let Err(e) = feed.await {
        picture.missing.push(("breaker".to_owned(), e.to_string()));
    }
    match revoker_status(&places.revoker).await {
        Ok(status) => picture.status = Some(status),
        Err(e) => picture.missing.push(("revoker".to_owned(), e.to_string())),
    }
    match client::recorder::question(&places.recorder, &fusebox_wire::append::Request::Status).await
    {
        Ok(fusebox_wire::append::Reply::Status(status)) => picture.recorder = Some(status),
        Ok(_) => picture.missing.push((
            "recorder".to_owned(),
            "it answered something else".to_owned(),
        )),
        Err(e) => picture.missing.push(("recorder".to_owned(), e.to_string())),
    }
    picture
}

async fn revoker_status(address: &Address) -> Result<operator::Status, fusebox_wire::Error> {
    client::revoker::status(&mut address.connect().await?).await
}

pub(super) async fn status(out: &Out, places: &Places) -> ExitCode {
    let picture = picture(places).await;
    let now = Instant::now();
    let store = &picture.store;
    let age = crate::store::age_of(store.equity_fresh(now));
    let missing: serde_json::Map<String, serde_json::Value> = picture
        .missing
        .iter()
        .map(|(name, why)| (name.clone(), why.clone().into()))
        .collect();
    out.object(&json!({
        "account": store.account,
        "equity": store.equity.as_ref().map(|s| &s.value),
        "equity_age_ms": age,
        "ladder": store.ladder.as_ref().map(|s| &s.value),
        "positions": store.positions.as_ref().map(|s| &s.value),
        "orders": store.orders,
        "actions": store.actions,
        "alerts": store.alerts,
        "health": store.health.as_ref().map(|s| &s.value),
        "sources": store.sources.as_ref().map(|s| &s.value),
        "revoker": picture.status,
        "recorder": picture.recorder,
        "missing": missing,
    }));
    lines(out, &picture, now);
    match (picture.missing.len(), store.ladder_fresh(now).is_usable()) {
        (3, _) => Code::Failed.into(),
        (0, true) => Code::Done.into(),
        _ => Code::Partly.into(),
    }
}

fn lines(out: &Out, picture: &Picture, now: Instant) {
    let store = &picture.store;
    if let Some(account) = &store.account {
        let armed = match &account.not_armed_because {
            Some(why) if !account.armed => format!("breaker NOT ARMED: {why}"),
            _ => "breaker armed".to_owned(),
        };
        out.line(&format!(
            "{}  {} {}  {armed}, auto-kill {}",
            account.account, account.venue, account.environment, account.auto_revoke
        ));
    }
    match (store.equity_usdt(), store.equity_fresh(now).is_usable()) {
        (Some(equity), true) => out.line(&format!("equity   {} USDT", fmt::money(equity))),
        (Some(equity), false) => out.line(&format!("equity   ~{} USDT, STALE", fmt::money(equity))),
        (None, _) => out.line("equity   UNKNOWN"),
    }
    let usable = store.ladder_fresh(now).is_usable();
    for rung in store.ladder.iter().flat_map(|l| &l.value.rungs) {
        let state = match (usable, rung.state) {
            (false, _) | (_, RungState::Unknown) => "UNKNOWN".to_owned(),
            (true, RungState::Latched) => {
                format!("TRIPPED  {}", rung.done.as_deref().unwrap_or(&rung.action))
            }
            (true, RungState::Clear) => {
                let room = rung.room_usdt.map(fmt::money).unwrap_or_default();
                let change = rung.change_bp.map(fmt::percent).unwrap_or_default();
                format!("{change}, {room} USDT left, then {}", rung.action)
            }
        };
        out.line(&format!(
            "{:<3}{:<6} {:>6}  {state}",
            rung.rung,
            rung.basis,
            fmt::percent_short(-i64::from(rung.threshold_bp))
        ));
    }
    for p in store.positions.iter().flat_map(|p| &p.value) {
        let stop = p.stop_price.map_or_else(
            || "NO STOP".to_owned(),
            |s| format!("stop {}", fmt::price(s)),
        );
        let profit = p
            .unrealised_usdt
            .map_or_else(|| "unknown".to_owned(), fmt::signed_money);
        out.line(&format!(
            "{} {} {}  uPnL {profit}  {stop}",
            p.symbol,
            p.side.position_word(),
            fmt::size(p.size)
        ));
    }
    if let Some(status) = &picture.status {
        let armed = if status.armed { "armed" } else { "NOT ARMED" };
        out.line(&format!(
            "revoker  {armed}, {} devices enrolled, {}",
            status.devices.len(),
            status.environment
        ));
        for run in status.runs.iter().rev().take(3) {
            let outcome = run
                .outcome
                .map_or_else(|| "running".to_owned(), |o| format!("{o:?}").to_lowercase());
            out.line(&format!(
                "run      {} {} by {}, {outcome}, {}",
                run.run,
                run.action,
                run.trigger,
                fmt::date_time(run.started_ms)
            ));
        }
    }
    if let Some(status) = &picture.recorder {
        out.line(&format!("journal  {} entries", fmt::count(status.entries)));
    }
    for (name, why) in &picture.missing {
        out.line(&format!("{name:<8} MISSING: {why}"));
    }
}

pub(super) async fn keys(out: &Out, places: &Places) -> ExitCode {
    let ask = async {
        let mut frames = places.revoker.connect().await?;
        client::revoker::keys(&mut frames).await
    };
    match ask.await {
        Ok(Some(keys)) => {
            out.object(&keys);
            for key in &keys.keys {
                let role = key.role.map_or("UNDECLARED", |r| r.as_str());
                let seen = match &key.observed {
                    Some(observed) => observed.api_key.short(),
                    None => "not listed".to_owned(),
                };
                let due = key
                    .rotation_due_days
                    .map(|d| format!("rotation in {d} d"))
                    .unwrap_or_default();
                let findings = fusebox_domain::clean_line(&key.findings.join("; "), 200);
                out.line(&format!(
                    "{:<16} {role:<10} {seen:<11} {due:<16} {findings}",
                    key.name.as_str()
                ));
            }
            for spot in &keys.blind_spots {
                out.line(&format!(
                    "not observable: {}",
                    fusebox_domain::clean_line(spot, 200)
                ));
            }
            let undeclared = keys
                .keys
                .iter()
                .any(|k| k.role.is_none() || !k.findings.is_empty());
            if undeclared {
                Code::Partly.into()
            } else {
                Code::Done.into()
            }
        }
        Ok(None) => out.fail("no_registry", "the revoker shows no key registry"),
        Err(e) => out.fail("unreachable", &e.to_string()),
    }
}
