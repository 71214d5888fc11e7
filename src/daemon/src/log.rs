use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logs go to stderr: one JSON object a line when it is not a terminal, readable text when it is.
/// `FUSEBOX_LOG` filters (`debug`, `fusebox_venue=trace`); the default is `info`.
pub fn init() {
    let filter = EnvFilter::try_from_env("FUSEBOX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call (tests, or a daemon inside another program) keeps the first subscriber.
    let _ = match std::io::stderr().is_terminal() {
        true => builder.compact().try_init(),
        false => builder.json().flatten_event(true).try_init(),
    };
}
