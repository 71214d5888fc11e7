//! P1–P7 over random histories.

use crate::script::NOON_MS;
use fusebox_ladder::{Basis, Config, Ladder, Nav, Reading, Rung, Sample, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

const DOLLAR: i128 = 100_000_000;

/// A line: ms since the one before, equity, second source, flows.
#[derive(Clone, Debug)]
struct Step {
    after_ms: i64,
    equity_e8: i128,
    second_e8: Option<i128>,
    flows_e8: Vec<i128>,
}

fn funded(equity_e8: i128) -> Ladder {
    let sample = Sample {
        t_ms: NOON_MS,
        equity_e8,
        second_e8: None,
        flows_e8: &[],
    };
    Ladder::funded(Config::default(), &sample).unwrap().0
}

fn feed(ladder: &mut Ladder, at_ms: &mut i64, step: &Step) -> Verdict {
    *at_ms += step.after_ms;
    let Step {
        equity_e8,
        second_e8,
        ref flows_e8,
        ..
    } = *step;
    ladder.step(&Sample {
        t_ms: *at_ms,
        equity_e8,
        second_e8,
        flows_e8,
    })
}

/// Mostly 1 Hz around 4000, with everything else that happens.
fn step() -> impl Strategy<Value = Step> {
    let after_ms = prop_oneof![6 => Just(1_000), 1 => 1i64..3_000, 1 => Just(15_000), 1 => 15_001i64..400_000, 1 => Just(43_200_000)];
    let equity = prop_oneof![8 => 3_000 * DOLLAR..5_000 * DOLLAR, 1 => -DOLLAR..2 * DOLLAR, 1 => Just(3_800 * DOLLAR)];
    let flows = prop_oneof![8 => Just(Vec::new()), 2 => vec(-2_000 * DOLLAR..2_000 * DOLLAR, 1..3)];
    (after_ms, equity, 0u8..4, flows).prop_map(|(after_ms, equity_e8, second, flows_e8)| {
        let second_e8 = match second {
            0 => None,
            1 => Some(equity_e8 + 100 * DOLLAR),
            _ => Some(equity_e8),
        };
        Step {
            after_ms,
            equity_e8,
            second_e8,
            flows_e8,
        }
    })
}

/// How far NAV may be below 1 after `flows` roundings of units: far below what is shown.
fn nearly_one(verdict: &Verdict) -> bool {
    (999_999_999_990..=1_000_000_000_000).contains(&verdict.nav.e12())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p1_flows_alone_leave_the_value_alone(flows in vec(-3_000i128..5_000, 1..80)) {
        let (mut ladder, mut at_ms, mut equity_e8) = (funded(4_000 * DOLLAR), NOON_MS, 4_000 * DOLLAR);
        for flow in flows {
            let flow_e8 = (flow * DOLLAR / 7).max(DOLLAR - equity_e8);
            equity_e8 += flow_e8;
            let step = Step { after_ms: 1_000, equity_e8, second_e8: None, flows_e8: vec![flow_e8] };
            let verdict = feed(&mut ladder, &mut at_ms, &step);
            prop_assert!(nearly_one(&verdict), "{:?}", verdict.nav);
            prop_assert!(verdict.latched.is_empty() && verdict.dd_bp(Basis::Hwm) == 0);
        }
    }

    #[test]
    fn p2_splitting_a_flow_changes_nothing(loss in 0i128..300, parts in vec(1i128..500, 1..9)) {
        let (total, equity_e8) = (parts.iter().sum::<i128>() * DOLLAR, (4_000 - loss) * DOLLAR);
        let mut whole = funded(4_000 * DOLLAR);
        let mut split = whole.clone();
        let mut spread = whole.clone();
        let line = |flows_e8: Vec<i128>, equity_e8| Step { after_ms: 1_000, equity_e8, second_e8: None, flows_e8 };
        let (mut a_ms, mut b_ms, mut c_ms) = (NOON_MS, NOON_MS, NOON_MS);
        let expected = feed(&mut whole, &mut a_ms, &line(vec![total], equity_e8 + total));
        let parts: Vec<i128> = parts.into_iter().map(|part| part * DOLLAR).collect();
        let got = feed(&mut split, &mut b_ms, &line(parts.clone(), equity_e8 + total));
        prop_assert_eq!(&got, &expected);
        let mut equity_e8 = equity_e8;
        for part in parts {
            equity_e8 += part;
            feed(&mut spread, &mut c_ms, &line(vec![part], equity_e8));
        }
        let step = line(vec![], equity_e8);
        let (one, many) = (feed(&mut whole, &mut a_ms, &step), feed(&mut spread, &mut c_ms, &step));
        prop_assert!(one.nav.e12().abs_diff(many.nav.e12()) <= 1);
    }

    #[test]
    fn p3_scale_does_not_matter(scale in 1i128..100_000, steps in vec(step(), 1..60)) {
        let (mut small, mut large) = (funded(4_000 * DOLLAR), funded(4_000 * DOLLAR * scale));
        let (mut a_ms, mut b_ms) = (NOON_MS, NOON_MS);
        // The absolute limit of 1 (L4, L8) and flows (rounded units) are not scale-free.
        for mut step in steps.into_iter().filter(|step| step.equity_e8 > 1_000 * DOLLAR) {
            step.flows_e8.clear();
            let one = feed(&mut small, &mut a_ms, &step);
            step.equity_e8 *= scale;
            step.second_e8 = step.second_e8.map(|second| second * scale);
            let other = feed(&mut large, &mut b_ms, &step);
            prop_assert!(one.nav.compare(other.nav).is_eq());
            prop_assert_eq!(Basis::ALL.map(|basis| one.dd_bp(basis)), Basis::ALL.map(|basis| other.dd_bp(basis)));
            prop_assert_eq!((one.tripped, one.latched, one.begun), (other.tripped, other.latched, other.begun));
        }
    }

    #[test]
    fn p4_the_peak_never_falls(steps in vec(step(), 1..120)) {
        let (mut ladder, mut at_ms) = (funded(4_000 * DOLLAR), NOON_MS);
        let mut peak = ladder.now().references.of(Basis::Hwm);
        for step in steps {
            let next = feed(&mut ladder, &mut at_ms, &step).references.of(Basis::Hwm);
            prop_assert!(next.compare(peak).is_ge());
            peak = next;
        }
    }

    #[test]
    fn p5_a_restart_at_any_line_changes_nothing(steps in vec(step(), 1..60), at in 0usize..60, live in any::<bool>()) {
        let mut steady = if live { Ladder::new(Config::default()).unwrap() } else { funded(4_000 * DOLLAR) };
        let (mut restarted, mut a_ms, mut b_ms) = (steady.clone(), NOON_MS, NOON_MS);
        for (index, step) in steps.iter().enumerate() {
            if index >= at {
                restarted = Ladder::from_bytes(&restarted.to_bytes(), Config::default()).unwrap();
            }
            prop_assert_eq!(feed(&mut steady, &mut a_ms, step), feed(&mut restarted, &mut b_ms, step));
            prop_assert_eq!(&steady, &restarted);
        }
    }

    #[test]
    fn p6_the_order_of_rows_within_a_sample_does_not_matter(steps in vec(step(), 1..60)) {
        let (mut ladder, mut other) = (funded(4_000 * DOLLAR), funded(4_000 * DOLLAR));
        let (mut a_ms, mut b_ms) = (NOON_MS, NOON_MS);
        for mut step in steps {
            let verdict = feed(&mut ladder, &mut a_ms, &step);
            step.flows_e8.reverse();
            prop_assert_eq!(verdict, feed(&mut other, &mut b_ms, &step));
        }
    }

    /// L20: a reading far off both its neighbours causes no trip and no peak; what is true of three further samples is
    /// in force with or without it.
    #[test]
    fn p7_one_outlier_does_nothing(
        levels in vec(0usize..6, 10..80), place in 0usize..80, outlier in prop_oneof![-DOLLAR..9_000 * DOLLAR, Just(0)]
    ) {
        const LEVELS: [i128; 6] = [4_000, 3_990, 3_840, 3_800, 3_680, 3_200];
        let level = |index: usize| LEVELS[levels[index.min(levels.len() - 1)]] * DOLLAR;
        let place = place % levels.len();
        let (mut clean, mut dirty) = (funded(4_000 * DOLLAR), funded(4_000 * DOLLAR));
        let (mut a_ms, mut b_ms) = (NOON_MS, NOON_MS);
        let line = |equity_e8| Step { after_ms: 1_000, equity_e8, second_e8: None, flows_e8: vec![] };
        for index in 0..levels.len() + 3 {
            // Beside an outlier stands the same history with a neighbour's value in its place.
            let neighbours = if place == 0 { 4_000 * DOLLAR } else { level(place - 1) }.min(level(place + 1));
            let at_outlier = index == place;
            let reference = feed(&mut clean, &mut a_ms, &line(if at_outlier { neighbours } else { level(index) }));
            let verdict = feed(&mut dirty, &mut b_ms, &line(if at_outlier { outlier } else { level(index) }));
            prop_assert!(verdict.latched.without(reference.latched).is_empty(), "a trip by an outlier");
            prop_assert_eq!(verdict.dd_bp(Basis::Hwm), verdict.confirmed.dn.change_bp(Nav::ONE), "a peak by an outlier");
        }
        prop_assert_eq!(dirty.now().tripped, clean.now().tripped);
        prop_assert!(clean.now().tripped.without(dirty.latched()).is_empty());
    }

    /// Nothing about time is read from anywhere but the samples, and no input makes it panic.
    #[test]
    fn any_numbers_at_all_are_survived(
        lines in vec((any::<i64>(), any::<i128>(), any::<Option<i128>>(), vec(any::<i128>(), 0..3)), 1..40)
    ) {
        let mut ladder = funded(4_000 * DOLLAR);
        let mut last = NOON_MS;
        for (t_ms, equity_e8, second_e8, flows_e8) in lines {
            let verdict = ladder.step(&Sample { t_ms, equity_e8, second_e8, flows_e8: &flows_e8 });
            prop_assert!(verdict.reading != Reading::Missing);
            prop_assert!(verdict.t_ms.unwrap() >= last);
            last = verdict.t_ms.unwrap();
            for rung in Rung::ALL {
                let _ = (verdict.room_e8(rung), verdict.room_after_roll_e8(rung));
            }
            let _ = Basis::ALL.map(|basis| verdict.dd_bp(basis));
            ladder.tick(t_ms);
        }
    }
}

#[test]
fn the_largest_numbers_stay_exact() {
    let most = fusebox_ladder::MAX_EQUITY_E8;
    let mut ladder = funded(most);
    let mut at_ms = NOON_MS;
    let line = |equity_e8, flows_e8: &[i128]| Step {
        after_ms: 1_000,
        equity_e8,
        second_e8: None,
        flows_e8: flows_e8.to_vec(),
    };
    let verdict = feed(&mut ladder, &mut at_ms, &line(most / 20 * 19, &[]));
    assert_eq!(verdict.nav.e12(), 950_000_000_000);
    assert_eq!(verdict.room_e8(Rung::R4) as i128, most / 100 * 13);
    let verdict = feed(&mut ladder, &mut at_ms, &line(most + 1, &[]));
    assert_eq!(verdict.reading, Reading::OutOfRange);
    // A value so small that its units cannot be counted is worth nothing.
    let verdict = feed(&mut ladder, &mut at_ms, &line(most, &[most - 1]));
    assert!(verdict.nav.is_zero());
}
