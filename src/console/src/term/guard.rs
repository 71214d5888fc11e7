//! The terminal's modes: set together, undone together, on every way out.
//!
//! Undone by `Drop`, by the panic hook (of the thread that owns the terminal, not of any other),
//! before a suspension and before `$EDITOR`. SIGTERM and SIGHUP end the loop, which drops it.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Alternate screen, bracketed paste, focus reports; the cursor is hidden by the first frame.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?2004h\x1b[?1004h\x1b[?25l\x1b[2J";
/// The reverse of everything that was or may have been set, in any order of failure.
const LEAVE: &[u8] =
    b"\x1b[?2026l\x1b[?1006l\x1b[?1002l\x1b[?1000l\x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";
/// Buttons and wheel, in the SGR form.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";

/// The sequence that switches mouse reports.
pub(crate) fn mouse(on: bool) -> &'static [u8] {
    if on { MOUSE_ON } else { MOUSE_OFF }
}

/// The controlling terminal.
pub(crate) const TTY: &str = "/dev/tty";

/// Opens the controlling terminal anew for writing, so that its flags are not shared with the
/// shell.
pub(crate) fn open_tty() -> io::Result<File> {
    std::fs::OpenOptions::new().write(true).open(TTY)
}

#[derive(Debug)]
struct Modes {
    tty: File,
    saved: Termios,
    entered: AtomicBool,
}

/// Holds the terminal in the console's modes.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Modes>);

impl Guard {
    /// Remembers the terminal's settings and enters the console's modes.
    pub(crate) fn enter() -> io::Result<Self> {
        let tty = open_tty()?;
        let saved = tcgetattr(&tty)?;
        let guard = Self(Arc::new(Modes {
            tty,
            saved,
            entered: AtomicBool::new(false),
        }));
        guard.resume()?;
        Ok(guard)
    }

    /// Enters the modes (again).
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.0.entered.store(true, Ordering::Release);
        let mut raw = self.0.saved.clone();
        raw.make_raw();
        tcsetattr(&self.0.tty, OptionalActions::Now, &raw)?;
        (&self.0.tty).write_all(ENTER)
    }

    /// Gives the terminal back as it was found. Safe to call twice.
    pub(crate) fn leave(&self) {
        if self.0.entered.swap(false, Ordering::AcqRel) {
            let _ = (&self.0.tty).write_all(LEAVE);
            let _ = tcsetattr(&self.0.tty, OptionalActions::Drain, &self.0.saved);
        }
    }

    /// Restores the terminal before a panic of *this* thread prints; a panic of another thread
    /// leaves a living screen alone.
    pub(crate) fn hook_panics(&self) {
        let guard = self.clone();
        let owner = std::thread::current().id();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == owner {
                guard.leave();
                before(info);
            }
        }));
    }

    /// Stops the whole job, as ^Z does in a program that leaves it to the terminal, and enters
    /// the modes again when it is continued.
    pub(crate) fn suspend(&self) -> io::Result<()> {
        self.leave();
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        self.resume()
    }
}

/// The outermost owner: leaving its scope gives the terminal back.
#[derive(Debug)]
pub(crate) struct Scoped(pub(crate) Guard);

impl Drop for Scoped {
    fn drop(&mut self) {
        self.0.leave();
    }
}
