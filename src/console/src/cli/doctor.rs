//! `fusebox doctor`: everything that the console depends on, tried for real.

use super::out::{Code, Out};
use crate::app::run::Places;
use crate::client::{self, Address};
use crate::config::Loaded;
use crate::keymap::Keymap;
use crate::theme::Theme;
use fusebox_authenticator::SoftKey;
use fusebox_wire::operator::Status;
use serde::Serialize;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Default, Serialize)]
struct Checks {
    checks: Vec<Check>,
}

impl Checks {
    fn add(&mut self, check: &'static str, verdict: Verdict, detail: impl Into<String>) {
        let detail = fusebox_domain::clean_line(&detail.into(), 400);
        self.checks.push(Check {
            check,
            verdict,
            detail,
        });
    }
}

pub(super) async fn doctor(out: &Out, loaded: &Loaded, places: &Places) -> ExitCode {
    let mut checks = Checks::default();
    configuration(&mut checks, loaded);
    terminal(&mut checks);
    socket(&mut checks, "breaker socket", &places.feed).await;
    socket(&mut checks, "recorder socket", &places.recorder).await;
    socket(&mut checks, "revoker socket", &places.revoker).await;
    journal(&mut checks, &places.journal);
    match revoker(&places.revoker).await {
        Ok(status) => enrolled(&mut checks, loaded, places, &status),
        Err(e) => checks.add("enrolled keys", Verdict::Fail, format!("unknown: {e}")),
    }
    touch(&mut checks, places);
    out.object(&checks);
    for check in &checks.checks {
        let word = match check.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        out.line(&format!("{word}  {:<16} {}", check.check, check.detail));
    }
    match checks.checks.iter().any(|c| c.verdict == Verdict::Fail) {
        true => Code::Failed.into(),
        false => Code::Done.into(),
    }
}

fn configuration(checks: &mut Checks, loaded: &Loaded) {
    let path = loaded
        .path
        .as_deref()
        .map_or_else(|| "none".to_owned(), |p| p.display().to_string());
    match (loaded.problems.first(), loaded.used) {
        (None, true) => checks.add("configuration", Verdict::Ok, path),
        (None, false) => checks.add(
            "configuration",
            Verdict::Ok,
            format!("defaults ({path} is not there)"),
        ),
        (Some(_), _) => {
            for problem in &loaded.problems {
                checks.add("configuration", Verdict::Fail, problem.to_string());
            }
        }
    }
    let (_, problems) = Keymap::load(loaded.keymap_path().as_deref());
    match problems.is_empty() {
        true => checks.add(
            "keymap",
            Verdict::Ok,
            loaded
                .keymap_path()
                .map_or_else(|| "as shipped".to_owned(), |p| p.display().to_string()),
        ),
        false => problems
            .iter()
            .for_each(|p| checks.add("keymap", Verdict::Warn, p.to_string())),
    }
    let name = loaded.config.theme.as_deref().unwrap_or("default");
    let (theme, problems) = Theme::load(name, loaded.dirs.config.as_deref(), false);
    match problems.first() {
        None => checks.add("theme", Verdict::Ok, theme.name),
        Some(problem) => checks.add("theme", Verdict::Warn, problem.to_string()),
    }
    if let Some(state) = &loaded.dirs.state {
        let writable = std::fs::create_dir_all(state).and_then(|()| std::fs::metadata(state));
        match writable {
            Ok(meta) if !meta.permissions().readonly() => {
                checks.add("drafts", Verdict::Ok, state.display().to_string())
            }
            Ok(_) => checks.add(
                "drafts",
                Verdict::Warn,
                format!(
                    "{} is not writable: drafts live in memory only",
                    state.display()
                ),
            ),
            Err(e) => checks.add("drafts", Verdict::Warn, format!("{}: {e}", state.display())),
        }
    }
}

fn terminal(checks: &mut Checks) {
    let term = std::env::var("TERM").unwrap_or_default();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_default();
    let utf8 = locale
        .to_ascii_lowercase()
        .replace('-', "")
        .contains("utf8");
    let size = crate::term::guard::open_tty()
        .ok()
        .and_then(|tty| rustix::termios::tcgetwinsize(&tty).ok());
    match size {
        None => checks.add(
            "terminal",
            Verdict::Warn,
            "none here; the verbs work without one",
        ),
        Some(size) => {
            let words = format!("{term}, {}×{}", size.ws_col, size.ws_row);
            let verdict =
                if size.ws_col < 80 || size.ws_row < 24 || term.is_empty() || term == "dumb" {
                    Verdict::Warn
                } else {
                    Verdict::Ok
                };
            checks.add("terminal", verdict, words);
        }
    }
    match utf8 || locale.is_empty() {
        true => checks.add(
            "locale",
            Verdict::Ok,
            if locale.is_empty() {
                "none set".to_owned()
            } else {
                locale
            },
        ),
        false => checks.add(
            "locale",
            Verdict::Warn,
            format!("{locale} is not UTF-8: lines and glyphs may be wrong"),
        ),
    }
}

