use super::*;
use fusebox_journal::{Chain, Error, Filter, Kind, Reader, Table, verify_file};

fn cells(reader: &Reader<'_>, table: Table) -> Vec<Vec<String>> {
    let rows = reader.table(table, 100).unwrap();
    rows.into_iter()
        .map(|row| row.into_iter().map(|(_, cell)| cell).collect())
        .collect()
}

#[test]
fn the_views_have_exactly_the_columns_of_the_seed() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.db()).unwrap();
    let db = rusqlite::Connection::open(scratch.db()).unwrap();
    let seed = [
        "swing_trades(trade_id, pair, entry, exit, thesis, lesson)",
        "capital_movements(direction, amount, status, confirm_txn)",
        "halt_events(reason, trigger_value, resolved_at)",
        "config_changes(service, field, old_value, new_value)",
        "incidents(type, severity, mitigated_at)",
    ];
    for (table, seed) in Table::ALL.iter().zip(seed) {
        let statement = db
            .prepare(&format!("SELECT * FROM {}", table.name()))
            .unwrap();
        let columns = statement.column_names().collect::<Vec<_>>().join(", ");
        assert_eq!(format!("{}({columns})", table.name()), seed);
    }
    drop(store);
}

#[test]
fn later_facts_are_later_rows_and_the_views_show_the_latest() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    let drafts = [
        trade("opened", "7", "o-1", "60951.5", None),
        note("7", Some("breakdown of the range"), None),
        trade("added", "7", "o-1", "60900.1", None),
        trade("closed", "7", "o-1", "60900.1", Some("61650.8")),
        note("7", None, Some("size down before the weekend")),
        // The bot began again with an empty database: another trade 7.
        trade("opened", "7", "o-9", "3000", None),
        note("7", Some("second"), None),
        capital("c1", "pending", None),
        capital("c2", "confirmed", Some("txn-2")),
        capital("c1", "confirmed", Some("txn-1")),
        halt("h1", "R3 month", None),
        halt("h2", "R1 day", None),
        halt("h1", "", Some("2026-11-21T08:00:00Z")),
        incident("i1", "foreign-order", None),
        incident("i1", "", Some("2026-11-21T09:00:00Z")),
        config(),
    ];
    store.append(NOW_MS, &drafts).unwrap();
    let reader = store.reader();
    assert_eq!(
        cells(&reader, Table::SwingTrades),
        [
            [
                "7",
                "BTC/USDT:USDT",
                "60900.1",
                "61650.8",
                "breakdown of the range",
                "size down before the weekend"
            ],
            ["7", "BTC/USDT:USDT", "3000", "", "second", ""],
        ]
    );
    assert_eq!(
        cells(&reader, Table::CapitalMovements),
        [
            ["in", "500.00", "confirmed", "txn-1"],
            ["in", "500.00", "confirmed", "txn-2"],
        ]
    );
    assert_eq!(
        cells(&reader, Table::HaltEvents),
        [
            ["R3 month", "0.8499", "2026-11-21T08:00:00Z"],
            ["R1 day", "0.8499", ""],
        ]
    );
    assert_eq!(
        cells(&reader, Table::Incidents),
        [["foreign-order", "1", "2026-11-21T09:00:00Z"]]
    );
    assert_eq!(
        cells(&reader, Table::ConfigChanges),
        [["breaker", "ladder.r1_bp", "500", "400"]]
    );
}

#[test]
fn nothing_in_the_table_can_be_updated_deleted_or_replaced() {
    let scratch = Scratch::new();
    journal_of(&scratch.db(), 3);
    let before = verify_file(&scratch.db(), None);
    let db = rusqlite::Connection::open(scratch.db()).unwrap();
    db.pragma_update(None, "recursive_triggers", "ON").unwrap();
    for sql in [
        "UPDATE entries SET body = '{}' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 3",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries SELECT seq, time, kind, author, '{}', prev, hash FROM entries WHERE seq = 2",
        "INSERT INTO entries VALUES (4, 'x', 'k', 'a', '{}', x'', x'')",
    ] {
        assert!(db.execute(sql, []).is_err(), "{sql}");
    }
    drop(db);
    assert_eq!(verify_file(&scratch.db(), None), before);
    assert_eq!(before.entries, 3);
}

