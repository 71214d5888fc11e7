//! The journal: changed by one byte it says where, and it says what the exchange has and it lacks.

use crate::support::{eventually, fusebox, journal, program, repository, world};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What both verifiers must agree on.
const FINDINGS: [&str; 5] = ["ok", "entries", "head", "bad_seq", "reason"];

/// The finding of `fusebox journal verify`, after the verifier in another language has found the
/// same, where there is one.
pub fn verify(db: &Path) -> Value {
    let mut ours = Command::new(program("fusebox"));
    let ours = ours.args(["journal", "verify", "--json", "--db"]).arg(db);
    let ours = finding(ours);
    if ends_well(Command::new("python3").arg("--version")) {
        let script = repository("tests/verifier/verify_journal.py");
        assert_eq!(ours, finding(Command::new("python3").arg(script).arg(db)));
    } else {
        println!("skipped: python3 is not installed, the second verifier was not asked");
    }
    ours
}

fn ends_well(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn finding(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), all["ok"] == true, "{all}");
    FINDINGS
        .iter()
        .map(|field| ((*field).to_owned(), all[field].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_is_found_and_its_row_named() {
    let mut world = world(&["--scenario", "calm"]).await;
    let note = "the only note of this kind";
    let (code, written) = fusebox(&world, &["journal", "annotate", "--note", note]).await;
    assert_eq!(code, 0, "{written}");
    let after = fusebox(&world, &["journal", "annotate", "--note", "another"]).await;
    assert_eq!(after.0, 0, "{}", after.1);
    world.end().await;

    let db = world.journal_db();
    assert_eq!(verify(&db)["ok"], true);
    let mut bytes = std::fs::read(&db).unwrap();
    let places = bytes.windows(note.len()).enumerate();
    let places = places.filter(|(_, w)| *w == note.as_bytes());
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1);
    bytes[places[0]] ^= 1;
    let tampered = world.root().join("tampered.db");
    std::fs::write(&tampered, bytes).unwrap();
    let found = verify(&tampered);
    assert_eq!(found["ok"], false);
    assert_eq!(found["bad_seq"], written["seq"], "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_taken_out_is_found() {
    let mut world = world(&["--scenario", "calm"]).await;
    world.end().await;
    let copy = world.root().join("tampered.db");
    std::fs::copy(world.journal_db(), &copy).unwrap();
    let db = rusqlite::Connection::open(&copy).unwrap();
    // Whoever owns the file can take its triggers away; the chain remains.
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
    let mut triggers = db.prepare(triggers).unwrap();
    let names = triggers.query_map([], |row| row.get::<_, String>(0));
    for name in names.unwrap() {
        let drop = format!("DROP TRIGGER \"{}\"", name.unwrap());
        db.execute(&drop, []).unwrap();
    }
    let deleted = db.execute("DELETE FROM entries WHERE seq = 2", []);
    assert_eq!(deleted.unwrap(), 1);
    drop(triggers);
    drop(db);
    let found = verify(&copy);
    assert_eq!(
        (&found["ok"], &found["bad_seq"]),
        (&json!(false), &json!(2))
    );
}

/// The execution list lacks its second half from the very start: the recorder cannot have what it
/// was never shown, and the ledger gives it away. Once the exchange shows all of it, so does the
/// journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_the_exchange_drops_is_missed_and_made_up_for() {
    let drop_page = r#"{"service": "bybit", "path": "/v5/execution/list", "kind": "drop_page"}"#;
    let mut world = world(&["--scenario", "calm", "--fault", drop_page]).await;
    let missing = eventually(30, "executions that the journal lacks", async || {
        let (code, coverage) = fusebox(&world, &["journal", "coverage"]).await;
        let missing = coverage["missing"].as_array()?.clone();
        if missing.is_empty() {
            return None;
        }
        assert_eq!(code, 1, "{coverage:#}");
        assert!(coverage["journal"].as_u64() < coverage["exchange"].as_u64());
        Some(missing)
    })
    .await;
    crate::support::control(&world, "faults/clear", json!({})).await;
    eventually(30, "a journal that lacks nothing", async || {
        let (code, coverage) = fusebox(&world, &["journal", "coverage"]).await;
        (code == 0 && coverage["missing"] == json!([])).then_some(())
    })
    .await;
    let rows = journal(&world).await;
    for id in missing {
        let of_it = rows.iter().filter(|row| row["body"]["exec_id"] == id);
        assert_eq!(of_it.count(), 1, "{id}");
    }
    world.end().await;
}
