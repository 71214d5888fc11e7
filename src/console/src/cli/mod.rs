//! The verbs. Each works without a terminal, takes `--json`, and exits 0 done, 1 failed or
//! refused, 2 usage, 3 partly done or unknown.

mod doctor;
mod journal;
mod look;
mod out;
mod run;

use crate::app::run::Places;
use crate::config::{self, Loaded};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use out::{Code, Out};
use std::path::PathBuf;
use std::process::ExitCode;

/// The fuse box of a crypto trading bot: without a verb, the console.
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed or refused, 2 usage, 3 partly done or unknown."
)]
pub(crate) struct Args {
    /// Configuration file; otherwise $FUSEBOX_CONFIG, otherwise fusebox/fusebox.toml in the XDG configuration directory
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object on stdout, with "schema": 1
    #[arg(long, global = true)]
    json: bool,
    /// End with the parent process (used by the demo)
    #[arg(long, hide = true)]
    parent_bound: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Equity, ladder, positions, components: what is true now
    Status,
    /// Revoke every key that can trade or move money, and prove it
    Kill(run::KillArgs),
    /// Replace keys: make, prove, store, restart the bot, kill the old one
    Rotate(run::RotateArgs),
    /// Release a latched rung
    Resume(run::ResumeArgs),
    /// The key registry: declared and observed
    Keys,
    /// Try everything that a kill needs, without doing it
    Drill,
    /// Read, annotate and verify the journal
    #[command(subcommand)]
    Journal(journal::JournalVerb),
    /// Enrol a security key
    Enroll,
    /// Check sockets, versions, configuration, enrolled keys and the terminal
    Doctor,
    /// Guided set-up
    Init,
    /// The whole of Fusebox on a simulated world
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments of fusebox-demo
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The manual page, in roff
    Man,
}

/// Which way a touch takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Touch {
    /// A key in this machine
    Usb,
    /// A key behind the SSH agent
    Agent,
    /// What is there
    #[default]
    Auto,
}

pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let out = Out::new(args.json);
    let loaded = config::load(args.config.clone());
    match args.verb {
        None => console(&loaded, args.parent_bound),
        Some(Verb::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "fusebox", &mut text);
            out.raw(&text);
            ExitCode::SUCCESS
        }
        Some(Verb::Man) => {
            let mut text = Vec::new();
            let made = clap_mangen::Man::new(Args::command()).render(&mut text);
            out.raw(&text);
            if made.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Some(Verb::Demo { args }) => demo(&out, &args),
        Some(verb) => {
            // The console shows them on screen; a verb says them and goes on with the defaults,
            // but nothing that changes something runs on a configuration that was not read.
            for problem in &loaded.problems {
                out.complain(&problem.to_string());
            }
            let named = args.config.is_some() || std::env::var_os("FUSEBOX_CONFIG").is_some();
            let harmless = matches!(verb, Verb::Doctor | Verb::Journal(_));
            if !loaded.problems.is_empty()
                && !harmless
                && (named || loaded.path.as_ref().is_some_and(|p| p.exists()))
            {
                return out.wrong_use(
                    "config",
                    "the configuration cannot be used; nothing was asked or done",
                );
            }
            match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => {
                    let code = runtime.block_on(serve(&out, &loaded, verb));
                    runtime.shutdown_background();
                    code
                }
                Err(e) => out.fail("runtime", &format!("the runtime did not start: {e}")),
            }
        }
    }
}

fn console(loaded: &Loaded, parent_bound: bool) -> ExitCode {
    let _ = color_eyre::install();
    match crate::app::run::run(loaded, parent_bound) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("fusebox: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(out: &Out, loaded: &Loaded, verb: Verb) -> ExitCode {
    let places = Places::new(&loaded.config);
    match verb {
        Verb::Status => look::status(out, &places).await,
        Verb::Keys => look::keys(out, &places).await,
        Verb::Kill(args) => run::kill(out, &places, args).await,
        Verb::Rotate(args) => run::rotate(out, &places, args).await,
        Verb::Resume(args) => run::resume(out, &places, args).await,
        Verb::Journal(verb) => journal::serve(out, &places, verb).await,
        Verb::Doctor => doctor::doctor(out, loaded, &places).await,
        Verb::Drill => out.fail("not_available", "drills are not available yet: the revoker has no dry run of a whole kill; `fusebox kill --plan` shows the plan without doing it"),
        Verb::Enroll => out.fail("not_available", "enrolling from the console is not available yet: add the credential's public data to the revoker's enrolments file, as ARCHITECTURE.md describes"),
        Verb::Init => out.fail("not_available", "guided set-up is not available yet: `fusebox demo` runs everything on a simulated world, and its configuration files are the example"),
        // Handled before anything is loaded.
        Verb::Demo { .. } | Verb::Completions { .. } | Verb::Man => Code::Done.into(),
    }
}

/// Becomes `fusebox-demo`, which stands beside this program.
fn demo(out: &Out, args: &[std::ffi::OsString]) -> ExitCode {
    use std::os::unix::process::CommandExt as _;
    let beside = std::env::current_exe().map(|path| path.with_file_name("fusebox-demo"));
    let path = match beside {
        Ok(path) if path.exists() => path,
        _ => {
            return out.fail(
                "no_demo",
                "fusebox-demo is not beside this program; `cargo demo` builds and runs it",
            );
        }
    };
    let json = out.is_json().then_some("--json");
    let error = std::process::Command::new(&path)
        .args(args)
        .args(json)
        .exec();
    out.fail(
        "no_demo",
        &format!("{} did not start: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_verbs_are_those_of_the_contract() {
        let command = Args::command();
        let verbs: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(
            verbs,
            [
                "status",
                "kill",
                "rotate",
                "resume",
                "keys",
                "drill",
                "journal",
                "enroll",
                "doctor",
                "init",
                "demo",
                "completions",
                "man"
            ]
        );
        let journal = command.find_subcommand("journal").unwrap();
        let verbs: Vec<&str> = journal
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(
            verbs,
            [
                "list", "show", "tail", "annotate", "verify", "export", "coverage"
            ]
        );
    }

    #[test]
    fn options_stand_where_scripts_put_them() {
        for line in [
            "fusebox --config c.toml kill --reason x --json",
            "fusebox kill --total --flatten --touch agent --plan",
            "fusebox rotate freqtrade-1 skim-1",
            "fusebox rotate --due",
            "fusebox journal verify --db j.db --checkpoint c.txt --json",
            "fusebox demo --headless --scenario crash --seed 7",
        ] {
            let parsed = Args::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
        for line in [
            "fusebox rotate",
            "fusebox kill --touch nose",
            "fusebox frobnicate",
        ] {
            assert_eq!(
                Args::try_parse_from(line.split(' '))
                    .unwrap_err()
                    .exit_code(),
                2,
                "{line}"
            );
        }
    }
}
