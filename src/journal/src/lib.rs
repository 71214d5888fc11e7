//! Journal rows, canonical bytes, hash chain, checkpoints, verifier; the SQLite store beside it.
