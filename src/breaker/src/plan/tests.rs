use super::*;

fn plan(rung: Rung) -> Plan {
    Plan::new("p".into(), rung, "why".into(), 0, 0)
}

fn position(symbol: &str, size: i64) -> Position {
    Position {
        symbol: symbol.into(),
        side: Side::Buy,
        size: Decimal::from(size),
        entry_price: Decimal::ONE,
        mark_price: Some(Decimal::ONE),
        liquidation_price: None,
        leverage: None,
        unrealised_usdt: None,
        stop_price: None,
        opened_ms: None,
        updated_ms: 0,
        seq: 0,
    }
}

fn reducing() -> Plan {
    let mut plan = plan(Rung::R2);
    plan.baseline = Some(Baseline {
        held: Some(vec![Held {
            symbol: "X".into(),
            side: Side::Buy,
            size: Decimal::from(100),
            price: Decimal::ONE,
        }]),
        deadline_ms: 120_000,
        keep_percent: 55,
    });
    plan
}

#[test]
fn the_gravest_rung_of_an_event_is_executed() {
    let all = [Rung::B1, Rung::R1, Rung::R2, Rung::R3, Rung::R4];
    assert_eq!(gravest(all.into_iter()), Some(Rung::R4));
    assert_eq!(gravest([Rung::R1, Rung::R2].into_iter()), Some(Rung::R2));
    assert_eq!(
        gravest([Rung::B1, Rung::B2, Rung::B3].into_iter()),
        Some(Rung::B3)
    );
    assert_eq!(gravest(std::iter::empty()), None);
}

#[test]
fn jobs_begin_together_and_only_the_count_of_pods_waits() {
    let mut plan = plan(Rung::R3);
    assert_eq!(
        plan.due(0),
        [Job::CancelEntries, Job::ScaleZero, Job::StopEntries]
    );
    assert!(plan.due(1_000).is_empty(), "they are running");
    plan.report(Job::ScaleZero, Outcome::Done("0".into()), 1_000);
    assert_eq!(plan.due(1_000), [Job::VerifyNoPods]);
}

#[test]
fn a_dead_bot_and_a_dead_revoker_hold_up_nobody_and_are_asked_again() {
    let mut plan = plan(Rung::R4);
    plan.due(0);
    plan.report(Job::RequestKill, Outcome::Again("no answer".into()), 0);
    plan.report(Job::StopEntries, Outcome::Again("no answer".into()), 0);
    assert!(plan.due(499).is_empty());
    assert_eq!(plan.due(500), [Job::RequestKill, Job::StopEntries]);
    plan.report(Job::RequestKill, Outcome::Again("no answer".into()), 500);
    assert_eq!(plan.due(1_499), [], "pauses double");
    assert_eq!(plan.due(1_500), [Job::RequestKill]);
    plan.report(Job::ScaleZero, Outcome::Done("0".into()), 1_600);
    plan.due(1_600);
    plan.report(Job::VerifyNoPods, Outcome::Done("none".into()), 1_700);
    assert_eq!(
        plan.state_of(Job::StopEntries),
        Some(State::Done),
        "no bot is left"
    );
    assert!(plan.is_open(), "the kill has no answer yet");
    plan.report(Job::RequestKill, Outcome::Done("started".into()), 2_000);
    assert_eq!(plan.ended_ms, Some(2_000));
}

#[test]
fn pauses_end_at_ten_seconds() {
    let mut plan = plan(Rung::R4);
    let mut now_ms = 0;
    for _ in 0..20 {
        plan.due(now_ms);
        plan.report(Job::RequestKill, Outcome::Again(String::new()), now_ms);
        now_ms += MAX_PAUSE_MS;
    }
    assert!(plan.due(now_ms).contains(&Job::RequestKill));
}

#[test]
fn a_lost_attempt_is_begun_again() {
    let mut plan = plan(Rung::B2);
    assert_eq!(plan.due(0), [Job::StopEntries]);
    assert!(plan.due(LOST_MS - 1).is_empty());
    assert_eq!(plan.due(LOST_MS), [Job::StopEntries]);
}

