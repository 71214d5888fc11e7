//! What verbs write: text or one JSON object on stdout, complaints on stderr. A closed pipe is
//! nobody's failure.

use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

/// The contract's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Done,
    Failed,
    Usage,
    Partly,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        match code {
            Code::Done => Self::SUCCESS,
            Code::Failed => Self::from(1),
            Code::Usage => Self::from(2),
            Code::Partly => Self::from(3),
        }
    }
}

/// Where a verb writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    json: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Bytes as they are.
    pub(super) fn raw(self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    /// A line for people; nothing under `--json`.
    pub(super) fn line(self, text: &str) {
        if !self.json {
            self.raw(format!("{text}\n").as_bytes());
        }
    }

    /// Progress and prompts, on stderr: stdout stays clean for the result.
    pub(super) fn aside(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// A complaint, also under `--json`.
    pub(super) fn complain(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "fusebox: {text}");
    }

    /// The one JSON object of this verb, under `--json`.
    pub(super) fn object(self, value: &impl Serialize) {
        if self.json {
            self.raw(format!("{}\n", with_schema(value)).as_bytes());
        }
    }

    /// Failed or refused, with a reason for people and one for programs.
    pub(super) fn fail(self, code: &str, message: &str) -> ExitCode {
        self.end(Code::Failed, code, message)
    }

    /// Wrong use: the command line or the configuration.
    pub(super) fn wrong_use(self, code: &str, message: &str) -> ExitCode {
        self.end(Code::Usage, code, message)
    }

    fn end(self, exit: Code, code: &str, message: &str) -> ExitCode {
        self.complain(message);
        self.object(&json!({"ok": false, "error": {"code": code, "message": message}}));
        exit.into()
    }
}

/// Every object of the command line carries its version.
fn with_schema(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("schema".to_owned(), 1.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_carry_their_schema() {
        assert_eq!(with_schema(&json!({"a": 1})), json!({"a": 1, "schema": 1}));
    }
}
