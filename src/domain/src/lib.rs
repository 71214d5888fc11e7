//! The vocabulary: money, positions, orders, executions, keys, environments, freshness.
