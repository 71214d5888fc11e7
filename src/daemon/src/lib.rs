//! What every daemon does the same way: configuration, logs, signals, readiness, lifeline.
