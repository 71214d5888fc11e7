//! The real program in a real pseudo-terminal: what a terminal sees from start to end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use fusebox_domain::{Decimal, Environment, Uid};
use fusebox_wire::feed::{Account, Equity, Message, Section};
use fusebox_wire::{Component, Listener};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for what it expects.
const LIMIT: Duration = Duration::from_secs(20);

/// A console in a terminal of 80×24.
struct Console {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    raw: Vec<u8>,
    dir: tempfile::TempDir,
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Console {
    /// Starts it with this configuration; `{dir}` stands for its directory.
    fn start(config: &str, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, config, env)
    }

    fn start_in(dir: tempfile::TempDir, config: &str, env: &[(&str, &str)]) -> Self {
        let path = dir.path().join("fusebox.toml");
        let config = config.replace("{dir}", dir.path().to_str().unwrap());
        std::fs::write(&path, config).unwrap();
        let pty = native_pty_system().openpty(size(24, 80)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fusebox-console-under-test"));
        command.arg("--config");
        command.arg(&path);
        command.env("TERM", "xterm-256color");
        command.env("XDG_CONFIG_HOME", dir.path());
        command.env("XDG_STATE_HOME", dir.path());
        command.env_remove("NO_COLOR");
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard: pty.master.take_writer().unwrap(),
            master: pty.master,
            output,
            screen: vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0),
            raw: Vec::new(),
            dir,
        }
    }

    fn press(&mut self, bytes: &str) {
        self.keyboard.write_all(bytes.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen satisfies `seen`.
    fn until(&mut self, what: &str, seen: impl Fn(&str) -> bool) {
        let end = Instant::now() + LIMIT;
        while !seen(&self.text()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("never saw {what} on:\n{}", self.text()),
            }
        }
    }

    fn shows(&mut self, words: &str) {
        self.until(words, |text| text.contains(words));
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.screen.process(bytes);
    }

    fn resize(&mut self, rows: u16, cols: u16) {
        self.screen
            .screen_mut()
            .set_size(rows.try_into().unwrap(), cols.try_into().unwrap());
        self.master.resize(size(rows, cols)).unwrap();
    }

    /// Waits for the end; returns the exit code and everything that was written.
    fn end(mut self) -> (u32, String) {
        let status = self.child.wait().unwrap();
        drop(self.keyboard);
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(500)) {
            self.raw.extend_from_slice(&bytes);
        }
        (
            status.exit_code(),
            String::from_utf8_lossy(&self.raw).into_owned(),
        )
    }
}

/// Every mode that was set is unset after the last frame, in whatever order.
fn assert_restored(raw: &str) {
    for (on, off) in [
        ("\x1b[?1049h", "\x1b[?1049l"),
        ("\x1b[?2004h", "\x1b[?2004l"),
        ("\x1b[?1004h", "\x1b[?1004l"),
        ("\x1b[?25l", "\x1b[?25h"),
    ] {
        let (set, unset) = (raw.rfind(on).unwrap(), raw.rfind(off).expect(off));
        assert!(unset > set, "{off:?} is missing at the end");
    }
    assert_eq!(
        raw.matches("\x1b[?2026h").count(),
        raw.matches("\x1b[?2026l").count() - raw.matches("\x1b[?2026l\x1b[?1006l").count(),
        "a frame was not closed"
    );
}

/// A console with nothing to talk to.
const ALONE: &str = "feed_socket = \"{dir}/feed.sock\"\noperator_socket = \"{dir}/operator.sock\"\nappend_socket = \"{dir}/append.sock\"\njournal = \"{dir}/journal.db\"\n";

#[test]
fn it_starts_with_everything_missing_says_so_and_quits_cleanly() {
    let mut console = Console::start(ALONE, &[]);
    console.shows("FUSEBOX");
    console.shows("NOT ARMED: no revoker");
    console.shows("feed.sock does not exist");
    assert!(console.screen.screen().alternate_screen());
    console.press("q");
    let (code, raw) = console.end();
    assert_eq!(code, 0);
    assert_restored(&raw);
}

#[test]
fn a_split_escape_sequence_is_never_letters() {
    let mut console = Console::start(ALONE, &[]);
    console.shows("FUSEBOX");
    console.press(":");
    console.shows("Command");
    for part in [
        "\x1b",
        "[",
        "B",
        "\x1b[",
        "A",
        "\x1b[1;",
        "5A",
        "\x1b]11;rgb:00",
        "00\x1b",
        "\\",
    ] {
        console.press(part);
    }
    console.press("rotate");
    console.until("the palette with only what was typed", |text| {
        text.contains(": rotate ") && text.contains("Command")
    });
    console.press("\x03\x1b");
    console.until("the palette closed", |text| !text.contains("Command"));
    console.press("q");
    assert_eq!(console.end().0, 0);
}

