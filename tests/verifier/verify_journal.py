#!/usr/bin/env python3
"""Verifies a Fusebox journal, written from src/journal/FORMAT.md alone (see ARCHITECTURE.md).

usage: verify_journal.py JOURNAL.db [CHECKPOINT]
Prints one JSON object and exits 0 only when every row is as it was sealed. It shares no code
with the Rust verifier, so that one mistake cannot hide in both. It does not check signatures.
"""
import base64
import hashlib
import json
import sqlite3
import struct
import sys

TAG = b"fusebox/journal/row/1\n"
TYPES = ("integer", "integer", "text", "text", "text", "blob", "blob")
COLUMNS = ("seq", "time", "kind", "author", "body", "prev", "hash")


def row_hash(prev, seq, time, *texts):
    canonical = TAG + struct.pack(">Qq", seq, time)
    for text in texts:
        canonical += struct.pack(">I", len(text)) + text
    return hashlib.sha256(prev + canonical).digest()


def is_utf8(data):
    try:
        data.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def check(rows, checkpoint):
    """Returns (good rows, head, bad_seq, reason)."""
    n, head = 0, bytes(32)
    try:
        for row in rows:
            (seq, time, kind, author, body, prev, digest), types = row[:7], row[7:]
            if types[0] != "integer" or seq < 0:
                return n, head, n + 1, "not-canonical"
            if seq != n + 1:
                return n, head, min(seq, n + 1), "gap"
            canonical = types == TYPES and len(prev) == 32 and len(digest) == 32
            if not canonical or not all(map(is_utf8, (kind, author, body))):
                return n, head, seq, "not-canonical"
            if prev != head:
                return n, head, seq, "prev-mismatch"
            if row_hash(prev, seq, time, kind, author, body) != digest:
                return n, head, seq, "hash-mismatch"
            if checkpoint and checkpoint[0] == seq and checkpoint[1] != digest:
                return n, head, seq, "forked"
            n, head = seq, digest
    except sqlite3.DatabaseError:
        return n, head, n + 1, "unreadable"
    if checkpoint and checkpoint[0] > n:
        return n, head, n + 1, "truncated"
    return n, head, None, None


def main(path, note=None):
    checkpoint = None
    if note:
        lines = open(note, encoding="utf-8").read().split("\n")
        checkpoint = (int(lines[1]), base64.b64decode(lines[2], validate=True))
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = bytes
    types = ", ".join(f"typeof({column})" for column in COLUMNS)
    rows = db.execute(f"SELECT {', '.join(COLUMNS)}, {types} FROM entries NOT INDEXED ORDER BY seq")
    decoded = (row[:7] + tuple(t.decode() for t in row[7:]) for row in rows)
    n, head, bad_seq, reason = check(decoded, checkpoint)
    print(json.dumps({"ok": reason is None, "entries": n, "head": head.hex(),
                      "bad_seq": bad_seq, "reason": reason}))
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
