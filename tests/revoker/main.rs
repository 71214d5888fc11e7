//! The revoker against the simulated world, each in a process of its own: what is called dead is
//! dead, what was begun is finished, what was not authorised does not happen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod crash;
mod kill;
mod rotate;
mod stop;
mod support;
