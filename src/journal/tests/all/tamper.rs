use super::*;
use fusebox_journal::{Chain, CheckpointKey, Hash, Report, Row, verify_file};
use rusqlite::Connection;
use std::process::Command;

const ROWS: u64 = 7;

/// What a verifier says: ok, good rows, bad row, reason.
type Verdict = (bool, u64, Option<u64>, Option<String>);

fn rust(db: &Path, note: Option<&Path>) -> Verdict {
    let report: Report = verify_file(db, note);
    (report.ok, report.entries, report.bad_seq, report.reason)
}

fn python(db: &Path, note: Option<&Path>) -> Option<Verdict> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifier/verify_journal.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(db)
        .args(note)
        .output();
    let Ok(output) = output else {
        println!("skipped the Python half: this machine has no python3");
        return None;
    };
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let verdict = (
        json["ok"].as_bool().unwrap(),
        json["entries"].as_u64().unwrap(),
        json["bad_seq"].as_u64(),
        json["reason"].as_str().map(Into::into),
    );
    assert_eq!(output.status.success(), verdict.0);
    Some(verdict)
}

/// A journal with a signed checkpoint of its end beside it.
fn original(scratch: &Scratch) -> Vec<Row> {
    journal_of(&scratch.db(), ROWS as i64);
    let reader = fusebox_journal::Reader::open(&scratch.db()).unwrap();
    let rows: Vec<Row> = (1..=ROWS)
        .map(|seq| reader.get(seq).unwrap().unwrap())
        .collect();
    let chain = Chain {
        size: ROWS,
        head: rows.last().unwrap().hash,
    };
    let key = CheckpointKey::from_seed("fusebox/journal/test", &[1; 32]).unwrap();
    std::fs::write(scratch.path("checkpoint"), key.sign(chain, NOW_MS)).unwrap();
    rows
}

/// A copy with the triggers dropped, changed by `tamper`.
fn tampered(scratch: &Scratch, tamper: impl FnOnce(&Connection)) -> PathBuf {
    let copy = scratch.path("copy.db");
    std::fs::copy(scratch.db(), &copy).unwrap();
    let db = Connection::open(&copy).unwrap();
    db.execute_batch("DROP TRIGGER entries_no_update; DROP TRIGGER entries_no_delete; PRAGMA journal_mode = DELETE;").unwrap();
    tamper(&db);
    db.close().unwrap();
    copy
}

/// Both verifiers must give this verdict.
fn expect(db: &Path, note: Option<&Path>, bad: Option<(u64, &str)>, what: &str) {
    let verdict = rust(db, note);
    let named = verdict.2.zip(verdict.3.as_deref());
    assert_eq!(named, bad, "{what}");
    assert_eq!(verdict.0, bad.is_none(), "{what}");
    if let Some(theirs) = python(db, note) {
        assert_eq!(theirs, verdict, "python differs: {what}");
    }
}

fn insert(db: &Connection, row: &Row) {
    db.execute(
        "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        rusqlite::params![
            row.seq as i64,
            row.time_ms,
            row.kind,
            row.author,
            row.body,
            row.prev.as_bytes(),
            row.hash.as_bytes()
        ],
    )
    .unwrap();
}

#[test]
fn both_verifiers_accept_the_original() {
    let scratch = Scratch::new();
    original(&scratch);
    expect(&scratch.db(), None, None, "original");
    let note = scratch.path("checkpoint");
    expect(&scratch.db(), Some(&note), None, "original with checkpoint");
    let untouched = tampered(&scratch, |_| {});
    expect(&untouched, Some(&note), None, "only the triggers are gone");
}

