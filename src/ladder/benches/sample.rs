//! Time per sample, and of the figures a screen asks for: `cargo bench -p fusebox-ladder`. It reports, it never fails.
#![allow(clippy::unwrap_used, missing_docs)]

use fusebox_ladder::{Basis, Config, Ladder, Rung, Sample};
use std::hint::black_box;
use std::time::Instant;

const SAMPLES: i64 = 1_000_000;
const DOLLAR: i128 = 100_000_000;

/// A walk of a millionth a step around 4000, a deposit every thousand samples so that units are odd.
fn run(each_ms: i64, figures: bool) -> f64 {
    let first = Sample {
        t_ms: 1_795_262_400_000,
        equity_e8: 4_000 * DOLLAR,
        second_e8: None,
        flows_e8: &[],
    };
    let (mut ladder, _) = Ladder::funded(Config::default(), &first).unwrap();
    let (mut equity_e8, mut noise) = (first.equity_e8, 1u64);
    let started = Instant::now();
    for index in 1..=SAMPLES {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        equity_e8 += i128::from(noise >> 44) - (1 << 19);
        let deposit = [7 * DOLLAR];
        let flows_e8: &[i128] = if index % 1_000 == 0 { &deposit } else { &[] };
        equity_e8 += flows_e8.iter().sum::<i128>();
        let t_ms = first.t_ms + index * each_ms;
        let verdict = ladder.step(&Sample {
            t_ms,
            equity_e8,
            second_e8: Some(equity_e8),
            flows_e8,
        });
        if figures {
            black_box(verdict.nav.e12());
            black_box(Basis::ALL.map(|basis| verdict.dd_bp(basis)));
            black_box(Rung::DRAWDOWN.map(|rung| verdict.room_e8(rung)));
        }
        black_box(&verdict);
    }
    started.elapsed().as_secs_f64() * 1e9 / SAMPLES as f64
}

fn main() {
    for (name, each_ms) in [("1 Hz", 1_000), ("4 Hz", 250)] {
        println!(
            "{name}: sample to verdict {:.0} ns, with every figure computed {:.0} ns",
            run(each_ms, false),
            run(each_ms, true)
        );
    }
}
