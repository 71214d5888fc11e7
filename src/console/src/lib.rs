//! The console: the full-screen terminal interface, and the same verbs as commands.
//!
//! | module | what it is |
//! |---|---|
//! | `cli` | the verbs, each without a terminal |
//! | `app` | state, what input and messages do to it, the one loop that owns it |
//! | `action`, `keymap` | every action once; keys as data (`assets/keymap.toml`) |
//! | `ui`, `theme` | drawing, from the state alone; looks as data (`themes/`) |
//! | `dialog`, `editor` | kill, rotate and resume; thesis and lesson |
//! | `client`, `store` | sockets and journal; what came from them, with its age |
//! | `term` | the terminal's modes, our own input path, one write a frame |
//!
//! It must never hold a secret, call an exchange or write a database, and never show a figure
//! whose age it does not know as if it were fresh. It starts with any component missing and says
//! so; it can be killed or replayed without harm, since the worst that it can do is ask.
//!
//! Weak spots: one account at a time; the journal pane holds the newest 2,000 matching rows; a
//! line that delays an escape sequence by more than 200 ms can still yield a stray `[`.
#![forbid(unsafe_code)]

mod action;
mod app;
mod cli;
mod client;
mod config;
mod dialog;
mod editor;
#[cfg(test)]
mod fake;
mod fmt;
mod keymap;
mod line_edit;
mod store;
mod term;
mod theme;
mod ui;

use std::process::ExitCode;

/// Why the console ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no terminal to draw on.
    #[error(
        "the console needs a terminal; use `fusebox status` and the other verbs in scripts (`fusebox --help`)"
    )]
    NoTerminal,
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Wall-clock milliseconds, for rows that are sent to the recorder.
pub(crate) fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Runs the program and returns its exit code: 0 done, 1 failed or refused, 2 usage, 3 partly
/// done or unknown.
pub fn main() -> ExitCode {
    cli::main()
}
