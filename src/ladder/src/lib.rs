//! Exact integer drawdown ladder: NAV, anchors, rungs, latches, room.
