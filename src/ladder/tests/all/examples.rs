//! The worked examples by number, and every number in the rules' own examples.

use crate::script::play;

/// (where it is from, script, what comes out).
type Example = (&'static str, &'static str, &'static str);

/// The mission study's examples, as corrected by the rules. (40, the same row twice, is the flow book's: it is
/// tested with the replay.)
#[rustfmt::skip]
const WORKED: &[Example] = &[
    ("01", "4000 3800*3", "nav=0.95 day=-500 latched=R1 actions=alert"),
    ("01", "4000 3800.01*9", "day=-499 latched="),
    ("02", "4000 3000(-1000) 3000*9", "nav=1 day=0 hwm=0 latched="),
    ("03", "4000 3600*3 4600(1000)*1 4600", "nav=0.899999999999 day=-1000 latched=R1,R2"),
    ("04", "4000 8000(4000) 8000*3 7300*3", "nav=0.9125 day=-875 hwm=-875 latched=R1,R2"),
    ("05", "4000 3800*3 1900(-1900) 1800*3", "nav=0.9 day=-1000 latched=R1,R2"),
    ("06", "4000 5000*3 4000(-1000) 4000*3", "nav=1.25 hwm=0 latched="),
    ("06", "4000 5000*3 4000(-1000) 3280*3", "nav=1.025 hwm=-1800 latched=R4"),
    ("07", "4000 3200*3", "day=-2000 latched=R1,R2,R3,R4 actions=kill,scale_zero,reduce,alert"),
    ("08", "4000 3960 3240 3960*5", "day=-100 latched="),
    ("10", "4000*3 5200 4000*5", "hwm=0 latched="),
    ("11", "@23:58:00 each:14s 4000 3804*9", "day=0 latched="),
    ("11", "@23:58:00 each:14s 4000 3804*9 3618*3", "day=-488 day_rolling=-955 latched=R1,R2"),
    ("15", "4000 3760*3 restart 3760", "day=-600 tripped=R1 latched=R1"),
    ("16", "4000 @21:59:57 3880*3 @1d02:00:00 3720*3", "nav=0.93 day=-412 blind=B3"),
    ("20", "4000 3320*3 restart +90s tick", "nav=0.83 tripped= latched=R1,R2,R3 blind=B2"),
    ("20", "4000 3320 +90s tick", "tripped= latched= blind=B2"),
    ("25", "4000 3980 3960 3940*3", "nav=0.985 day=-150"),
    ("26", "4000 3240*3", "day=-1900 latched=R1,R2,R3,R4"),
    ("27", "4000 4100(100) 4100*3 4000(-100) 4000*3", "nav=1 day=0 hwm=0 latched="),
    ("28", "4000 0(-4000) 0*9", "nav=1 day=0 latched= room.R1=0.00"),
    ("28", "4000 5000*3 0(-5000) 0*9 @7d12:00:00 2000(2000) 2000*3 1900*3", "nav=1.1875 hwm=-500 room.R4=260.00"),
    ("29", "4000 -50*3", "nav=0 day=-10000 latched=R1,R2,R3,R4 room.R4=0.00"),
    ("33", "4000 2900(-1000) 2900*3", "nav=0.974999999999 day=-250 latched="),
    ("34", "4000 3840*3", "room.R1=40.00"),
    ("34", "4000 3840*3 43840(40000)*1 43840*3", "nav=0.959999999999 day=-400 room.R1=456.66 latched="),
    ("35", "4000 3840*3 43840(40000) 43384*3", "day=-499 latched="),
    ("35", "4000 3840*3 43840(40000) 43382*3", "day=-500 latched=R1"),
];

#[rustfmt::skip]
const RULES: &[Example] = &[
    // A product chain would stay at 0.
    ("L1", "4000 0", "nav=0 latched="),
    ("L1", "4000 0 4000*5", "nav=1 latched="),
    ("L2", "700000000 1.00000007 665000000.05*5", "nav=0.950000000071 latched="),
    ("L2", "700000000 1.00000007 665000000*3", "nav=0.95 latched=R1"),
    ("L3", "live 5200 4000*2", "nav=1 latched="),
    ("L3", "live 5200 4000*5", "nav=1 hwm=0 latched= room.R4=720.00"),
    ("L3", "live 4000(900) 4000*5", "nav=1"),
    ("L4", "4000 -75=-75", "reading=Agreed"),
    ("L4", "4000 4020=4000", "reading=Agreed"),
    ("L4", "4000 4020.10050251=4000", "reading=Agreed"),
    ("L4", "4000 4020.10050252=4000", "reading=Disputed nav=1"),
    ("L4", "4000 0.005=0", "reading=Agreed"),
    ("L4", "4000 0.00500001=0", "reading=Disputed"),
    ("L4", "4000 +0s 3000", "reading=NotNewer nav=1"),
    ("L4", "4000 3000=4000*9", "reading=Disputed nav=1 latched="),
    // The flow of a disputed sample waits for one that is accepted.
    ("L4", "4000 3000(-1000)=4000 3000", "nav=1"),
    // A row stamped one sample before its balance: why L6 is there.
    ("L6", "4000 4000(1000) 5000*5", "nav=0.937499999999 latched=R1"),
    ("L7", "4000 1500(2000)", "nav=0"),
    ("L7", "4000 1500(2000) 6000*5", "nav=1 latched="),
    ("L7", "4000 -50 -50 1950(2000) 1950*5", "nav=0 latched=R1,R2,R3,R4"),
    ("L7", "4000 0*3 4000*9", "nav=0 latched=R1,R2,R3,R4"),
    ("L8", "4000 4400*3 0(-4400) 0*9 +1000s 2000(2000)", "nav=1.1"),
    ("L8", "4000 4400*3 0(-4400) 0*9 2000(2000) 1800*3", "nav=0.989999999999 hwm=-1000 latched="),
    ("L8", "4000 0(-4000) 2000*2", "nav=1"),
    ("L8", "4000 0(-4000) 2000*3 1000*3", "nav=0.5 latched=R1,R2,R3,R4"),
    ("L8", "4000 0(-4000) 2000*2 0.5 2000*2 1000*3", "nav=1 latched="),
    ("L8", "4000 0.4*3 9999*2", "nav=0.0001"),
    ("L9", "4000 +20s each:999ms 3800*3", "latched="),
    ("L9", "4000 +20s each:999ms 3800*4", "latched=R1"),
    ("L9", "4000*3 +15s 3800*2", "latched="),
    ("L9", "4000*3 +15001ms 4000*2", "blind=B1"),
    // Wicks at midnight: 1.3 or 0.75 would become the day's anchor.
    ("L10", "@23:59:55 4000*4 5200 4000*9", "day=0 latched="),
    ("L10", "@23:59:55 4000*4 3000 3790*9", "day=-525 latched=R1"),
    ("L11", "4000== 3240== 3220==", "latched=R1,R2,R3 nav=0.805"),
    ("L11", "4000== 3240== 3220== 3260==", "latched=R1,R2,R3,R4"),
    ("L11", "4000== 3240== 3220", "latched="),
    ("L11", "4000== 3750*1 3750==", "latched="),
    ("L11", "4000== 3750== 3750==", "latched=R1"),
    ("L11", "4000== 3750== 3750.00000001==", "latched="),
    ("L11", "4000== 3600== +15s 3600==", "latched=R1,R2"),
    ("L11", "4000== 3600== +15001ms 3600==", "latched="),
    ("L12", "4000 3800*3 4000*5", "tripped= latched=R1 since.R1=3"),
    ("L13", "4000 @21:59:57 3880*3 @1d02:00:00 3720*3", "day=-412"),
    ("L13", "4000 @21:59:57 3880*3 @1d02:00:00 3720*3 3960*3", "day=206"),
    ("L13", "4000 @21:59:57 3880*3 @1d02:00:00 3960*3", "day=0"),
    ("L13", "4000 @23:59:45.000 3880*3 @1d00:00:02 3720*3", "day=-412"),
    ("L13", "4000 @23:59:42.999 3880*3 @1d00:00:02 3920*3", "day=0"),
    ("L13", "4000 @23:59:57 3880*3 3860*3", "day=-51 week=-350"),
    // Monday 23 November: day and week begin, the month does not. Tuesday 1 December: day and month.
    ("L13", "4000 @1d23:59:57 3880*4", "day=0 week=0 month=-300"),
    ("L13", "4000 @9d23:59:57 3880*4", "day=0 week=-300 month=0"),
    // 3780 held from 23:00: still R1 after midnight, once; it ends when the loss is a day old.
    ("L15", "@23:00:00 each:14s 4000 3780*300", "day=0 day_rolling=-550 tripped=R1 latched=R1 actions=alert"),
    ("L15", "@23:00:00 each:14s 4000 3780*6175", "latched=R1"),
    ("L15", "@23:00:00 each:14s 4000 3780*6176", "day=0 day_rolling=0 latched= actions=alert,release"),
    ("L15", "4000 3800*3 3840*99", "latched=R1"),
    ("L15", "each:14s 4000 3800*3 3840*3082", "latched=R1"),
    ("L15", "each:14s 4000 3800*3 3840*3083", "latched= actions=alert,release"),
    ("L15", "each:14s 4000 3800*3 3839.99999999*3083", "latched=R1"),
    // −8 % on a Sunday; R2 ends in the next ISO week, and only above −6 %.
    ("L16", "@1d23:58:00 each:14s 4000 3680*4 3760*9", "week=0 latched=R1,R2"),
    ("L16", "@1d23:58:00 each:14s 4000 3680*4 3760.00000001*4", "latched=R1,R2"),
    ("L16", "@1d23:58:00 each:14s 4000 3680*4 3760.00000001*5", "latched=R1"),
    ("L19", "4000 +14999ms tick", "blind="),
    ("L19", "4000 +15s tick +45s tick +240s tick", "blind=B3 latched=B3 since.B3=300 actions=blind_warn,blind_stop,blind_zero"),
    ("L19", "4000 +70s 4000*2", "blind=B2 actions=blind_warn,blind_stop"),
    ("L19", "4000 +70s 4000*3", "blind="),
    ("L19", "4000 +300s 4000*9", "blind=B3 latched=B3"),
    ("L20", "4000 3780*3", "latched=R1"),
    ("L20", "4000 3780 4100 3780*2", "latched="),
    ("L20", "4000 3780 4100 3780*3", "latched=R1"),
    ("L22", "4000 3800.01*3", "day=-499 tripped= room.R1=0.01"),
    ("L22", "4000 3799.99*3", "day=-500 tripped=R1 room.R1=0.00 room.R2=119.99"),
    ("L22", "4000 0", "room.R1=0.00 room.R4=0.00"),
    ("L22", "@23:58:30 each:14s 4000 3840*9", "day=0 day_rolling=-400 room.R1=40.00 rolled.R1=40.00"),
];

fn all_hold(examples: &[Example]) {
    let wrong: Vec<String> = examples
        .iter()
        .filter_map(|(number, script, expected)| {
            let differs = play(script).differs(expected)?;
            Some(format!("{number}: {script}: {differs}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_worked_examples() {
    all_hold(WORKED);
}

#[test]
fn the_examples_of_the_rules() {
    all_hold(RULES);
}