#[test]
fn a_restart_begins_again_what_was_running_and_keeps_what_was_done() {
    let mut plan = plan(Rung::R3);
    plan.due(0);
    plan.report(Job::CancelEntries, Outcome::Done("0 left".into()), 10);
    let text = serde_json::to_string(&plan).unwrap();
    let mut plan: Plan = serde_json::from_str(&text).unwrap();
    plan.resume(9_000);
    assert_eq!(plan.due(9_000), [Job::ScaleZero, Job::StopEntries]);
}

#[test]
fn a_reduction_is_done_when_the_exchange_shows_it_and_not_when_the_bot_says_so() {
    let mut plan = reducing();
    plan.due(0);
    plan.report(Job::StopEntries, Outcome::Done("paused".into()), 10);
    plan.report(Job::Reduce, Outcome::Done("asked".into()), 20);
    plan.observe(Some(&[position("X", 100)]), 1_000);
    plan.observe(None, 2_000);
    assert!(plan.is_open());
    plan.observe(Some(&[position("X", 56)]), 3_000);
    assert!(plan.is_open(), "56 % is not enough");
    plan.observe(Some(&[position("X", 50)]), 4_000);
    assert_eq!(
        (plan.ended_ms, plan.reduction_failed()),
        (Some(4_000), false)
    );
}

#[test]
fn a_lying_bot_leads_to_r3_at_the_deadline() {
    let mut plan = reducing();
    plan.due(0);
    plan.report(Job::StopEntries, Outcome::Done("paused".into()), 10);
    plan.report(Job::Reduce, Outcome::Done("asked".into()), 20);
    plan.observe(Some(&[position("X", 100)]), 119_999);
    assert!(!plan.reduction_failed());
    plan.observe(Some(&[position("X", 100)]), 120_000);
    assert!(plan.reduction_failed() && !plan.is_open());
}

#[test]
fn not_seeing_is_not_reduced() {
    let mut plan = reducing();
    plan.observe(None, 120_000);
    assert!(plan.reduction_failed());
}

#[test]
fn a_new_position_elsewhere_counts() {
    let baseline = reducing().baseline.unwrap();
    let both = [position("X", 50), position("Y", 50)];
    assert_eq!(remaining_percent(&baseline, &both), Some(100));
    assert_eq!(remaining_percent(&baseline, &[]), Some(0));
    let flat = Baseline {
        held: Some(vec![]),
        ..baseline
    };
    assert_eq!(remaining_percent(&flat, &both), Some(0));
}

#[test]
fn what_was_not_seen_yet_is_not_nothing() {
    let mut plan = reducing();
    if let Some(baseline) = &mut plan.baseline {
        baseline.held = None;
    }
    assert_eq!(plan.due(0), [Job::StopEntries], "no half of the unknown");
    plan.observe(Some(&[]), 1_000);
    assert!(plan.is_open());
    plan.hold(|| reducing().baseline.unwrap().held.unwrap());
    plan.hold(Vec::new);
    assert_eq!(plan.due(2_000), [Job::Reduce]);
    plan.observe(Some(&[position("X", 50)]), 3_000);
    assert_eq!(plan.state_of(Job::VerifyReduced), Some(State::Done));
}

#[test]
fn asking_twice_does_not_leave_a_quarter() {
    let baseline = reducing().baseline.unwrap();
    let leave = |amount| to_leave(&baseline, &"X".into(), Side::Buy, Decimal::from(amount));
    assert_eq!(leave(100), Decimal::from(50));
    assert_eq!(leave(50), Decimal::ZERO);
    assert_eq!(leave(60), Decimal::from(10));
    let other = to_leave(&baseline, &"X".into(), Side::Sell, Decimal::from(5));
    assert_eq!(
        other,
        Decimal::from(5),
        "what was not there is left completely"
    );
}

#[test]
fn an_alert_has_no_jobs_and_is_over_at_once() {
    assert_eq!(plan(Rung::R1).ended_ms, Some(0));
    assert_eq!(
        (
            plan(Rung::X).action.as_str(),
            plan(Rung::B1).action.as_str()
        ),
        ("stop_entries", "alert")
    );
}
