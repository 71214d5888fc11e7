//! A script is one line of text. Its first sample funds the account (after `live` the ladder funds itself), on
//! Saturday 2026-11-21 at 12:00:00 UTC if nothing else is said; each further one is a second after the one before.
//!
//! | word | is |
//! |---|---|
//! | `3800` | a sample |
//! | `3800*3` | three of them |
//! | `3000(-1000)` | a sample with a flow |
//! | `3800=3810` | a sample with a second source |
//! | `3800==` | one that agrees exactly |
//! | `+90s` | 90 s of silence before the next word, `+250ms` likewise |
//! | `@1d02:00:00` | the next word is at 02:00:00, one day after the funding |
//! | `each:999ms` | from here samples are so far apart |
//! | `tick` | time passes without a sample |
//! | `restart` | everything is saved and restored |
//!
//! What comes out is compared as text, figure by figure: `nav=0.95 latched=R1,R2 day=-500 room.R2=120.00`.

use fusebox_ladder::{Basis, Config, Ladder, Rung, Rungs, Sample, Verdict};

/// Saturday 2026-11-21 12:00:00 UTC.
pub const NOON_MS: i64 = 1_795_262_400_000;
const DAY_MS: i64 = 86_400_000;

pub fn e8(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    sign * format!("{whole}{part:0<8}").parse::<i128>().unwrap()
}

pub struct Player {
    pub ladder: Ladder,
    pub verdict: Verdict,
    funded: bool,
    at_ms: i64,
    each_ms: i64,
    actions: Vec<&'static str>,
}

pub fn play(script: &str) -> Player {
    let ladder = Ladder::new(Config::default()).unwrap();
    let verdict = ladder.now();
    let mut player = Player {
        ladder,
        verdict,
        funded: false,
        at_ms: NOON_MS,
        each_ms: 1_000,
        actions: Vec::new(),
    };
    player.play(script);
    player
}

impl Player {
    pub fn play(&mut self, script: &str) {
        script.split_whitespace().for_each(|word| self.word(word));
    }

    fn word(&mut self, word: &str) {
        if word == "live" {
            self.funded = true;
        } else if word == "restart" {
            self.ladder = Ladder::from_bytes(&self.ladder.to_bytes(), Config::default()).unwrap();
        } else if word == "tick" {
            let verdict = self.ladder.tick(self.at_ms);
            self.note(verdict);
        } else if let Some(each) = word.strip_prefix("each:") {
            self.each_ms = span_ms(each);
        } else if let Some(span) = word.strip_prefix('+') {
            self.at_ms += span_ms(span) - self.each_ms;
        } else if let Some(at) = word.strip_prefix('@') {
            self.at_ms = NOON_MS + clock_ms(at);
        } else {
            let (sample, times) = word.split_once('*').unwrap_or((word, "1"));
            (0..times.parse().unwrap()).for_each(|_| self.sample(sample));
        }
    }

    fn sample(&mut self, word: &str) {
        let (rest, second) = word.split_once('=').unwrap_or((word, ""));
        let (equity, flow) = rest
            .strip_suffix(')')
            .and_then(|rest| rest.split_once('('))
            .unwrap_or((rest, ""));
        let equity_e8 = e8(equity);
        let second_e8 = match second {
            "" => None,
            "=" => Some(equity_e8),
            other => Some(e8(other)),
        };
        let flows_e8: Vec<i128> = flow.split_terminator(',').map(e8).collect();
        let sample = Sample {
            t_ms: self.at_ms,
            equity_e8,
            second_e8,
            flows_e8: &flows_e8,
        };
        let verdict = if self.funded {
            self.ladder.step(&sample)
        } else {
            let (ladder, verdict) = Ladder::funded(Config::default(), &sample).unwrap();
            self.ladder = ladder;
            self.funded = true;
            verdict
        };
        self.note(verdict);
    }

    fn note(&mut self, verdict: Verdict) {
        self.actions
            .extend(verdict.actions().map(fusebox_ladder::Action::name));
        self.verdict = verdict;
        self.at_ms += self.each_ms;
    }

    /// One figure as text.
    pub fn figure(&self, name: &str) -> String {
        let verdict = &self.verdict;
        let list = |rungs: Rungs| rungs.iter().map(Rung::name).collect::<Vec<_>>().join(",");
        let rung = |name: &str| {
            Rung::ALL
                .into_iter()
                .find(|rung| rung.name() == name)
                .unwrap()
        };
        match name {
            "nav" => decimal(verdict.nav.e12(), 12),
            "latched" => list(verdict.latched),
            "tripped" => list(verdict.tripped),
            "begun" => list(verdict.begun),
            "actions" => self.actions.join(","),
            "blind" => verdict.blind.map_or("", Rung::name).to_owned(),
            "reading" => format!("{:?}", verdict.reading),
            _ => {
                if let Some(name) = name.strip_prefix("room.") {
                    return decimal(verdict.room_e8(rung(name)) / 1_000_000, 2);
                }
                if let Some(name) = name.strip_prefix("rolled.") {
                    return decimal(verdict.room_after_roll_e8(rung(name)) / 1_000_000, 2);
                }
                if let Some(name) = name.strip_prefix("since.") {
                    let latch = self.ladder.latch_of(rung(name)).unwrap();
                    return format!("{}", (latch.t_ms - NOON_MS) / 1_000);
                }
                let basis = Basis::ALL.into_iter().find(|basis| basis.name() == name);
                verdict
                    .dd_bp(basis.unwrap_or_else(|| panic!("no figure {name}")))
                    .to_string()
            }
        }
    }

    /// The first `name=value` in `expected` that is not so.
    pub fn differs(&self, expected: &str) -> Option<String> {
        expected.split_whitespace().find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            let figure = self.figure(name);
            let same = figure == value || (name == "nav" && trimmed(&figure) == trimmed(value));
            (!same).then(|| format!("{name} is {figure}, expected {value}"))
        })
    }

    pub fn check(&self, expected: &str, of: &str) {
        assert_eq!(self.differs(expected), None, "{of}");
    }
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

fn decimal(value: u128, places: u32) -> String {
    let one = 10u128.pow(places);
    format!(
        "{}.{:0width$}",
        value / one,
        value % one,
        width = places as usize
    )
}

fn span_ms(text: &str) -> i64 {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().unwrap(),
        None => text.strip_suffix('s').unwrap().parse::<i64>().unwrap() * 1_000,
    }
}

/// `[Nd]HH:MM:SS[.mmm]`, relative to noon of the first day.
fn clock_ms(text: &str) -> i64 {
    let (days, clock) = text.split_once('d').unwrap_or(("0", text));
    let (clock, ms) = clock.split_once('.').unwrap_or((clock, "0"));
    let part = |index| clock.split(':').nth(index).unwrap().parse::<i64>().unwrap();
    days.parse::<i64>().unwrap() * DAY_MS
        + ((part(0) * 60 + part(1)) * 60 + part(2)) * 1_000
        + ms.parse::<i64>().unwrap()
        - DAY_MS / 2
}