#[test]
fn a_key_is_written_once_and_the_first_row_is_answered() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    let keyed = || system(1).with_key("execution/trading-1/e-1");
    let first = store.append(NOW_MS, &[keyed(), keyed()]).unwrap();
    assert_eq!((first[0].seq, first[0].duplicate), (1, false));
    assert_eq!((first[1].seq, first[1].duplicate), (1, true));
    store.append(NOW_MS, &[system(2)]).unwrap();
    drop(store);
    let mut store = Store::open(&scratch.db()).unwrap();
    let again = store.append(NOW_MS + 9, &[keyed()]).unwrap();
    assert_eq!(again[0], first[1]);
    let reader = store.reader();
    assert_eq!(reader.last_seq().unwrap(), 2);
    assert_eq!(
        reader
            .by_key("execution/trading-1/e-1")
            .unwrap()
            .unwrap()
            .seq,
        1
    );
    assert_eq!(
        reader.keys_with_prefix("execution/trading-1/").unwrap(),
        ["e-1"]
    );
    assert!(
        reader
            .keys_with_prefix("execution/trading-2/")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn rows_say_when_they_happened_and_times_never_run_backwards() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    store.append(NOW_MS + 100_000, &[system(0)]).unwrap();
    store.append(NOW_MS + 50_000, &[system(70_000)]).unwrap();
    let row = |seq| store.reader().get(seq).unwrap().unwrap();
    assert_eq!(row(1).happened_ms(), NOW_MS);
    assert_eq!(row(1).fields()["late_ms"], 100_000);
    assert_eq!(row(2).time_ms, NOW_MS + 100_000);
    assert!(!row(2).fields().contains_key("late_ms"));
}

#[test]
fn one_draft_refused_writes_none_of_the_batch() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    let mut long = system(2);
    long.body.insert("x".into(), "y".repeat(60_000).into());
    assert!(matches!(
        store.append(NOW_MS, &[system(1), long]),
        Err(Error::TooLong { .. })
    ));
    assert_eq!(store.chain(), Chain::default());
    store.append(NOW_MS, &[system(1)]).unwrap();
    assert_eq!(store.reader().verify([]).unwrap(), (store.chain(), None));
}

#[test]
fn there_is_one_writer_and_it_notices_a_foreign_row() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    assert!(matches!(Store::open(&scratch.db()), Err(Error::Locked(_))));
    store.append(NOW_MS, &[system(1)]).unwrap();
    let intruder = rusqlite::Connection::open(scratch.db()).unwrap();
    intruder
        .execute(
            "INSERT INTO entries SELECT 2, time, kind, author, body, hash, hash FROM entries",
            [],
        )
        .unwrap();
    assert!(matches!(
        store.append(NOW_MS, &[system(2)]),
        Err(Error::Broken(_))
    ));
    drop((store, intruder));
    assert!(matches!(Store::open(&scratch.db()), Err(Error::Broken(f)) if f.bad_seq == 2));
}

