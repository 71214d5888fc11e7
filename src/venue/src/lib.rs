//! Bybit V5, read-only: signing, reading, streaming.
