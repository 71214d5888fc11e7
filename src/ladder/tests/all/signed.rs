//! What comes from outside: certificates, reviews, latches from another record, corrected history.

use crate::script::{NOON_MS, play};
use fusebox_ladder::{Config, ConfigError, DecodeError, Ladder, Rebase, Refusal, Rung};

#[test]
fn example_31_a_signed_rebase_of_the_month_keeps_the_peak() {
    let mut player = play("4000 3400*3");
    player.check("latched=R1,R2,R3", "31");
    assert_eq!(
        player.ladder.release(Rung::R3, Rebase::Keep),
        Err(Refusal::StillTrue(Rung::R1))
    );
    assert_eq!(
        player.ladder.release(Rung::R4, Rebase::Keep),
        Err(Refusal::NotLatched)
    );
    assert_eq!(player.ladder.release(Rung::R3, Rebase::Month), Ok(()));
    player.play("3400");
    player.check("day=0 month=0 month_rolling=0 hwm=-1500 tripped= latched=R1,R2 room.R4=120.00 room.R3=510.00", "31");
    player.play("3400*999");
    player.check(
        "tripped=",
        "the rolling history began again, else R3 would be true at once",
    );
}

#[test]
fn a_release_that_would_trip_at_once_is_refused() {
    let mut player = play("4000 3200*3");
    assert_eq!(
        player.ladder.release(Rung::R4, Rebase::Month),
        Err(Refusal::StillTrue(Rung::R4))
    );
    assert_eq!(
        player.ladder.release(Rung::R4, Rebase::MonthAndPeak),
        Ok(())
    );
    player.play("3200");
    player.check("hwm=0 latched=R1,R2,R3 tripped=", "re-armed");
    player.play("+60s");
    player.play("tick");
    assert_eq!(
        player.ladder.release(Rung::R3, Rebase::Month),
        Err(Refusal::NotConfirmed)
    );
}

#[test]
fn b3_ends_by_certificate() {
    let mut player = play("4000 +300s 4000*3");
    player.check("blind=B3", "B3");
    assert_eq!(player.ladder.release(Rung::B3, Rebase::Keep), Ok(()));
    player.play("4000");
    player.check("blind= latched=", "B3");
}

#[test]
fn a_review_that_is_acknowledged_ends_r1_on_the_same_day() {
    let mut player = play("4000 3800*3");
    player.ladder.acknowledge_review();
    player.play("3839.99*5");
    player.check("latched=R1", "below 0.96");
    player.play("3840*3");
    player.check("latched= actions=alert,release", "at 0.96");
    player.play("3800*3");
    player.check(
        "latched=R1 actions=alert,release,alert",
        "a new event, to be reviewed anew",
    );
    player.play("3840*5");
    player.check("latched=R1", "not yet reviewed");
}

#[test]
fn latches_from_outside_join_and_keep_their_first_record() {
    let mut player = play("4000 3800*3");
    player.ladder.latch(Rung::R1, NOON_MS + 900_000);
    player.ladder.latch(Rung::R3, NOON_MS + 5_000);
    player.ladder.latch(Rung::X, NOON_MS + 6_000);
    player.play("4000");
    player.check("latched=R1,R3,X since.R1=3 since.R3=5", "union");
}

#[test]
fn corrected_history_decides_r1_and_r2_and_nothing_else() {
    let wrong = play("4000 3000*3");
    let mut right = play("4000 3000(-1000) 3000*2").ladder;
    right.uphold(&wrong.ladder);
    let latched: Vec<Rung> = right.latched().iter().collect();
    assert_eq!(latched, [Rung::R3, Rung::R4]);
    assert_eq!(right.latch_of(Rung::R4), wrong.ladder.latch_of(Rung::R4));
}

#[test]
fn thresholds_and_limits_can_be_set_within_reason() {
    let config = |threshold_bp, blind_ms| {
        Config {
            threshold_bp,
            blind_ms,
        }
        .validate()
    };
    let usual = Config::default();
    assert_eq!(
        usual,
        Config {
            threshold_bp: [500, 800, 1_500, 1_800],
            blind_ms: [15_000, 60_000, 300_000]
        }
    );
    assert_eq!(
        config([200, 200, 8_000, 8_000], [2_000, 2_001, 2_002]),
        Ok(())
    );
    assert_eq!(
        config([199, 800, 1_500, 1_800], usual.blind_ms),
        Err(ConfigError::Threshold(Rung::R1))
    );
    assert_eq!(
        config([500, 800, 1_500, 8_001], usual.blind_ms),
        Err(ConfigError::Threshold(Rung::R4))
    );
    assert_eq!(
        config(usual.threshold_bp, [1_999, 60_000, 300_000]),
        Err(ConfigError::Blind(Rung::B1))
    );
    assert_eq!(
        config(usual.threshold_bp, [60_000, 60_000, 300_000]),
        Err(ConfigError::Blind(Rung::B2))
    );
    assert_eq!(
        config(usual.threshold_bp, [15_000, 60_000, i64::MAX]),
        Err(ConfigError::Blind(Rung::B3))
    );
}

#[test]
fn damaged_bytes_are_refused_and_never_panic() {
    let player = play("4000 3200*3 each:15000ms 4100(1000)*1 4100*9 0(-4100) +90s tick");
    let bytes = player.ladder.to_bytes();
    let decode = |bytes: &[u8]| Ladder::from_bytes(bytes, Config::default());
    assert_eq!(decode(&bytes).as_ref(), Ok(&player.ladder));
    for cut in 0..bytes.len() {
        assert!(decode(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(decode(&longer), Err(DecodeError::Damaged));
    let mut other = bytes.clone();
    other[0] = 9;
    assert_eq!(decode(&other), Err(DecodeError::Version));
    for index in 0..bytes.len() {
        for flip in [0x01, 0x40, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[index] ^= flip;
            // Refused, or another sound state that goes on working.
            if let Ok(mut ladder) = decode(&bad) {
                let later = player.verdict.t_ms.unwrap() + 1_000_000;
                ladder.tick(later);
                assert_eq!(decode(&ladder.to_bytes()), Ok(ladder));
            }
        }
    }
}
