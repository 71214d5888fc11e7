//! `fusebox journal …`: the file read-only, writing only through the recorder.

use super::out::{Code, Out};
use crate::app::run::Places;
use crate::client::{journal as reading, recorder};
use crate::fmt;
use clap::{Args, Subcommand};
use fusebox_journal::{Filter, Reader, Row, verify_file};
use fusebox_wire::append::{Draft, Reply, Request};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Rows that one page of an export reads.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum JournalVerb {
    /// The newest entries
    List {
        #[command(flatten)]
        what: What,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One entry, whole
    Show {
        /// Its number
        seq: u64,
        #[command(flatten)]
        file: File,
    },
    /// The newest entries, then what comes
    Tail {
        #[command(flatten)]
        what: What,
        /// How many of the past
        #[arg(long, default_value_t = 10)]
        limit: u32,
        /// End after the past
        #[arg(long)]
        no_follow: bool,
    },
    /// Write a thesis or a lesson for a trade, or a note
    Annotate(AnnotateArgs),
    /// Check every row against the chain
    Verify {
        #[command(flatten)]
        file: File,
        /// A signed checkpoint that the journal must contain
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Every entry as a JSON line, oldest first
    Export {
        #[command(flatten)]
        what: What,
    },
    /// Compare the exchange's executions with the journal
    Coverage,
}

#[derive(Debug, Args)]
pub(super) struct File {
    /// The journal's file; otherwise the configuration's
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct What {
    #[command(flatten)]
    file: File,
    /// Words, and kind:halt, as in the console's filter
    #[arg(long, default_value = "")]
    filter: String,
}

#[derive(Debug, Args)]
pub(super) struct AnnotateArgs {
    /// The bot's number of the trade
    #[arg(long)]
    trade: Option<String>,
    /// Its account
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    text: AnnotateText,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AnnotateText {
    /// Why the trade is on; - reads stdin
    #[arg(long, value_name = "TEXT", requires = "trade")]
    thesis: Option<String>,
    /// What it taught; - reads stdin
    #[arg(long, value_name = "TEXT", requires = "trade")]
    lesson: Option<String>,
    /// A note; - reads stdin
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(super) async fn serve(out: &Out, places: &Places, verb: JournalVerb) -> ExitCode {
    let path = |file: &File| file.db.clone().unwrap_or_else(|| places.journal.clone());
    let result = match verb {
        JournalVerb::List { what, limit } => list(out, &path(&what.file), &what.filter, limit),
        JournalVerb::Show { seq, file } => show(out, &path(&file), seq),
        JournalVerb::Tail {
            what,
            limit,
            no_follow,
        } => tail(out, &path(&what.file), &what.filter, limit, !no_follow).await,
        JournalVerb::Export { what } => export(out, &path(&what.file), &what.filter),
        JournalVerb::Verify { file, checkpoint } => {
            return verify(out, &path(&file), checkpoint.as_deref());
        }
        JournalVerb::Annotate(args) => return annotate(out, places, args).await,
        JournalVerb::Coverage => return coverage(out, places).await,
    };
    match result {
        Ok(code) => code.into(),
        Err(e) => out.fail("journal", &e.to_string()),
    }
}

type Read = Result<Code, fusebox_journal::Error>;

fn to_json(row: &Row) -> Value {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_else(|_| row.body.clone().into());
    json!({
        "seq": row.seq,
        "time_ms": row.time_ms,
        "kind": row.kind,
        "author": row.author,
        "body": body,
        "prev": row.prev,
        "hash": row.hash,
    })
}

fn to_line(row: &Row) -> String {
    let entry = reading::entry(row);
    let tail = if entry.tail.is_empty() {
        String::new()
    } else {
        format!("  [{}]", entry.tail)
    };
    format!(
        "{:>7}  {}  {:<10} {}{tail}",
        entry.seq,
        fmt::date_time(entry.time_ms),
        entry.kind,
        entry.summary
    )
}

fn list(out: &Out, path: &std::path::Path, filter: &str, limit: u32) -> Read {
    let reader = Reader::open(path)?;
    let mut rows = reader.page_back(None, &reading::parse_filter(filter), limit)?;
    rows.reverse();
    out.object(&json!({
        "entries": rows.iter().map(to_json).collect::<Vec<_>>(),
        "total": reader.last_seq()?,
        "recorder_stopped": reader.is_stopped(),
    }));
    rows.iter().for_each(|row| out.line(&to_line(row)));
    Ok(Code::Done)
}

fn show(out: &Out, path: &std::path::Path, seq: u64) -> Read {
    let Some(row) = Reader::open(path)?.get(seq)? else {
        let message = format!("the journal has no entry {seq}");
        out.complain(&message);
        out.object(&json!({"ok": false, "error": {"code": "no_entry", "message": message}}));
        return Ok(Code::Failed);
    };
    out.object(&to_json(&row));
    out.line(&to_line(&row));
    out.line(&format!(
        "author   {}",
        fusebox_domain::clean_line(&row.author, 200)
    ));
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(&body).unwrap_or_default();
    out.line(&fusebox_domain::clean(&pretty, 200_000));
    out.line(&format!("prev     {}\nhash     {}", row.prev, row.hash));
    Ok(Code::Done)
}

/// Under `--json` one object a line, since there is no end to wait for.
async fn tail(out: &Out, path: &std::path::Path, filter: &str, limit: u32, follow: bool) -> Read {
    let filter: Filter = reading::parse_filter(filter);
    let mut reader = Reader::open(path)?;
    let mut rows = reader.page_back(None, &filter, limit)?;
    rows.reverse();
    let mut last = reader.last_seq()?;
    loop {
        for row in &rows {
            out.object(&to_json(row));
            out.line(&to_line(row));
        }
        if !follow {
            return Ok(Code::Done);
        }
        last = rows.last().map_or(last, |row| row.seq.max(last));
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Code::Done),
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        if reader.is_outdated() {
            reader = Reader::open(path)?;
        }
        rows = reader.page_on(last, &filter, PAGE)?;
    }
}

fn export(out: &Out, path: &std::path::Path, filter: &str) -> Read {
    let filter = reading::parse_filter(filter);
    let reader = Reader::open(path)?;
    let mut after = 0;
    loop {
        let rows = reader.page_on(after, &filter, PAGE)?;
        let Some(last) = rows.last() else {
            return Ok(Code::Done);
        };
        after = last.seq;
        for row in &rows {
            out.raw(format!("{}\n", to_json(row)).as_bytes());
        }
    }
}

fn verify(out: &Out, path: &std::path::Path, checkpoint: Option<&std::path::Path>) -> ExitCode {
    let report = verify_file(path, checkpoint);
    out.object(&report);
    match (&report.bad_seq, &report.reason) {
        _ if report.ok => out.line(&format!(
            "ok: {} entries, head {}",
            fmt::count(report.entries),
            report.head
        )),
        (Some(seq), Some(why)) => out.line(&format!(
            "NOT OK: entry {seq}: {why}; the {} entries before it verify",
            fmt::count(report.entries)
        )),
        (_, why) => out.line(&format!(
            "NOT OK: {}",
            why.as_deref().unwrap_or("no reason given")
        )),
    }
    if let Some("unchecked") = report.signature {
        out.complain(
            "the checkpoint's signature was not checked: the journal's .vkey file is not there",
        );
    }
    if report.ok {
        Code::Done.into()
    } else {
        Code::Failed.into()
    }
}

async fn annotate(out: &Out, places: &Places, args: AnnotateArgs) -> ExitCode {
    let AnnotateText {
        thesis,
        lesson,
        note,
    } = args.text;
    let given = [("thesis", thesis), ("lesson", lesson), ("note", note)];
    let Some((what, text)) = given
        .into_iter()
        .find_map(|(what, text)| Some((what, text?)))
    else {
        return out.fail("usage", "give one of --thesis, --lesson, --note");
    };
    let text = match text.as_str() {
        "-" => {
            let mut text = String::new();
            let limit = u64::try_from(crate::editor::MAX_TEXT).unwrap_or(u64::MAX);
            if let Err(e) = std::io::stdin().take(limit).read_to_string(&mut text) {
                return out.fail(
                    "stdin",
                    &format!("stdin cannot be read: {e}; nothing was written"),
                );
            }
            text
        }
        _ => text,
    };
    if text.trim().is_empty() {
        return out.fail("empty", "the text is empty; nothing was written");
    }
    let mut body = json!({ what: text.trim() });
    for (field, value) in [("trade_id", args.trade), ("account", args.account)] {
        if let (Some(map), Some(value)) = (body.as_object_mut(), value) {
            map.insert(field.to_owned(), value.into());
        }
    }
    let draft = Draft {
        kind: "annotation".to_owned(),
        body,
        happened_ms: crate::wall_ms(),
        outbox: None,
    };
    match recorder::append(&places.recorder, draft).await {
        Ok(Ok(seq)) => {
            out.object(&json!({"ok": true, "seq": seq}));
            out.line(&format!("written as entry {seq}"));
            Code::Done.into()
        }
        Ok(Err(why)) => out.fail("refused", &format!("the recorder refused: {why}")),
        Err(e) => out.fail("unreachable", &format!("{e}; nothing was written")),
    }
}

async fn coverage(out: &Out, places: &Places) -> ExitCode {
    let coverage = match recorder::question(&places.recorder, &Request::Coverage).await {
        Ok(Reply::Coverage(coverage)) => coverage,
        Ok(Reply::Refused { message, .. }) => return out.fail("refused", &message),
        Ok(_) => return out.fail("confused", "the recorder answered something else"),
        Err(e) => return out.fail("unreachable", &e.to_string()),
    };
    out.object(&coverage);
    out.line(&format!(
        "{} executions at the exchange, {} of them in the journal",
        coverage.exchange, coverage.journal
    ));
    for id in &coverage.missing {
        out.line(&format!("missing  {}", fusebox_domain::clean_line(id, 80)));
    }
    for id in &coverage.foreign {
        out.line(&format!("foreign  {}", fusebox_domain::clean_line(id, 80)));
    }
    for doubt in &coverage.doubts {
        out.line(&format!(
            "doubt    {}",
            fusebox_domain::clean_line(doubt, 200)
        ));
    }
    match (coverage.missing.is_empty(), coverage.doubts.is_empty()) {
        (false, _) => Code::Failed.into(),
        (true, false) => Code::Partly.into(),
        (true, true) => Code::Done.into(),
    }
}
