//! lifesign's own log: on standard error, as lines for people or as JSON, and in the system's log where lifesign
//! runs as a service.

mod system;

use std::io::IsTerminal;
use std::sync::OnceLock;

use lifesign_config::server::{Log, LogFormat, LogLevel};
use lifesign_os::service::system_log::{Record, Severity, SystemLog};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::system::SystemLayer;

/// The system's log, once a service has opened it.
static SYSTEM: OnceLock<SystemLog> = OnceLock::new();

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

/// Tells the system's log of a failure before logging has started: a wrong configuration, say.
pub(crate) fn fail_early(event: u16, message: &str) {
    if let Some(log) = SYSTEM.get() {
        log.write(&Record { severity: Severity::Error, event: Some(event), message, fields: &[] });
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
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        match log.format {
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
            LogFormat::Plain => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        }
    });
    let registry = tracing_subscriber::registry().with(lines).with(system.map(SystemLayer::new)).with(filter);
    // Only a second start in one process could fail here, and there the first one's log goes on.
    drop(registry.try_init());
}
