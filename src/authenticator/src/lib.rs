//! Gets an assertion from a security key: over the SSH agent, or from the demo's software key.
