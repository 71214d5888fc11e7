//! A configuration with a typo is refused with its place; the shipped examples are right.

use crate::support::{ends, program, repository, world};
use std::process::Command;

const DAEMONS: [&str; 3] = ["breaker", "recorder", "revoker"];

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_named_with_its_place_and_what_was_expected() {
    let mut world = world(&["--scenario", "calm"]).await;
    for name in DAEMONS {
        let good = world.root().join(format!("{name}/{name}.toml"));
        let good = std::fs::read_to_string(good).unwrap();
        // The line number moves with the comment: it is the real one.
        let typo = world.root().join(format!("{name}/typo.toml"));
        std::fs::write(&typo, format!("# a comment\n  tpyo = 1\n{good}")).unwrap();
        for check in [&["--check"][..], &[]] {
            let mut daemon = Command::new(program(&format!("fusebox-{name}")));
            let (code, said) = ends(daemon.arg("--config").arg(&typo).args(check));
            assert_eq!(code, 2, "{name}: {said}");
            let place = format!("{}:2:3: unknown field `tpyo`, expected", typo.display());
            assert!(said.contains(&place), "{name}: {said}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_says_a_typo_and_changes_nothing_with_it() {
    let mut world = world(&["--scenario", "calm"]).await;
    let typo = world.root().join("console/typo.toml");
    let good = std::fs::read_to_string(world.console_config()).unwrap();
    std::fs::write(&typo, format!("tpyo = 1\n{good}")).unwrap();
    let fusebox = |verb: &[&str]| {
        let mut command = Command::new(program("fusebox"));
        command.arg("--config").arg(&typo).args(verb);
        let (code, said) = ends(command.envs(world.console_env()));
        let place = format!("{}:1:1: unknown field `tpyo`, expected", typo.display());
        assert!(said.contains(&place), "{said}");
        code
    };
    assert_eq!(fusebox(&["kill"]), 2);
    assert_eq!(fusebox(&["status"]), 2);
    // What needs no configuration works without one.
    let db = world.journal_db();
    assert_eq!(
        fusebox(&["journal", "verify", "--db", db.to_str().unwrap()]),
        0
    );
    world.end().await;
}

#[test]
fn the_examples_are_valid() {
    for name in DAEMONS {
        let example = repository(&format!("assets/config/{name}.toml"));
        let mut daemon = Command::new(program(&format!("fusebox-{name}")));
        let (code, said) = ends(daemon.arg("--config").arg(&example).arg("--check"));
        assert_eq!(code, 0, "{name}: {said}");
    }
    // Nothing of the console's example is connected here; its file must be understood all the same.
    let mut fusebox = Command::new(program("fusebox"));
    let example = repository("assets/config/console.toml");
    let output = fusebox.arg("--config").arg(&example).arg("doctor").output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = said.lines().find(|line| line.contains("configuration"));
    assert!(line.is_some_and(|line| line.starts_with("ok")), "{said}");
}
