//! The engine without a network.
