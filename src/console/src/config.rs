//! The console's configuration: `fusebox.toml` in the XDG configuration directory, `--config` or
//! `FUSEBOX_CONFIG`. A mistake is told with its place, and the console starts on its defaults.
//!
//! It holds paths and looks, never a secret. The demo's software key is named here too, and is
//! refused by every revoker that was not started for the demo.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Something wrong in a file of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    path: PathBuf,
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    message: String,
}

impl Problem {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            path: path.into(),
            at: None,
            message: format!("cannot be read: {error}"),
        }
    }

    /// A mistake at a byte offset of `text`.
    pub(crate) fn at(path: &Path, text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Self {
            path: path.into(),
            at: Some((line, column)),
            message,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Where TOML is wrong and what was expected.
pub(crate) fn toml_problem(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    let message = error.message().replace('\n', "; ");
    Problem::at(path, text, offset, message)
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The breaker's feed.
    pub(crate) feed_socket: PathBuf,
    /// The revoker's socket for operators.
    pub(crate) operator_socket: PathBuf,
    /// The recorder's append socket for operators.
    pub(crate) append_socket: PathBuf,
    /// The journal, opened read-only.
    pub(crate) journal: PathBuf,
    /// The revoker's Ed25519 public key, hex. Without it results are shown as UNTRUSTED.
    pub(crate) revoker_key: Option<String>,
    /// The demo's software key; works in environment `sim` only.
    pub(crate) demo_key: Option<PathBuf>,
    /// Uid that must own the sockets; absent: not checked.
    pub(crate) socket_owner: Option<u32>,
    /// `default`, `dark`, `light`, `colour-blind`, `mono`, or a file in `themes/` beside the
    /// configuration.
    pub(crate) theme: Option<String>,
    /// A keymap to lay over the shipped one; absent: `keymap.toml` beside the configuration.
    pub(crate) keymap: Option<PathBuf>,
    /// Whether the mouse is used from the start.
    pub(crate) mouse: bool,
    /// What to call this console in its header, beside the account.
    pub(crate) label: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            feed_socket: "/run/fusebox-breaker/feed.sock".into(),
            operator_socket: "/run/fusebox-revoker/operator.sock".into(),
            append_socket: "/run/fusebox-recorder/append-operator.sock".into(),
            journal: "/var/lib/fusebox-recorder/journal.db".into(),
            revoker_key: None,
            demo_key: None,
            socket_owner: None,
            theme: None,
            keymap: None,
            mouse: false,
            label: None,
        }
    }
}

impl Config {
    /// The pinned key as bytes.
    pub(crate) fn pinned_key(&self) -> Option<Vec<u8>> {
        self.revoker_key
            .as_deref()
            .and_then(|key| hex::decode(key.trim()).ok())
    }
}

/// The configuration as found, and what was wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The file, whether or not it could be used.
    pub(crate) path: Option<PathBuf>,
    /// Whether it exists and was used.
    pub(crate) used: bool,
    pub(crate) problems: Vec<Problem>,
    pub(crate) dirs: Dirs,
}

/// The operator's own directories.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirs {
    /// Themes and keymap.
    pub(crate) config: Option<PathBuf>,
    /// Drafts.
    pub(crate) state: Option<PathBuf>,
}

impl Dirs {
    fn find() -> Self {
        match directories::ProjectDirs::from("", "", "fusebox") {
            Some(dirs) => Self {
                config: Some(dirs.config_dir().into()),
                state: Some(dirs.state_dir().unwrap_or(dirs.data_local_dir()).into()),
            },
            None => Self::default(),
        }
    }
}

