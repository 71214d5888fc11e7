//! Whatever dies, nothing is left behind.

use crate::support::program;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The children of a process, as the kernel lists them.
fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_process() {
    // The files of a killed demo stay behind; here they go with the test.
    let files = tempfile::tempdir().unwrap();
    let mut demo = Command::new(program("fusebox-demo"))
        .env("TMPDIR", files.path())
        .args(["--no-build", "--headless", "--scenario", "calm"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("four daemons", Duration::from_secs(40), || {
        children(demo.id()).len() == 4
    });
    let daemons = children(demo.id());
    demo.kill().unwrap();
    demo.wait().unwrap();
    let gone = |pid: &u32| !Path::new(&format!("/proc/{pid}/exe")).exists();
    wait_until("no daemon", Duration::from_secs(20), || {
        daemons.iter().all(gone)
    });
}

#[test]
fn the_simulator_ends_with_its_starter() {
    let mut sim = Command::new(program("fusebox-sim"))
        .args(["--listen", "127.0.0.1:0", "--print-endpoints", "--lifeline"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sim.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"bybit\""), "{line}");
    drop(sim.stdin.take());
    assert!(sim.wait().unwrap().success());
}
