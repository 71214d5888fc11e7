use crate::support::program;
use serde_json::Value;
use std::process::Command;

/// `cargo demo -- --headless --scenario crash --seed 7 --json`, whole.
#[test]
fn a_crash_goes_through_all_rungs_and_the_operator_kills_after_the_third() {
    let output = Command::new(program("fusebox-demo"))
        .args([
            "--no-build",
            "--headless",
            "--scenario",
            "crash",
            "--seed",
            "7",
            "--json",
        ])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    assert!(output.status.success(), "{:#}", report["failures"]);
    assert_eq!(report["ok"], true);
    let rungs: Vec<_> = report["rungs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["rung"].as_str().unwrap())
        .collect();
    assert_eq!(rungs, ["R1", "R2", "R3", "R4"]);
    assert_eq!(report["kill"]["outcome"], "done");
    assert_eq!(report["kill"]["trigger"], "operator");
    assert!(report["kill"]["touch_to_dead_ms"].as_u64().is_some());
    assert_eq!(report["journal"]["verified"], true);
    assert_eq!(report["journal"]["coverage"]["missing"], 0);
}
