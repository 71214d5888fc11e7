use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used, with the place of the mistake.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No such file, or not readable.
    #[error("cannot read the configuration {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Broken TOML, an unknown key, a wrong type, a missing key.
    #[error("{path}:{line}:{column}: {message}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// What was expected.
        message: String,
    },
}

/// Reads a TOML file.
///
/// # Errors
/// [`ConfigError`] names file, line and column. Give configuration types
/// `#[serde(deny_unknown_fields)]`, so that a misspelt key is found and not ignored.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.into(),
        source,
    })?;
    parse(&text, path)
}

/// Parses TOML; `path` is for messages only.
///
/// # Errors
/// [`ConfigError::Wrong`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        let message = e.message().replace('\n', "; ");
        ConfigError::Wrong {
            path: path.into(),
            line,
            column,
            message,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code, reason = "only parsed")]
        interval_ms: u64,
    }

    fn wrong(text: &str) -> String {
        parse::<Sample>(text, Path::new("x.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_what_was_expected() {
        assert!(parse::<Sample>("interval_ms = 5", Path::new("x.toml")).is_ok());
        let typo = wrong("# comment\ninterval_ms = 5\n  intervall = 5\n");
        assert!(
            typo.starts_with("x.toml:3:3: unknown field `intervall`, expected `interval_ms`"),
            "{typo}"
        );
        let kind = wrong("interval_ms = \"five\"\n");
        assert!(
            kind.starts_with("x.toml:1:15: invalid type: string \"five\", expected u64"),
            "{kind}"
        );
        assert!(wrong("interval_ms = \n").starts_with("x.toml:1:"));
        assert!(wrong("").contains("missing field `interval_ms`"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let got = load::<Sample>(Path::new("/nonexistent/fusebox.toml")).unwrap_err();
        assert!(
            got.to_string()
                .starts_with("cannot read the configuration /nonexistent/fusebox.toml: ")
        );
    }
}