#[test]
fn pages_filters_and_counts() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    let drafts: Vec<_> = (0..10)
        .map(system)
        .chain([note("7", Some("50% off_hand"), None)])
        .collect();
    store.append(NOW_MS, &drafts).unwrap();
    let reader = store.reader();
    let seqs = |rows: Vec<fusebox_journal::Row>| rows.iter().map(|r| r.seq).collect::<Vec<_>>();
    let all = Filter::default();
    assert_eq!(seqs(reader.page_back(None, &all, 3).unwrap()), [11, 10, 9]);
    assert_eq!(seqs(reader.page_back(Some(9), &all, 2).unwrap()), [8, 7]);
    assert_eq!(seqs(reader.page_on(9, &all, 9).unwrap()), [10, 11]);
    let kinds = Filter {
        kinds: vec![Kind::Annotation, Kind::Halt],
        ..all.clone()
    };
    assert_eq!(seqs(reader.page_back(None, &kinds, 9).unwrap()), [11]);
    for (text, hits) in [
        ("50% OFF_hand", 1),
        ("50x off", 0),
        ("number 3", 1),
        ("operator:", 1),
        ("%", 1),
    ] {
        let filter = Filter {
            text: text.into(),
            ..all.clone()
        };
        assert_eq!(
            reader.page_back(None, &filter, 99).unwrap().len(),
            hits,
            "{text}"
        );
    }
    assert_eq!(
        reader.counts().unwrap(),
        [("annotation".to_owned(), 1), ("system".to_owned(), 10)]
    );
}

#[test]
fn a_stopped_journal_is_read_as_a_still_and_a_live_one_is_followed() {
    let scratch = Scratch::new();
    journal_of(&scratch.db(), 2);
    assert!(
        !scratch.path("journal.db-wal").exists(),
        "a clean stop leaves one file"
    );
    let still = Reader::open(&scratch.db()).unwrap();
    assert!(still.is_stopped() && !still.is_outdated());
    assert!(
        !scratch.path("journal.db-shm").exists(),
        "looking leaves no trace"
    );
    assert_eq!(still.last_seq().unwrap(), 2);
    let mut store = Store::open(&scratch.db()).unwrap();
    assert!(still.is_outdated());
    let live = Reader::open(&scratch.db()).unwrap();
    assert!(!live.is_stopped());
    store.append(NOW_MS, &[system(3)]).unwrap();
    assert_eq!(live.last_seq().unwrap(), 3);
    store.checkpoint_wal().unwrap();
    store.append(NOW_MS, &[system(4)]).unwrap();
    assert_eq!(live.verify([]).unwrap(), (store.chain(), None));
}

#[test]
fn other_databases_and_other_versions_are_refused_by_name() {
    let scratch = Scratch::new();
    let foreign = scratch.path("tradesv3.sqlite");
    rusqlite::Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE trades (id)")
        .unwrap();
    journal_of(&scratch.db(), 1);
    rusqlite::Connection::open(scratch.db())
        .unwrap()
        .pragma_update(None, "user_version", 2)
        .unwrap();
    for path in [foreign, scratch.db()] {
        assert!(matches!(Store::open(&path), Err(Error::Version { .. })));
        assert!(matches!(Reader::open(&path), Err(Error::Version { .. })));
    }
    let text = scratch.path("text.db");
    std::fs::write(
        &text,
        "this is not a database, but long enough to have a header\n".repeat(99),
    )
    .unwrap();
    assert!(matches!(Store::open(&text), Err(Error::Database(_))));
    assert!(matches!(
        Reader::open(&scratch.path("none.db")),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_full_disk_is_a_refusal_after_which_the_same_row_can_be_sent_again() {
    let scratch = Scratch::new();
    let mut store = Store::open(&scratch.db()).unwrap();
    store.append(NOW_MS, &[system(1)]).unwrap();
    let mut big = system(2);
    big.body.insert("x".into(), "y".repeat(40_000).into());
    store.limit_pages(store.pages().unwrap() + 2).unwrap();
    assert!(matches!(
        store.append(NOW_MS, &[big.clone()]),
        Err(Error::DiskFull(_))
    ));
    assert_eq!(store.chain().size, 1);
    store.limit_pages(10_000).unwrap();
    assert_eq!(store.append(NOW_MS, &[big]).unwrap()[0].seq, 2);
    assert_eq!(store.reader().verify([]).unwrap(), (store.chain(), None));
}
