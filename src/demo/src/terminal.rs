//! The demo in a terminal: the console in front, everything else behind it.

use crate::build::Bins;
use crate::world::World;
use crate::{Args, Error};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Runs until the console ends or a signal comes.
pub(crate) async fn play(args: &Args, bins: Bins) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Error::NoTerminal);
    }
    let saved = tcgetattr(std::io::stdin())
        .map_err(|e| Error::io("reading the terminal's settings")(e.into()))?;
    eprintln!(
        "fusebox: starting the simulated world, scenario {} …",
        args.scenario.as_str()
    );
    let mut world = World::start(args, &bins).await?;
    let console = Command::new(bins.path("fusebox"))
        .arg("--config")
        .arg(world.console_config())
        .arg("--parent-bound")
        .envs(world.console_env())
        .stdin(Stdio::inherit())
        .kill_on_drop(true)
        .spawn();
    let mut console = console.map_err(Error::io("starting the console"))?;
    let mut term = signal(SignalKind::terminate()).map_err(Error::io("listening for signals"))?;
    let mut hup = signal(SignalKind::hangup()).map_err(Error::io("listening for signals"))?;
    // Ctrl-C reaches the whole foreground group; what it means is the console's affair.
    let mut int = signal(SignalKind::interrupt()).map_err(Error::io("listening for signals"))?;
    let status = loop {
        tokio::select! {
            status = console.wait() => break status.map_err(Error::io("waiting for the console"))?,
            () = world.processes.supervise() => {}
            _ = int.recv() => {}
            _ = term.recv() => ask_to_end(&console),
            _ = hup.recv() => ask_to_end(&console),
        }
    };
    if status.signal().is_some() {
        restore(&saved);
        eprintln!("fusebox: the console was killed ({status}); the terminal is restored");
    }
    world.end().await;
    Ok(status.success())
}

/// SIGTERM lets the console restore the terminal itself.
fn ask_to_end(console: &tokio::process::Child) {
    let pid = console
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Undoes what a killed console could not: every mode that it may have set.
fn restore(saved: &Termios) {
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, saved);
    // Synchronized output, mouse, focus, paste, keyboard flags, alternate screen, colours, cursor.
    let modes = "\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?1049l\x1b[0m\x1b[?25h";
    let mut out = std::io::stdout();
    let _ = out.write_all(modes.as_bytes()).and_then(|()| out.flush());
}
