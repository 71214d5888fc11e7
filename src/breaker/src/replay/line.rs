//! The two line formats of the replay contract.

use super::decimal::{cents, e12, parse_e8, shortened};
use super::flows::Row;
use super::history::{Line, Outcome};
use fusebox_ladder::{Basis, Rung, Rungs};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The last millisecond of the year 9999.
const LAST_T_MS: i64 = 253_402_300_799_999;

#[derive(Deserialize)]
struct LineText {
    t_ms: i64,
    #[serde(default)]
    blind: bool,
    equity: Option<String>,
    equity2: Option<String>,
    flows: Option<Vec<RowText>>,
}

#[derive(Deserialize)]
struct RowText {
    id: Id,
    t_ms: i64,
    #[serde(rename = "type")]
    kind: String,
    amount: String,
}

/// Some exchanges number their rows.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

/// Reads a line. The error says what was expected.
pub(super) fn parse(bytes: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let line: LineText = serde_json::from_str(text.trim()).map_err(|error| reason(&error))?;
    let equity_e8 = match (line.blind, line.equity) {
        (true, _) => None,
        (false, Some(equity)) => {
            let second = line
                .equity2
                .map(|equity| amount("equity2", &equity))
                .transpose()?;
            Some((amount("equity", &equity)?, second))
        }
        (false, None) => return Err("a line has either \"equity\" or \"blind\":true".into()),
    };
    let rows = line
        .flows
        .unwrap_or_default()
        .into_iter()
        .map(row)
        .collect::<Result<_, _>>()?;
    Ok(Line {
        t_ms: time("t_ms", line.t_ms)?,
        equity_e8,
        rows,
    })
}

fn row(row: RowText) -> Result<Row, String> {
    let id = match row.id {
        Id::Text(id) => id,
        Id::Number(id) => id.to_string(),
    };
    let amount_e8 = amount("amount", &row.amount)?;
    Ok(Row {
        id,
        t_ms: time("the t_ms of a flow", row.t_ms)?,
        kind: row.kind,
        amount_e8,
    })
}

fn amount(field: &str, text: &str) -> Result<i128, String> {
    parse_e8(text).map_err(|why| format!("{field}: {why}"))
}

fn time(field: &str, t_ms: i64) -> Result<i64, String> {
    let known = (0..=LAST_T_MS).contains(&t_ms);
    known
        .then_some(t_ms)
        .ok_or_else(|| format!("{field}: {t_ms} is no time in milliseconds since 1970"))
}

/// The parser's words without its own line number, which is always 1 and would mislead.
fn reason(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or(&words);
    let words: String = words
        .chars()
        .filter(|c| !c.is_control())
        .take(160)
        .collect();
    format!("column {}: {words}", error.column())
}

#[derive(Serialize)]
struct Answer<'a> {
    t_ms: i64,
    nav: String,
    dd_bp: DrawdownBp,
    tripped: Vec<&'a str>,
    latched: Vec<&'a str>,
    actions: Vec<&'a str>,
    room: Room,
    blind: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<IncidentText>,
}

#[derive(Serialize)]
struct DrawdownBp {
    day: i32,
    week: i32,
    month: i32,
    hwm: i32,
    day_rolling: i32,
    week_rolling: i32,
    month_rolling: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Room {
    r1: String,
    r2: String,
    r3: String,
    r4: String,
}

#[derive(Serialize)]
struct IncidentText {
    flow: String,
    what: &'static str,
}

/// Writes the answer to a line.
pub(super) fn write(output: &mut impl Write, t_ms: i64, outcome: &Outcome) -> io::Result<()> {
    let verdict = &outcome.verdict;
    let room = |rung| cents(verdict.room_e8(rung));
    // B1–B3 are told by `blind`; these two lists are of the loss tests.
    let names = |rungs: Rungs| {
        Rung::DRAWDOWN
            .into_iter()
            .filter(|rung| rungs.contains(*rung))
            .map(Rung::name)
            .collect()
    };
    let answer = Answer {
        t_ms,
        nav: e12(verdict.nav.e12()),
        dd_bp: DrawdownBp {
            day: verdict.dd_bp(Basis::Day),
            week: verdict.dd_bp(Basis::Week),
            month: verdict.dd_bp(Basis::Month),
            hwm: verdict.dd_bp(Basis::Hwm),
            day_rolling: verdict.dd_bp(Basis::DayRolling),
            week_rolling: verdict.dd_bp(Basis::WeekRolling),
            month_rolling: verdict.dd_bp(Basis::MonthRolling),
        },
        tripped: names(verdict.tripped),
        latched: names(verdict.latched),
        actions: verdict
            .actions()
            .map(fusebox_ladder::Action::name)
            .collect(),
        room: Room {
            r1: room(Rung::R1),
            r2: room(Rung::R2),
            r3: room(Rung::R3),
            r4: room(Rung::R4),
        },
        blind: verdict.blind.map(Rung::name),
        incidents: outcome
            .incidents
            .iter()
            .map(|incident| IncidentText {
                flow: shortened(&incident.row),
                what: incident.what,
            })
            .collect(),
    };
    serde_json::to_writer(&mut *output, &answer).map_err(io::Error::from)?;
    output.write_all(b"\n")
}