/// Finds and reads the configuration: the file named, else `FUSEBOX_CONFIG`, else the XDG place.
/// A file that was named must exist; one in the XDG place need not.
pub(crate) fn load(named: Option<PathBuf>) -> Loaded {
    let dirs = Dirs::find();
    let named = named.or_else(|| std::env::var_os("FUSEBOX_CONFIG").map(PathBuf::from));
    let must_exist = named.is_some();
    let path = named.or_else(|| dirs.config.as_ref().map(|dir| dir.join("fusebox.toml")));
    let mut loaded = Loaded {
        dirs,
        ..Loaded::default()
    };
    if let Some(path) = path {
        match std::fs::read_to_string(&path) {
            Ok(text) => loaded.take(&path, &text),
            Err(e) if must_exist || e.kind() != std::io::ErrorKind::NotFound => {
                loaded.problems.push(Problem::unreadable(&path, &e));
            }
            Err(_) => {}
        }
        loaded.path = Some(path);
    }
    loaded
}

impl Loaded {
    fn take(&mut self, path: &Path, text: &str) {
        let config = match toml::from_str::<Config>(text) {
            Ok(config) => config,
            Err(e) => return self.problems.push(toml_problem(path, text, &e)),
        };
        let wrong_key =
            config.revoker_key.is_some() && config.pinned_key().is_none_or(|key| key.len() != 32);
        if wrong_key {
            let at = text.find("revoker_key").unwrap_or_default();
            let message = "revoker_key: expected 64 hexadecimal digits (an Ed25519 public key)";
            self.problems
                .push(Problem::at(path, text, at, message.to_owned()));
        }
        self.used = true;
        self.config = config;
    }

    /// The operator's keymap file, if there is one.
    pub(crate) fn keymap_path(&self) -> Option<PathBuf> {
        let beside = || self.dirs.config.as_ref().map(|dir| dir.join("keymap.toml"));
        let found = beside().filter(|path| path.exists());
        self.config.keymap.clone().or(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Loaded {
        let mut loaded = Loaded::default();
        loaded.take(Path::new("f.toml"), text);
        loaded
    }

    #[test]
    fn a_good_file_is_used() {
        let loaded = read("feed_socket = \"/x/feed.sock\"\ntheme = \"light\"\nmouse = true\n");
        assert!(loaded.used && loaded.problems.is_empty());
        assert_eq!(loaded.config.feed_socket, Path::new("/x/feed.sock"));
        assert_eq!(
            loaded.config.operator_socket,
            Config::default().operator_socket
        );
    }

    #[test]
    fn the_shipped_example_is_good_and_names_the_defaults() {
        let loaded = read(include_str!("../../../assets/config/console.toml"));
        assert!(
            loaded.used && loaded.problems.is_empty(),
            "{:?}",
            loaded.problems
        );
        let (named, default) = (loaded.config, Config::default());
        assert_eq!(named.feed_socket, default.feed_socket);
        assert_eq!(named.operator_socket, default.operator_socket);
        assert_eq!(named.append_socket, default.append_socket);
        assert_eq!(named.journal, default.journal);
    }

    #[test]
    fn a_mistake_is_placed_and_the_defaults_stand() {
        for (text, expected) in [
            (
                "theme = 1\n",
                "f.toml:1:9: invalid type: integer `1`, expected a string",
            ),
            (
                "mouse = true\nfeed_sokcet = \"x\"\n",
                "f.toml:2:1: unknown field `feed_sokcet`, expected one of `feed_socket`",
            ),
            ("theme = \n", "f.toml:1:"),
        ] {
            let loaded = read(text);
            let told = loaded.problems[0].to_string();
            assert!(told.starts_with(expected), "{told}");
            assert_eq!(loaded.config, Config::default());
        }
    }

    #[test]
    fn a_pinned_key_of_the_wrong_length_is_told() {
        let told = read("theme = \"mono\"\nrevoker_key = \"abcd\"\n").problems[0].to_string();
        assert!(
            told.starts_with("f.toml:2:1: revoker_key: expected 64"),
            "{told}"
        );
    }

    #[test]
    fn a_named_file_must_exist() {
        let loaded = load(Some("/nonexistent/fusebox.toml".into()));
        assert_eq!(loaded.problems.len(), 1);
        assert!(!loaded.used);
    }
}
