//! `kill`, `rotate` and `resume` without a terminal: the same path as the dialog.

use super::Touch;
use super::out::{Code, Out};
use crate::app::run::Places;
use crate::client;
use crate::client::run::{Error, Event, Finished, Route, Talk, Tell};
use crate::fmt;
use clap::Args;
use fusebox_domain::{AccountName, KeyName};
use fusebox_wire::operator::{Challenge, Outcome, Plan, Residual, StepState, Verdict, Wish};
use std::process::ExitCode;
use tokio::sync::mpsc;

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// Why, for the journal
    #[arg(long, default_value = "")]
    reason: String,
    /// Only this account; otherwise all
    #[arg(long)]
    account: Option<String>,
    /// Also the read keys, at last
    #[arg(long)]
    total: bool,
    /// Close positions first
    #[arg(long)]
    flatten: bool,
    /// A key leaked: all keys at once
    #[arg(long, conflicts_with = "flatten")]
    key_theft: bool,
    /// Which way the touch takes
    #[arg(long, value_enum, default_value_t)]
    touch: Touch,
    /// Show the plan and its six words, do nothing
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// The keys, by their names in the registry
    #[arg(value_name = "KEY", required_unless_present = "due")]
    keys: Vec<String>,
    /// All that are due
    #[arg(long, conflicts_with = "keys")]
    due: bool,
    #[command(flatten)]
    how: How,
}

/// What rotate and resume have in common.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct How {
    /// Why, for the journal
    #[arg(long, default_value = "")]
    reason: String,
    /// Which way the touch takes
    #[arg(long, value_enum, default_value_t)]
    touch: Touch,
    /// Show the plan and its six words, do nothing
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The rung to release
    #[arg(long, value_name = "RUNG", default_value = "R3")]
    rung: String,
    /// Its account; otherwise the breaker's
    #[arg(long)]
    account: Option<String>,
    /// release, rebase_month or rebase_peak
    #[arg(long, default_value = "release", value_parser = ["release", "rebase_month", "rebase_peak"])]
    release: String,
    #[command(flatten)]
    how: How,
}

pub(super) async fn kill(out: &Out, places: &Places, args: KillArgs) -> ExitCode {
    let wish = Wish::Kill {
        account: args.account.map(AccountName::new),
        total: args.total,
        flatten: args.flatten,
        key_theft: args.key_theft,
        reason: args.reason,
    };
    go(out, places, wish, args.touch, args.plan).await
}

pub(super) async fn rotate(out: &Out, places: &Places, args: RotateArgs) -> ExitCode {
    let wish = Wish::Rotate {
        keys: args.keys.into_iter().map(KeyName::new).collect(),
        due: args.due,
        reason: args.how.reason,
    };
    go(out, places, wish, args.how.touch, args.how.plan).await
}

pub(super) async fn resume(out: &Out, places: &Places, args: ResumeArgs) -> ExitCode {
    // The certificate is bound to the configuration that the operator sees: the breaker's.
    let mut store = crate::store::Store::default();
    let seen = async {
        let mut frames = places.feed.connect().await?;
        crate::client::feed::first_picture(&mut frames, &mut store).await
    };
    if let Err(e) = seen.await {
        return out.fail(
            "unreachable",
            &format!("the breaker cannot be asked what is latched: {e}; nothing was released"),
        );
    }
    let Some(account) = &store.account else {
        return out.fail(
            "unknown",
            "the breaker did not say which account it guards; nothing was released",
        );
    };
    let wish = Wish::Resume {
        account: args
            .account
            .map_or_else(|| account.account.clone(), AccountName::new),
        rung: args.rung,
        release: args.release,
        config_hash: account.config_hash.clone(),
        reason: args.how.reason,
    };
    go(out, places, wish, args.how.touch, args.how.plan).await
}

async fn go(out: &Out, places: &Places, wish: Wish, touch: Touch, only_plan: bool) -> ExitCode {
    let result = match only_plan {
        true => plan(out, places, wish).await.map(|()| Code::Done),
        false => run(out, places, wish, touch).await,
    };
    match result {
        Ok(code) => code.into(),
        // It runs, and nobody here knows how it ended.
        Err(e @ Error::Lost(_)) => {
            out.fail("lost", &e.to_string());
            Code::Partly.into()
        }
        Err(Error::Refused(refused)) => out.fail(&refused.code, &refused.message),
        Err(e) => out.fail("failed", &e.to_string()),
    }
}

async fn plan(out: &Out, places: &Places, wish: Wish) -> Result<(), Error> {
    let plan = Talk::open(&places.revoker).await?.plan(wish).await?;
    out.object(&plan);
    for line in plan_lines(&plan) {
        out.line(&line);
    }
    Ok(())
}

