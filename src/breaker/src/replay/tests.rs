use super::*;
use serde_json::{Value, json};

fn replay(lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (output, result) = replay_text(input.as_bytes());
    assert_eq!(result.unwrap(), lines.len() as u64);
    output
}

fn replay_text(input: &[u8]) -> (Vec<Value>, Result<u64, ReplayError>) {
    let mut output = Vec::new();
    let result = run(input, &mut output, Config::default());
    let text = String::from_utf8(output).unwrap();
    (
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        result,
    )
}

fn sample(second: i64, equity: &str) -> Value {
    json!({"t_ms": second * 1000, "equity": equity, "flows": []})
}

fn last(output: &[Value]) -> &Value {
    output.last().unwrap()
}

#[test]
fn the_contract_line_by_line() {
    let output = replay(&[
        sample(0, "4000"),
        sample(1, "3800.00"),
        sample(2, "3800.00"),
        sample(3, "3800.00"),
    ]);
    let day_loss = |bp| json!({"day": bp, "week": bp, "month": bp, "hwm": bp, "day_rolling": bp, "week_rolling": bp, "month_rolling": bp});
    assert_eq!(
        output[2],
        json!({"t_ms": 2000, "nav": "0.950000000000", "dd_bp": day_loss(0), "tripped": [], "latched": [], "actions": [],
            "room": {"R1": "0.00", "R2": "120.00", "R3": "400.00", "R4": "520.00"}, "blind": null})
    );
    assert_eq!(
        output[3],
        json!({"t_ms": 3000, "nav": "0.950000000000", "dd_bp": day_loss(-500), "tripped": ["R1"], "latched": ["R1"],
            "actions": ["alert"], "room": {"R1": "0.00", "R2": "120.00", "R3": "400.00", "R4": "520.00"}, "blind": null})
    );
}

#[test]
fn gravest_action_first_and_each_once() {
    let mut lines = vec![sample(0, "4000")];
    lines.extend((1..6).map(|second| sample(second, "3200")));
    let output = replay(&lines);
    assert_eq!(
        output[3]["actions"],
        json!(["kill", "scale_zero", "reduce", "alert"])
    );
    assert_eq!(output[4]["actions"], json!([]));
    assert_eq!(output[4]["latched"], json!(["R1", "R2", "R3", "R4"]));
}

#[test]
fn a_late_row_trips_at_its_arrival() {
    // L18: 4600, then the row for +1000 that explains it.
    let mut lines = vec![sample(0, "4000")];
    lines.extend((1..6).map(|second| sample(second, "4600")));
    let row = json!([{"id": "a", "t_ms": 1000, "type": "TRANSFER_IN", "amount": "1000"}]);
    lines.push(json!({"t_ms": 6000, "equity": "4600", "flows": row}));
    lines.push(json!({"t_ms": 7000, "equity": "4600", "flows": row}));
    let output = replay(&lines);
    assert_eq!(output[5]["nav"], "1.150000000000");
    // Units are rounded up (L2): 0.9 is shown from below once a flow made them a fraction.
    assert_eq!(output[6]["nav"], "0.899999999999");
    assert_eq!(output[6]["latched"], json!(["R1", "R2"]));
    assert_eq!(output[6]["actions"], json!(["reduce", "alert"]));
    assert_eq!(output[6]["dd_bp"]["hwm"], -1000);
    assert_eq!(output[7]["actions"], json!([]));
}

#[test]
fn a_late_row_takes_back_r1_and_r2_and_leaves_what_was_executed() {
    let mut lines = vec![sample(0, "4000")];
    lines.extend((1..6).map(|second| sample(second, "3000")));
    let row = json!([{"id": "a", "t_ms": 1000, "type": "TRANSFER_OUT", "amount": "-1000"}]);
    lines.push(json!({"t_ms": 6000, "blind": true, "flows": row}));
    lines.push(sample(7, "3000"));
    let output = replay(&lines);
    assert_eq!(output[5]["latched"], json!(["R1", "R2", "R3", "R4"]));
    assert_eq!(output[6]["latched"], json!(["R3", "R4"]));
    assert_eq!(output[6]["tripped"], json!([]));
    assert_eq!(output[6]["actions"], json!(["release"]));
    assert_eq!(output[6]["nav"], "1.000000000000");
    assert_eq!(output[7]["room"]["R4"], "540.00");
}

#[test]
fn a_row_more_than_a_quarter_of_an_hour_late_is_an_incident() {
    let late = |late_ms: i64| {
        let mut lines: Vec<Value> = (0..=1_000).map(|second| sample(second, "4000")).collect();
        let row =
            json!([{"id": "a", "t_ms": 1_001_000 - late_ms, "type": "DEPOSIT", "amount": "400"}]);
        lines.push(json!({"t_ms": 1_001_000, "equity": "4000", "flows": row}));
        replay(&lines).pop().unwrap()
    };
    assert_eq!(late(900_000)["nav"], "0.899999999999");
    assert_eq!(late(900_000)["incidents"], Value::Null);
    assert_eq!(late(900_001)["nav"], "1.000000000000");
    assert_eq!(late(900_001)["incidents"][0]["flow"], "a");
}

