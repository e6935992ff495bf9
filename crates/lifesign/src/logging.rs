//! lifesign's own log: on standard error, as lines for people or as JSON; in the system's log where lifesign runs as
//! a service; and in a file where the configuration names one.

mod file;
mod system;

use std::io::IsTerminal;
use std::sync::OnceLock;

use lifesign_config::server::{Log, LogFormat, LogLevel};
use lifesign_os::service::system_log::{Record, Severity, SystemLog};
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::file::FileLog;
use self::system::SystemLayer;

/// The system's log, once a service has opened it.
static SYSTEM: OnceLock<SystemLog> = OnceLock::new();
/// The log file, once logging has started with one.
static FILE: OnceLock<FileLog> = OnceLock::new();
/// The target of what a terminal is told in words of its own.
const NOT_FOR_THE_TERMINAL: &str = "lifesign::failure";

/// Opens the system's log for the service `name`; what is logged from now on goes there, too.
pub(crate) fn open_system_log(name: &str) {
    if let Some(log) = SystemLog::open(name) {
        // Only a second service in one process could fail here, and there is none.
        let _ = SYSTEM.set(log);
    }
}

/// Whether what this process prints is kept by the system. The event log keeps records, never what a terminal
/// shows.
pub(crate) fn is_in_system_log() -> bool {
    SYSTEM.get().is_some_and(SystemLog::has_standard_error)
}

/// Writes down why lifesign could not start, wherever a log is kept; a terminal is told by whoever fails.
pub(crate) fn fail(event: u16, message: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!(target: NOT_FOR_THE_TERMINAL, event_id = event, error = message, "Lifesign could not start");
    } else if let Some(log) = SYSTEM.get() {
        // A wrong configuration, say: it may be just where the log is to go that is wrong.
        log.write(&Record { severity: Severity::Error, event: Some(event), message, fields: &[] });
    }
}

/// Waits, for a short time at most, until the log file has everything. To be called at the end of the process.
pub(crate) fn finish() {
    if let Some(file) = FILE.get() {
        file.flush();
    }
}

/// Starts logging. `LIFESIGN_LOG` (a `tracing` filter such as `debug` or `lifesign_server=trace`) overrules
/// the configured level.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .with_env_var("LIFESIGN_LOG")
        .from_env_lossy();
    let system = SYSTEM.get();
    // journald reads standard error, too: one of the two ways is enough.
    let on_standard_error = !system.is_some_and(SystemLog::has_standard_error);
    let lines = on_standard_error.then(|| {
        let is_terminal = std::io::stderr().is_terminal();
        formatted(log.format, std::io::stderr, is_terminal)
            .with_filter(filter_fn(|meta| meta.target() != NOT_FOR_THE_TERMINAL))
    });
    let (file, writer) = file::of(log).unzip();
    let to_file = file.clone().map(|file| formatted(log.format, file, false));
    let registry = tracing_subscriber::registry()
        .with(lines)
        .with(to_file)
        .with(system.map(SystemLayer::new))
        .with(filter);
    // Only a second start in one process could fail here, and there the first one's log goes on.
    if registry.try_init().is_ok()
        && let Some((file, writer)) = file.zip(writer)
    {
        let _ = FILE.set(file);
        writer.spawn();
    }
}

/// Events as lines for `writer`.
fn formatted<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Plain => lines.with_ansi(colours).with_target(false).boxed(),
    }
}