async fn run(out: &Out, places: &Places, wish: Wish, touch: Touch) -> Result<Code, Error> {
    let mut talk = Talk::open(&places.revoker).await?;
    let challenge = talk.challenge(wish).await?;
    for line in plan_lines(&challenge.plan) {
        out.aside(&line);
    }
    let route = route(places, &challenge, touch)?;
    out.aside(match &route {
        Route::Demo(_) => "DEMO: the software key signs in place of the YubiKey in your laptop",
        Route::Agent(_) if challenge.plan.needs_pin => {
            "TOUCH THE KEY IN YOUR LAPTOP and give its PIN there (60 s)"
        }
        Route::Agent(_) => {
            "TOUCH THE KEY IN YOUR LAPTOP: it blinks; the agent shows no prompt (60 s)"
        }
    });
    let assertion = route.touch(&challenge).await?;
    let (events, mut inbox) = mpsc::channel(256);
    let out = *out;
    let telling = tokio::spawn(async move {
        while let Some(event) = inbox.recv().await {
            if let client::Event::Run(_, event) = event {
                tell(out, &event);
            }
        }
    });
    let finished = talk
        .execute(&challenge, assertion, &places.trust, &Tell::new(0, events))
        .await;
    // The sender is gone: what was told is printed before the result.
    let _ = telling.await;
    Ok(report(&out, &finished?))
}

fn route(places: &Places, challenge: &Challenge, touch: Touch) -> Result<Route, Error> {
    match touch {
        Touch::Usb => Err(Error::OutOfTurn(
            "USB on this machine is not available yet; use the SSH agent",
        )),
        Touch::Agent => Ok(Route::choose(None, challenge)),
        Touch::Auto => Ok(Route::choose(places.demo_key.as_deref(), challenge)),
    }
}

fn tell(out: Out, event: &Event) {
    match event {
        Event::Step(step) if !matches!(step.state, StepState::Pending | StepState::Sent) => {
            let word = match step.state {
                StepState::Done => "done",
                StepState::Refused => "REFUSED",
                StepState::Skipped => "skipped",
                _ => "UNKNOWN",
            };
            let at = step.ended_ms.map(fmt::seconds).unwrap_or_default();
            out.aside(&format!(
                "{at:>9}  {word:<8} {}  {}",
                step.step, step.detail
            ));
        }
        Event::Started(run) => out.aside(&format!("run {run}: its intent is durable")),
        _ => {}
    }
}

fn report(out: &Out, finished: &Finished) -> Code {
    let report = &finished.report;
    out.object(report);
    for key in &report.keys {
        let word = match key.verdict {
            Verdict::Dead => "DEAD",
            Verdict::Alive => "ALIVE",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Kept => "kept",
        };
        let proofs = key.proofs.join(", ");
        out.line(&format!(
            "{:<16} {:<6} {word:<8} {proofs}  {}",
            key.name.as_str(),
            key.role.as_str(),
            fusebox_domain::clean_line(&key.detail, 120)
        ));
    }
    if report.action == "kill" {
        residual(out, &report.residual);
    }
    if let Some(released) = &finished.released {
        out.line(&format!("breaker: {}", released.detail));
    }
    let not_released = finished.released.as_ref().is_some_and(|r| !r.done);
    let (word, code) = match report.outcome {
        Outcome::Done if not_released => ("signed, but NOT RELEASED", Code::Failed),
        Outcome::Done => ("done", Code::Done),
        Outcome::Partial => ("PARTIAL", Code::Partly),
        Outcome::Unknown => ("UNKNOWN", Code::Partly),
        Outcome::Refused => ("REFUSED", Code::Failed),
    };
    let dead = report
        .touch_to_dead_ms
        .map(|ms| format!(", touch to dead {}", fmt::seconds(ms)))
        .unwrap_or_default();
    out.line(&format!(
        "{} {}: {word}{dead}",
        report.action,
        fusebox_domain::clean_line(&report.id, 80)
    ));
    match &finished.untrusted {
        Some(why) => {
            out.complain(&format!(
                "UNTRUSTED: {why}; believe none of the above without the journal"
            ));
            if code == Code::Done {
                Code::Partly
            } else {
                code
            }
        }
        None => code,
    }
}

/// What a kill leaves that nothing manages any more.
fn residual(out: &Out, residual: &Residual) {
    for p in &residual.positions {
        let stop = p.stop_price.map_or_else(
            || "NO STOP".to_owned(),
            |s| format!("stop {}", fmt::price(s)),
        );
        out.line(&format!(
            "left open: {} {} {}  {stop}",
            fusebox_domain::clean_line(&p.symbol, 30),
            p.side,
            fmt::size(p.size)
        ));
    }
    out.line(&format!(
        "left: {} entries resting, {} stops kept  {}",
        residual.resting_entries,
        residual.stops_kept,
        fusebox_domain::clean_line(&residual.seen, 120)
    ));
    for note in &residual.notes {
        out.line(&format!("note: {}", fusebox_domain::clean_line(note, 200)));
    }
}

fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!("{}  ({})", plan.title, plan.environment)];
    for key in &plan.keys {
        lines.push(format!(
            "  key      {} ···{} {} {}",
            key.name,
            key.short.trim_start_matches('·'),
            key.role.as_str(),
            key.effect
        ));
    }
    for (name, texts) in [
        ("orders", &plan.orders),
        ("bot", &plan.workload),
        ("secrets", &plan.secrets),
        ("leaves", &plan.leaves),
    ] {
        lines.extend(texts.iter().map(|text| format!("  {name:<8} {text}")));
    }
    lines.push(format!("  plan     {}", plan.words.join(" · ")));
    lines
}