#[test]
fn one_changed_byte_in_any_column_of_any_row_is_named() {
    let scratch = Scratch::new();
    original(&scratch);
    for seq in 1..=ROWS {
        for (set, reason) in [
            ("time = time + 1", "hash-mismatch"),
            ("time = -time", "hash-mismatch"),
            ("kind = 'systen'", "hash-mismatch"),
            ("author = 'recordes'", "hash-mismatch"),
            ("body = replace(body, 'number', 'nunber')", "hash-mismatch"),
            ("body = body || ' '", "hash-mismatch"),
            ("prev = x'ff' || substr(prev, 2)", "not-canonical"),
            (
                "prev = CAST(x'ff' || substr(prev, 2) AS BLOB)",
                "prev-mismatch",
            ),
            (
                "hash = CAST(x'00ff' || substr(hash, 3) AS BLOB)",
                "hash-mismatch",
            ),
            ("hash = substr(hash, 2)", "not-canonical"),
            ("prev = x''", "not-canonical"),
        ] {
            // In a STRICT table text cannot stand in a BLOB column: the whole row is then left.
            let copy = tampered(&scratch, |db| {
                let changed =
                    db.execute(&format!("UPDATE entries SET {set} WHERE seq = {seq}"), []);
                if changed.is_err() {
                    lift_strictness(db);
                    db.execute(&format!("UPDATE entries SET {set} WHERE seq = {seq}"), [])
                        .unwrap();
                }
            });
            expect(
                &copy,
                None,
                Some((seq, reason)),
                &format!("row {seq}: {set}"),
            );
        }
    }
}

/// Takes the table's types away, as somebody who owns the file can.
fn lift_strictness(db: &Connection) {
    db.execute_batch(
        "ALTER TABLE entries RENAME TO strict_entries;
         CREATE TABLE entries (seq, time, kind, author, body, prev, hash);
         INSERT INTO entries SELECT * FROM strict_entries;",
    )
    .unwrap();
}

#[test]
fn wrong_types_and_broken_text_are_not_canonical() {
    let scratch = Scratch::new();
    original(&scratch);
    for set in [
        "time = CAST(time AS TEXT)",
        "time = time + 0.5",
        "time = NULL",
        "kind = CAST(kind AS BLOB)",
        "author = NULL",
        "body = CAST(x'7b22ff227d' AS TEXT)",
        "body = NULL",
        "prev = hex(prev)",
        "hash = NULL",
    ] {
        let copy = tampered(&scratch, |db| {
            lift_strictness(db);
            db.execute(&format!("UPDATE entries SET {set} WHERE seq = 4"), [])
                .unwrap();
        });
        expect(&copy, None, Some((4, "not-canonical")), set);
    }
    let copy = tampered(&scratch, |db| {
        lift_strictness(db);
        db.execute("UPDATE entries SET seq = NULL WHERE seq = 4", [])
            .unwrap();
    });
    expect(
        &copy,
        None,
        Some((1, "not-canonical")),
        "NULL sorts before every number",
    );
}

#[test]
fn dropped_moved_and_swapped_rows_are_named() {
    let scratch = Scratch::new();
    original(&scratch);
    for seq in 1..ROWS {
        let copy = tampered(&scratch, |db| {
            db.execute("DELETE FROM entries WHERE seq = ?1", [seq as i64])
                .unwrap();
        });
        expect(&copy, None, Some((seq, "gap")), "dropped");
        let copy = tampered(&scratch, |db| {
            db.execute("UPDATE entries SET seq = 900 WHERE seq = ?1", [seq as i64])
                .unwrap();
        });
        expect(&copy, None, Some((seq, "gap")), "moved to the end");
        let copy = tampered(&scratch, |db| {
            db.execute_batch(&format!(
                "UPDATE entries SET seq = 900 WHERE seq = {seq};
                 UPDATE entries SET seq = {seq} WHERE seq = {seq} + 1;
                 UPDATE entries SET seq = {seq} + 1 WHERE seq = 900;"
            ))
            .unwrap();
        });
        expect(&copy, None, Some((seq, "prev-mismatch")), "swapped");
        let copy = tampered(&scratch, |db| {
            db.execute_batch(&format!(
                "CREATE TEMP TABLE t AS SELECT body FROM entries WHERE seq = {seq};
                 UPDATE entries SET body = (SELECT body FROM entries WHERE seq = {seq} + 1) WHERE seq = {seq};
                 UPDATE entries SET body = (SELECT body FROM t) WHERE seq = {seq} + 1;"
            ))
            .unwrap();
        });
        expect(&copy, None, Some((seq, "hash-mismatch")), "bodies swapped");
    }
    for seq in [0, -5] {
        let copy = tampered(&scratch, |db| {
            db.execute("UPDATE entries SET seq = ?1 WHERE seq = 1", [seq])
                .unwrap();
        });
        let reason = if seq < 0 {
            (1, "not-canonical")
        } else {
            (0, "gap")
        };
        expect(&copy, None, Some(reason), "a row before the first");
    }
}

