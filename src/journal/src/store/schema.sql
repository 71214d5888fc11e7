-- journal.db, version 1. `entries` is the truth; everything else is derived from it.
-- The canonical form of a row and the chain are described in FORMAT.md.

CREATE TABLE entries (
    seq    INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,  -- when written, UTC milliseconds
    kind   TEXT NOT NULL,
    author TEXT NOT NULL,
    body   TEXT NOT NULL,     -- a JSON object
    prev   BLOB NOT NULL,     -- 32 bytes
    hash   BLOB NOT NULL      -- 32 bytes
) STRICT;

-- REPLACE deletes without asking a DELETE trigger unless the connection says
-- recursive_triggers = ON, which the writer does.
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- A fact that can be seen twice carries a key, and is written once.
CREATE UNIQUE INDEX entries_key ON entries (json_extract(body, '$.key'))
    WHERE json_extract(body, '$.key') IS NOT NULL;
CREATE INDEX entries_trade ON entries (json_extract(body, '$.trade_id'), seq)
    WHERE kind = 'trade';
CREATE INDEX entries_annotation ON entries (json_extract(body, '$.trade_id'), seq)
    WHERE kind = 'annotation';

-- One row per trade. A trade number that comes again (another account, or a bot that started
-- with an empty database) is another trade: `opening_order` tells them apart, and an annotation
-- belongs to the trade of its number that was opened last before it.
CREATE VIEW swing_trades (trade_id, pair, entry, exit, thesis, lesson) AS
WITH opened AS (
    SELECT seq,
           json_extract(body, '$.trade_id')      AS trade_id,
           json_extract(body, '$.account')       AS account,
           json_extract(body, '$.opening_order') AS opening_order,
           json_extract(body, '$.pair')          AS pair,
           lead(seq, 1, 9223372036854775807) OVER (
               PARTITION BY json_extract(body, '$.account'), json_extract(body, '$.trade_id')
               ORDER BY seq) AS next_seq
    FROM entries
    WHERE kind = 'trade' AND json_extract(body, '$.event') = 'opened'
)
SELECT o.trade_id, o.pair,
    (SELECT json_extract(t.body, '$.open_rate') FROM entries t
      WHERE t.kind = 'trade' AND json_extract(t.body, '$.trade_id') = o.trade_id
        AND json_extract(t.body, '$.account') IS o.account
        AND json_extract(t.body, '$.opening_order') IS o.opening_order
      ORDER BY t.seq DESC LIMIT 1),
    (SELECT json_extract(t.body, '$.close_rate') FROM entries t
      WHERE t.kind = 'trade' AND json_extract(t.body, '$.trade_id') = o.trade_id
        AND json_extract(t.body, '$.account') IS o.account
        AND json_extract(t.body, '$.opening_order') IS o.opening_order
        AND json_extract(t.body, '$.event') = 'closed'
      ORDER BY t.seq DESC LIMIT 1),
    (SELECT json_extract(a.body, '$.thesis') FROM entries a
      WHERE a.kind = 'annotation' AND json_extract(a.body, '$.trade_id') = o.trade_id
        AND coalesce(json_extract(a.body, '$.account'), o.account) IS o.account
        AND a.seq > o.seq AND a.seq < o.next_seq
        AND json_extract(a.body, '$.thesis') IS NOT NULL
      ORDER BY a.seq DESC LIMIT 1),
    (SELECT json_extract(a.body, '$.lesson') FROM entries a
      WHERE a.kind = 'annotation' AND json_extract(a.body, '$.trade_id') = o.trade_id
        AND coalesce(json_extract(a.body, '$.account'), o.account) IS o.account
        AND a.seq > o.seq AND a.seq < o.next_seq
        AND json_extract(a.body, '$.lesson') IS NOT NULL
      ORDER BY a.seq DESC LIMIT 1)
FROM opened o ORDER BY o.seq;

-- One row per movement: its newest state.
CREATE VIEW capital_movements (direction, amount, status, confirm_txn) AS
SELECT direction, amount, status, confirm_txn FROM (
    SELECT json_extract(body, '$.direction')   AS direction,
           json_extract(body, '$.amount')      AS amount,
           json_extract(body, '$.status')      AS status,
           json_extract(body, '$.confirm_txn') AS confirm_txn,
           min(seq) OVER same AS first_seq,
           row_number() OVER (
               PARTITION BY coalesce(json_extract(body, '$.id'), seq) ORDER BY seq DESC) AS age
    FROM entries WHERE kind = 'capital'
    WINDOW same AS (PARTITION BY coalesce(json_extract(body, '$.id'), seq))
) WHERE age = 1 ORDER BY first_seq;

-- One row per halt: how it began, and when a later row ended it.
CREATE VIEW halt_events (reason, trigger_value, resolved_at) AS
SELECT reason, trigger_value, resolved_at FROM (
    SELECT seq,
           json_extract(body, '$.reason')        AS reason,
           json_extract(body, '$.trigger_value') AS trigger_value,
           max(json_extract(body, '$.resolved_at')) OVER same AS resolved_at,
           row_number() OVER (
               PARTITION BY coalesce(json_extract(body, '$.id'), seq) ORDER BY seq) AS age
    FROM entries WHERE kind = 'halt'
    WINDOW same AS (PARTITION BY coalesce(json_extract(body, '$.id'), seq))
) WHERE age = 1 ORDER BY seq;

CREATE VIEW config_changes (service, field, old_value, new_value) AS
SELECT json_extract(body, '$.service'), json_extract(body, '$.field'),
       json_extract(body, '$.old_value'), json_extract(body, '$.new_value')
FROM entries WHERE kind = 'config' ORDER BY seq;

-- One row per incident: how it began, and when a later row ended it.
CREATE VIEW incidents (type, severity, mitigated_at) AS
SELECT type, severity, mitigated_at FROM (
    SELECT seq,
           json_extract(body, '$.type')     AS type,
           json_extract(body, '$.severity') AS severity,
           max(json_extract(body, '$.mitigated_at')) OVER same AS mitigated_at,
           row_number() OVER (
               PARTITION BY coalesce(json_extract(body, '$.id'), seq) ORDER BY seq) AS age
    FROM entries WHERE kind = 'incident'
    WINDOW same AS (PARTITION BY coalesce(json_extract(body, '$.id'), seq))
) WHERE age = 1 ORDER BY seq;