async fn socket(checks: &mut Checks, name: &'static str, address: &Address) {
    let path = &address.path;
    let owner = match std::fs::symlink_metadata(path) {
        Err(_) => {
            return checks.add(
                name,
                Verdict::Fail,
                format!("{} does not exist: is the daemon running?", path.display()),
            );
        }
        Ok(meta) if !meta.file_type().is_socket() => {
            return checks.add(
                name,
                Verdict::Fail,
                format!("{} is not a socket", path.display()),
            );
        }
        Ok(meta) => meta.uid(),
    };
    match address.connect().await {
        Ok(_) => {
            let expected = address.owner.map_or_else(
                || ", any owner accepted (socket_owner is not set)".to_owned(),
                |_| String::new(),
            );
            checks.add(
                name,
                Verdict::Ok,
                format!(
                    "{}, owner uid {owner}{expected}, protocol {}",
                    path.display(),
                    fusebox_wire::PROTOCOL
                ),
            );
        }
        Err(e) => checks.add(name, Verdict::Fail, e.to_string()),
    }
}

fn journal(checks: &mut Checks, path: &Path) {
    let opened = fusebox_journal::Reader::open(path)
        .and_then(|reader| Ok((reader.last_seq()?, reader.is_stopped())));
    match opened {
        Ok((rows, false)) => checks.add(
            "journal",
            Verdict::Ok,
            format!("{}, {rows} entries", path.display()),
        ),
        Ok((rows, true)) => checks.add(
            "journal",
            Verdict::Warn,
            format!(
                "{}, {rows} entries; no recorder has it open",
                path.display()
            ),
        ),
        Err(e) => checks.add("journal", Verdict::Fail, e.to_string()),
    }
}

async fn revoker(address: &Address) -> Result<Status, fusebox_wire::Error> {
    client::revoker::status(&mut address.connect().await?).await
}

fn enrolled(checks: &mut Checks, loaded: &Loaded, places: &Places, status: &Status) {
    let labels: Vec<&str> = status.devices.iter().map(|d| d.label.as_str()).collect();
    let verdict = if status.armed {
        Verdict::Ok
    } else {
        Verdict::Fail
    };
    let word = if status.armed {
        "armed"
    } else {
        "NOT ARMED (two devices needed)"
    };
    checks.add(
        "enrolled keys",
        verdict,
        format!("{word}: {}", labels.join(", ")),
    );
    let told = hex::decode(&status.public_key).ok();
    match (&places.trust.key, told) {
        (None, _) => checks.add(
            "pinned revoker",
            Verdict::Warn,
            format!(
                "revoker_key is not set: results are shown as UNTRUSTED; it says {}",
                status.public_key
            ),
        ),
        (Some(pinned), Some(told)) if *pinned == told => {
            checks.add("pinned revoker", Verdict::Ok, "its key is the pinned one")
        }
        (Some(_), _) => checks.add(
            "pinned revoker",
            Verdict::Fail,
            "another key answers than the pinned one: do not approve anything",
        ),
    }
    if loaded.config.demo_key.is_some() && !status.environment.accepts_demo_key() {
        checks.add(
            "demo key",
            Verdict::Warn,
            format!(
                "configured, but the revoker is in {} and refuses it",
                status.environment
            ),
        );
    }
}

fn touch(checks: &mut Checks, places: &Places) {
    if let Some(path) = &places.demo_key {
        return match SoftKey::open(path) {
            Ok(_) => checks.add("touch", Verdict::Ok, "the demo's software key"),
            Err(e) => checks.add("touch", Verdict::Fail, e.to_string()),
        };
    }
    match std::env::var_os("SSH_AUTH_SOCK") {
        Some(path) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
            checks.add("touch", Verdict::Ok, "an SSH agent answers")
        }
        Some(path) => checks.add(
            "touch",
            Verdict::Fail,
            format!(
                "the SSH agent at {} does not answer: reconnect with ssh -A",
                Path::new(&path).display()
            ),
        ),
        None => checks.add(
            "touch",
            Verdict::Fail,
            "no SSH agent (SSH_AUTH_SOCK): connect with ssh -A",
        ),
    }
}
