//! `fusebox-breaker replay`: what would this ladder have done on that history?
//!
//! Reads JSON lines of readings, writes one JSON line each. It drives the same ladder as the live breaker, with
//! time taken from the lines, and does nothing else: no network, no file, no clock. Nobody acknowledges and
//! nobody touches in a replay; the reduction of R2 is taken to have worked.
//!
//! It does not decimate: a line is what the edge would have delivered (L9). It cannot know a wallet balance from
//! a ledger balance, so the exception of L19 for unexplained losses is not part of a replay.

mod decimal;
mod flows;
mod history;
mod line;

use fusebox_ladder::{Config, ConfigError};
use history::History;
use std::io::{BufRead, BufWriter, Read, Write};

/// The longest line accepted, in bytes: some ten thousand flow rows.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Why a replay ended early. Every line before the one named has been answered.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line that cannot be understood.
    #[error(
        "line {line}: {reason}; the {answered} lines before it are answered, correct it and run again"
    )]
    Line {
        /// Counted from 1.
        line: u64,
        /// Lines answered before.
        answered: u64,
        /// What was expected.
        reason: String,
    },
    /// Thresholds or limits out of range.
    #[error("the ladder's configuration is refused: {0}")]
    Config(#[from] ConfigError),
    /// Reading or writing failed.
    #[error("replay stopped after {answered} answered lines: {source}")]
    Io {
        /// Lines answered before.
        answered: u64,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

/// Replays `input` to its end and returns how many lines were answered. A reader that goes away (`| head`) ends
/// it without an error.
///
/// # Errors
/// The first line that cannot be understood, with its number; everything before it has been written.
pub fn run(
    mut input: impl BufRead,
    output: impl Write,
    config: Config,
) -> Result<u64, ReplayError> {
    config.validate()?;
    let mut output = BufWriter::new(output);
    let mut answered = 0;
    let result = answer_all(&mut input, &mut output, config, &mut answered);
    let flushed = output
        .flush()
        .map_err(|source| ReplayError::Io { answered, source });
    match result.and(flushed) {
        Err(ReplayError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(answered)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(answered),
    }
}

fn answer_all(
    input: &mut impl BufRead,
    output: &mut impl Write,
    config: Config,
    answered: &mut u64,
) -> Result<(), ReplayError> {
    let mut history = None;
    let mut bytes = Vec::new();
    for line in 1.. {
        let wrong = |answered: u64, reason: String| ReplayError::Line {
            line,
            answered,
            reason,
        };
        bytes.clear();
        let mut limited = input.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let read = limited
            .read_until(b'\n', &mut bytes)
            .map_err(|source| ReplayError::Io {
                answered: *answered,
                source,
            })?;
        if read == 0 {
            break;
        }
        if read > MAX_LINE_BYTES {
            return Err(wrong(
                *answered,
                format!("longer than {MAX_LINE_BYTES} bytes"),
            ));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = line::parse(&bytes).map_err(|reason| wrong(*answered, reason))?;
        let outcome = match &mut history {
            Some(history) => History::take(history, &line),
            none => {
                let (begun, outcome) = History::begin(config, &line)?.ok_or_else(|| {
                    wrong(
                        *answered,
                        "the first line funds the account: it needs an equity".into(),
                    )
                })?;
                *none = Some(begun);
                outcome
            }
        };
        line::write(output, line.t_ms, &outcome).map_err(|source| ReplayError::Io {
            answered: *answered,
            source,
        })?;
        *answered += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
