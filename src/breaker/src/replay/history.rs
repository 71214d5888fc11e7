//! One account over time: the ladder, the rows that wait, and the last quarter of an hour to run again when a row
//! comes late (L18).

use super::flows::{Arrival, FlowBook, Row};
use fusebox_ladder::{Config, ConfigError, Ladder, Rung, Sample, Verdict};
use std::collections::VecDeque;

/// How late a row may come and still correct history by itself, in ms.
const LATE_MS: i64 = 15 * 60_000;

/// A line of input.
#[derive(Debug)]
pub(crate) struct Line {
    /// Exchange time, in ms.
    pub t_ms: i64,
    /// Equity and, if there is one, the second source's, in 10⁻⁸; `None` for a missing sample.
    pub equity_e8: Option<(i128, Option<i128>)>,
    /// Rows that arrived with it.
    pub rows: Vec<Row>,
}

/// Something a person must look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// The row's id.
    pub row: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a line led to.
pub(crate) struct Outcome {
    pub verdict: Verdict,
    pub incidents: Vec<Incident>,
}

/// A line that was taken, with the flows that count in it.
struct Taken {
    t_ms: i64,
    equity_e8: Option<(i128, Option<i128>)>,
    flows_e8: Vec<i128>,
    accepted: bool,
}

impl Taken {
    fn feed(&self, ladder: &mut Ladder) -> Verdict {
        match self.equity_e8 {
            Some((equity_e8, second_e8)) => ladder.step(&Sample {
                t_ms: self.t_ms,
                equity_e8,
                second_e8,
                flows_e8: &self.flows_e8,
            }),
            None => ladder.tick(self.t_ms),
        }
    }
}

/// The ladder as it was before a line.
struct Snapshot {
    /// How many lines had been taken.
    lines: u64,
    /// The latest time of any of them, in ms.
    t_ms: i64,
    ladder: Ladder,
}

/// One account over time.
pub(crate) struct History {
    ladder: Ladder,
    book: FlowBook,
    funded_ms: i64,
    last_ms: i64,
    /// The latest time of any line, and of any line already taken, in ms.
    now_ms: i64,
    taken_ms: i64,
    /// The lines since the first snapshot.
    taken: VecDeque<Taken>,
    /// How many lines are no longer in `taken`.
    dropped: u64,
    /// Oldest first; there is always one older than the latest row may be.
    snapshots: VecDeque<Snapshot>,
}

impl History {
    /// Begins with the line that funds the account (L3); `None` if it has no equity.
    pub(crate) fn begin(
        config: Config,
        line: &Line,
    ) -> Result<Option<(History, Outcome)>, ConfigError> {
        let Some((equity_e8, second_e8)) = line.equity_e8 else {
            return Ok(None);
        };
        let t_ms = line.t_ms;
        let (ladder, verdict) = Ladder::funded(
            config,
            &Sample {
                t_ms,
                equity_e8,
                second_e8,
                flows_e8: &[],
            },
        )?;
        let mut history = History {
            ladder,
            book: FlowBook::default(),
            funded_ms: t_ms,
            last_ms: t_ms,
            now_ms: t_ms,
            taken_ms: t_ms,
            taken: VecDeque::new(),
            dropped: 0,
            snapshots: VecDeque::new(),
        };
        let incidents = history.admit(&line.rows).1;
        Ok(Some((history, Outcome { verdict, incidents })))
    }

    /// Takes the next line.
    pub(crate) fn take(&mut self, line: &Line) -> Outcome {
        self.now_ms = self.now_ms.max(line.t_ms);
        let (late, incidents) = self.admit(&line.rows);
        let before = late.first().map(|_| self.ladder.latched());
        if before.is_some() {
            self.correct(&late);
        }
        let accepted = line.equity_e8.is_some_and(|(equity_e8, second_e8)| {
            let sample = Sample {
                t_ms: line.t_ms,
                equity_e8,
                second_e8,
                flows_e8: &[],
            };
            self.ladder.reading(&sample).is_accepted()
        });
        let flows_e8 = if accepted {
            self.book.due(line.t_ms)
        } else {
            Vec::new()
        };
        self.remember();
        let taken = Taken {
            t_ms: line.t_ms,
            equity_e8: line.equity_e8,
            flows_e8,
            accepted,
        };
        let mut verdict = taken.feed(&mut self.ladder);
        self.taken.push_back(taken);
        self.taken_ms = self.now_ms;
        if accepted {
            self.last_ms = line.t_ms;
        }
        if let Some(before) = before {
            // History changed under us: what begins is the difference to what was in force.
            let timers = verdict.begun.without(Rung::DRAWDOWN.into_iter().collect());
            verdict.begun = verdict.latched.without(before).with(timers);
            verdict.released = before.without(verdict.latched);
        }
        Outcome { verdict, incidents }
    }

    /// Takes rows in; returns the late ones that may correct history.
    fn admit<'a>(&mut self, rows: &'a [Row]) -> (Vec<&'a Row>, Vec<Incident>) {
        let (mut late, mut incidents) = (Vec::new(), Vec::new());
        let mut incident = |row: &Row, what| {
            incidents.push(Incident {
                row: row.id.clone(),
                what,
            })
        };
        for row in rows {
            match self.book.arrive(row, self.funded_ms, self.last_ms) {
                Arrival::Late if self.now_ms - row.t_ms > LATE_MS => {
                    incident(
                        row,
                        "more than 15 minutes late: needs a signed correction, not counted",
                    );
                }
                Arrival::Late => late.push(row),
                Arrival::Conflict => incident(
                    row,
                    "came before with another content: the first one stands",
                ),
                Arrival::Ignored | Arrival::Waiting => {}
            }
        }
        (late, incidents)
    }

    /// L18: puts late rows where they belong and runs everything since then again.
    fn correct(&mut self, rows: &[&Row]) {
        let mut first = u64::MAX;
        for row in rows {
            let place = self
                .taken
                .iter_mut()
                .enumerate()
                .find(|(_, taken)| taken.accepted && taken.t_ms >= row.t_ms);
            if let Some((index, taken)) = place {
                taken.flows_e8.push(row.amount_e8);
                first = first.min(self.dropped + index as u64);
            }
        }
        while self.snapshots.len() > 1
            && self
                .snapshots
                .back()
                .is_some_and(|latest| latest.lines > first)
        {
            self.snapshots.pop_back();
        }
        let Some(start) = self.snapshots.back() else {
            return;
        };
        let (mut ladder, from) = (start.ladder.clone(), start.lines - self.dropped);
        for taken in self.taken.iter().skip(from as usize) {
            taken.feed(&mut ladder);
        }
        ladder.uphold(&self.ladder);
        self.ladder = ladder;
    }

    /// Keeps a snapshot a quarter of an hour, and forgets what no row can reach any more.
    fn remember(&mut self) {
        if self
            .snapshots
            .back()
            .is_none_or(|latest| self.taken_ms - latest.t_ms >= LATE_MS)
        {
            let lines = self.dropped + self.taken.len() as u64;
            self.snapshots.push_back(Snapshot {
                lines,
                t_ms: self.taken_ms,
                ladder: self.ladder.clone(),
            });
        }
        while self
            .snapshots
            .get(1)
            .is_some_and(|second| second.t_ms < self.now_ms - LATE_MS)
        {
            self.snapshots.pop_front();
        }
        let keep_from = self.snapshots.front().map_or(0, |oldest| oldest.lines);
        while self.dropped < keep_from && self.taken.pop_front().is_some() {
            self.dropped += 1;
        }
    }
}