#[test]
fn a_cut_end_is_seen_with_a_checkpoint_only() {
    let scratch = Scratch::new();
    original(&scratch);
    let note = scratch.path("checkpoint");
    for keep in 0..ROWS {
        let copy = tampered(&scratch, |db| {
            db.execute("DELETE FROM entries WHERE seq > ?1", [keep as i64])
                .unwrap();
        });
        expect(&copy, None, None, "cut, no checkpoint");
        expect(&copy, Some(&note), Some((keep + 1, "truncated")), "cut");
    }
}

#[test]
fn an_inserted_row_and_a_rewritten_tail_are_named() {
    let scratch = Scratch::new();
    let rows = original(&scratch);
    let note = scratch.path("checkpoint");
    let last = rows.last().unwrap();
    let forged = Row {
        seq: ROWS + 1,
        prev: last.hash,
        hash: Hash::of(b"guess"),
        ..last.clone()
    };
    let copy = tampered(&scratch, |db| insert(db, &forged));
    expect(
        &copy,
        None,
        Some((ROWS + 1, "hash-mismatch")),
        "forged row at the end",
    );
    let forged = Row {
        seq: ROWS + 1,
        ..last.clone()
    };
    let copy = tampered(&scratch, |db| insert(db, &forged));
    expect(
        &copy,
        None,
        Some((ROWS + 1, "prev-mismatch")),
        "last row twice",
    );
    let copy = tampered(&scratch, |db| {
        lift_strictness(db);
        insert(db, &rows[2]);
    });
    expect(&copy, None, Some((3, "gap")), "row 3 twice");

    // Everything from row 4 on sealed anew: a chain, but not the one that was signed.
    let copy = tampered(&scratch, |db| {
        db.execute("DELETE FROM entries WHERE seq > 3", []).unwrap();
        let mut forged = Chain {
            size: 3,
            head: rows[2].hash,
        };
        for row in &rows[3..] {
            let body = row.body.replace("number", "nothing");
            insert(
                db,
                &forged
                    .seal(row.time_ms, &row.kind, &row.author, body)
                    .unwrap(),
            );
        }
    });
    expect(&copy, None, None, "rewritten tail, no checkpoint");
    expect(&copy, Some(&note), Some((ROWS, "forked")), "rewritten tail");
}

#[test]
fn a_damaged_file_never_verifies() {
    let scratch = Scratch::new();
    original(&scratch);
    let whole = std::fs::read(scratch.db()).unwrap();
    let copy = scratch.path("damaged.db");
    // Bytes of the rows' own texts, found in the file: whatever page they are on.
    let needle = "number 4".as_bytes();
    let at = whole
        .windows(needle.len())
        .position(|w| w == needle)
        .unwrap();
    let mut damaged = whole.clone();
    damaged[at] ^= 0x20;
    std::fs::write(&copy, &damaged).unwrap();
    expect(
        &copy,
        None,
        Some((5, "hash-mismatch")),
        "a byte of row 5 on the disk",
    );
    for cut in [0, 50, 4096, whole.len() / 2] {
        std::fs::write(&copy, &whole[..cut]).unwrap();
        assert!(!rust(&copy, None).0, "cut at {cut}");
    }
}

#[test]
fn a_checkpoint_counts_only_with_its_signature_once_the_key_is_known() {
    let scratch = Scratch::new();
    let rows = original(&scratch);
    let note = scratch.path("checkpoint");
    let verify = || verify_file(&scratch.db(), Some(&note));
    assert_eq!((verify().ok, verify().signature), (true, Some("unchecked")));
    let key = |seed| CheckpointKey::from_seed("fusebox/journal/test", &[seed; 32]).unwrap();
    let vkey = scratch.path("journal.db.vkey");
    std::fs::write(&vkey, key(1).verifier().to_string()).unwrap();
    assert_eq!((verify().ok, verify().signature), (true, Some("verified")));
    // A checkpoint of another key, though it states the truth.
    let chain = Chain {
        size: ROWS,
        head: rows.last().unwrap().hash,
    };
    std::fs::write(&note, key(2).sign(chain, NOW_MS)).unwrap();
    let report = verify();
    assert!(!report.ok && report.reason.unwrap().contains("signature"));
}