#[test]
fn every_size_down_to_one_cell_is_survived() {
    let mut console = Console::start(ALONE, &[]);
    console.shows("FUSEBOX");
    for (rows, cols) in [(50, 200), (1, 1), (4, 20), (2, 3)] {
        console.resize(rows, cols);
    }
    console.resize(24, 80);
    console.shows("no account yet");
    console.press("q");
    assert_eq!(console.end().0, 0);
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let mut console = Console::start(ALONE, &[]);
    console.shows("FUSEBOX");
    let pid = i32::try_from(console.child.process_id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let (code, raw) = console.end();
    assert_eq!(code, 0);
    assert_restored(&raw);
}

#[test]
fn a_wrong_configuration_is_told_with_its_place_and_the_console_starts() {
    let mut console = Console::start("theme = \"dark\"\n  feed_sokcet = \"x\"\n", &[]);
    console.shows("fusebox.toml:2:3:");
    console.press("q");
    assert_eq!(console.end().0, 0);
}

#[test]
fn without_colour_highlights_stay() {
    let mut console = Console::start(ALONE, &[("NO_COLOR", "1")]);
    console.shows("NO DATA");
    console.press("q");
    let (_, raw) = console.end();
    assert!(!raw.contains("38;5;") && !raw.contains("48;5;"), "a colour");
    assert!(raw.contains("\x1b[7m"), "no highlight");
}

#[test]
fn a_draft_survives_a_killed_console() {
    let mut console = Console::start(ALONE, &[]);
    console.shows("FUSEBOX");
    console.press("n");
    console.shows("NOTE");
    console.press("remember the funding at eight");
    console.until("the whole text, kept", |text| {
        text.contains("funding at eight") && text.contains("draft kept")
    });
    console.child.kill().unwrap();
    console.child.wait().unwrap();
    let dir = console.dir;
    let mut console = Console::start_in(dir, ALONE, &[]);
    console.shows("FUSEBOX");
    console.press("n");
    console.shows("remember the funding at eight");
    // Closing keeps it; the guard after Esc does not hold a harmless key.
    console.press("\x1b");
    console.until("the editor closed", |text| !text.contains("NOTE"));
    console.press("q");
    assert_eq!(console.end().0, 0);
}

#[test]
fn a_feed_is_shown_and_its_loss_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let path = dir.path().join("feed.sock");
    let (lose, lost) = tokio::sync::oneshot::channel::<()>();
    let served = runtime.spawn(serve(path, lost));
    let mut console = Console::start_in(dir, ALONE, &[]);
    console.shows("trading-1");
    console.shows("3,612.40 USDT");
    console.shows("breaker ●");
    lose.send(()).unwrap();
    console.shows("breaker ✖");
    runtime.block_on(served).unwrap();
    console.press("q");
    assert_eq!(console.end().0, 0);
}

/// A breaker that tells who it is and what the equity is, until it is lost.
async fn serve(path: impl AsRef<Path>, lost: tokio::sync::oneshot::Receiver<()>) {
    let listener = Listener::bind(path.as_ref(), Component::Breaker, &[]).unwrap();
    let (mut frames, _) = listener.accept().await.unwrap().greet().await.unwrap();
    let account = Section::Account(Account {
        account: "trading-1".into(),
        uid: Uid::new("1"),
        venue: "bybit".to_owned(),
        environment: Environment::Testnet,
        auto_revoke: "on".to_owned(),
        armed: true,
        not_armed_because: None,
        config_hash: String::new(),
        started_ms: 0,
    });
    let equity = Section::Equity(Equity {
        wallet_usdt: Some(Decimal::new(361_240, 2)),
        wallet_age_ms: Some(0),
        replayed_usdt: None,
        replayed_age_ms: None,
        agree: None,
        disagreement_bp: None,
        nav: None,
        per_hour_usdt: None,
        exchange_ms: None,
    });
    for (seq, section) in (1..).zip([account, equity]) {
        let message = Message {
            seq,
            sent_ms: 0,
            section,
        };
        frames.send(&message).await.unwrap();
    }
    lost.await.unwrap();
}

#[test]
fn verbs_speak_json_and_exit_as_promised() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("fusebox.toml");
    std::fs::write(
        &config,
        ALONE.replace("{dir}", dir.path().to_str().unwrap()),
    )
    .unwrap();
    let run = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_fusebox-console-under-test"))
            .arg("--config")
            .arg(&config)
            .args(args)
            .env("XDG_STATE_HOME", dir.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    for (args, code) in [
        (&["status", "--json"][..], 1),
        (&["kill", "--json"], 1),
        (&["rotate", "--due", "--json"], 1),
        (&["keys", "--json"], 1),
        (&["drill", "--json"], 1),
        (&["doctor", "--json"], 1),
        (&["journal", "verify", "--db", "nowhere.db", "--json"], 1),
        (&["journal", "coverage", "--json"], 1),
    ] {
        let (got, stdout) = run(args);
        assert_eq!(got, code, "{args:?}");
        let object: serde_json::Value = serde_json::from_str(&stdout).expect("one JSON object");
        assert_eq!(object["schema"], 1, "{args:?}");
    }
    assert_eq!(run(&["kill", "--touch", "nose"]).0, 2);
    let (code, man) = run(&["man"]);
    assert!(code == 0 && man.contains(".TH fusebox"));
    let (code, completions) = run(&["completions", "bash"]);
    assert!(code == 0 && completions.contains("_fusebox"));
}
