use crate::journal::verify;
use crate::support::program;
use serde_json::{Value, json};
use std::process::Command;

/// `cargo demo -- --headless --scenario crash --seed 7 --json`, whole.
#[test]
fn a_crash_goes_through_all_rungs_and_the_operator_kills_after_the_third() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program("fusebox-demo"))
        .arg("--keep")
        .arg(dir.path())
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
    for (field, value) in [
        ("ok", json!(true)),
        ("schema", json!(1)),
        ("seed", json!(7)),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    let rungs = report["rungs"].as_array().unwrap();
    let names: Vec<_> = rungs.iter().map(|r| r["rung"].as_str().unwrap()).collect();
    assert_eq!(names, ["R1", "R2", "R3", "R4"]);
    assert!(rungs.is_sorted_by_key(|r| r["t_ms"].as_u64().unwrap()));
    assert!(
        rungs
            .iter()
            .all(|r| r["nav"].is_string() && r["basis"].is_string())
    );

    let kill = &report["kill"];
    assert_eq!(
        (&kill["outcome"], &kill["trigger"]),
        (&json!("done"), &json!("operator"))
    );
    assert!(kill["touch_to_dead_ms"].as_u64().is_some());
    assert!(kill["id"].is_string() && kill["residual"].is_object());
    let steps = kill["steps"].as_array().unwrap();
    let named = |s: &Value| s["step"].is_string() && s["state"].is_string();
    assert!(!steps.is_empty() && steps.iter().all(named), "{steps:#?}");
    let keys = kill["keys"].as_array().unwrap();
    let dead: Vec<_> = keys.iter().filter(|k| k["verdict"] == "dead").collect();
    assert_eq!(dead.len(), 3, "{keys:#?}");
    let both = json!(["absent", "refused"]);
    assert!(dead.iter().all(|k| k["proofs"] == both), "{dead:#?}");

    assert_eq!(report["journal"]["verified"], true);
    assert_eq!(report["journal"]["coverage"]["missing"], 0);
    assert_eq!(report["processes"].as_array().unwrap().len(), 4);

    // What is kept verifies afterwards, too, and in another language.
    let kept = verify(&dir.path().join("recorder/journal.db"));
    assert_eq!(kept["ok"], true, "{kept}");
    assert!(kept["entries"].as_u64() >= report["journal"]["entries"].as_u64());
}