#[test]
fn example_40_a_row_delivered_twice_counts_once() {
    let row = json!({"id": "a", "t_ms": 1000, "type": "TRANSFER_IN", "amount": "1000"});
    let line = |second: i64, rows: &[&Value]| json!({"t_ms": second * 1000, "equity": "5000", "flows": rows});
    let output = replay(&[
        sample(0, "4000"),
        line(1, &[&row, &row]),
        line(2, &[&row]),
        line(3, &[]),
    ]);
    assert_eq!(last(&output)["nav"], "1.000000000000");
    assert_eq!(last(&output)["latched"], json!([]));

    let mut other = row.clone();
    other["amount"] = json!("900");
    let output = replay(&[sample(0, "4000"), line(1, &[&row]), line(2, &[&other])]);
    assert_eq!(last(&output)["nav"], "1.000000000000");
    assert_eq!(last(&output)["incidents"][0]["flow"], "a");
}

#[test]
fn silence_between_lines_counts() {
    let mut lines = vec![
        sample(0, "4000"),
        sample(400, "4000"),
        sample(401, "4000"),
        sample(402, "4000"),
    ];
    lines.push(json!({"t_ms": 417_000, "blind": true}));
    let output = replay(&lines);
    assert_eq!(
        output[1]["actions"],
        json!(["blind_warn", "blind_stop", "blind_zero"])
    );
    assert_eq!(output[3]["blind"], "B3");
    assert_eq!(output[4]["actions"], json!(["blind_warn"]));

    let output = replay(&[
        sample(0, "4000"),
        json!({"t_ms": 14_999, "blind": true}),
        json!({"t_ms": 15_000, "blind": true}),
    ]);
    assert_eq!(
        (&output[1]["blind"], &output[2]["blind"]),
        (&Value::Null, &json!("B1"))
    );
}

#[test]
fn disputed_repeated_and_old_lines_are_missing_samples() {
    let disputed =
        |second: i64| json!({"t_ms": second * 1000, "equity": "3000", "equity2": "3100"});
    let output = replay(&[
        sample(0, "4000"),
        disputed(1),
        disputed(2),
        disputed(3),
        sample(3, "4000"),
        sample(2, "3000"),
        sample(3, "3000"),
    ]);
    for answer in &output {
        assert_eq!(
            (&answer["nav"], &answer["tripped"]),
            (&json!("1.000000000000"), &json!([]))
        );
    }
}

#[test]
fn a_flow_waits_for_an_accepted_sample() {
    let row = json!([{"id": "a", "t_ms": 1000, "type": "TRANSFER_OUT", "amount": "-1000"}]);
    let output = replay(&[
        sample(0, "4000"),
        json!({"t_ms": 1000, "equity": "3000", "equity2": "3900", "flows": row}),
        json!({"t_ms": 2000, "equity": "3000"}),
    ]);
    assert_eq!(last(&output)["nav"], "1.000000000000");
}

#[test]
fn a_bad_line_is_named_and_nothing_before_it_is_lost() {
    for (bad, expected) in [
        (
            &b"{\"t_ms\":2000,\"equity\":\"38x\"}\n"[..],
            "equity: \"38x\" is not an amount",
        ),
        (b"{\"t_ms\":2000}", "either \"equity\" or \"blind\":true"),
        (
            b"{\"t_ms\":2000,\"equity\":3800}",
            "column 26: invalid type: integer",
        ),
        (b"{\"t_ms\":-1,\"equity\":\"1\"}", "-1 is no time"),
        (
            b"{\"t_ms\":2000,\"equity\":\"1\",\"flows\":[{\"id\":\"a\"}]}",
            "missing field",
        ),
        (b"{\"t_ms\":2000,", "EOF"),
        (b"\xff\xfe\n", "not UTF-8"),
        (&[b'['; 10_000], "column"),
        (&[b' '; MAX_LINE_BYTES + 1], "longer than"),
    ] {
        let mut input =
            b"{\"t_ms\":0,\"equity\":\"4000\"}\n\n{\"t_ms\":1000,\"equity\":\"4000\"}\n".to_vec();
        input.extend_from_slice(bad);
        let (output, result) = replay_text(&input);
        assert_eq!(output.len(), 2);
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with("line 4: ") && message.contains(expected),
            "{message}"
        );
    }
    let (output, result) = replay_text(b"{\"t_ms\":0,\"blind\":true}\n");
    assert!(
        output.is_empty()
            && result
                .unwrap_err()
                .to_string()
                .contains("the first line funds the account")
    );
}
