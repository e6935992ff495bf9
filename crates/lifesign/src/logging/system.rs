//! What is logged, as records of the system's log.

use std::fmt::Debug;

use lifesign_os::service::system_log::{Record, Severity, SystemLog};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The field that holds an event's number; see [`crate::event_id`].
const EVENT: &str = "event_id";

/// Hands events to the system's log.
pub(super) struct SystemLayer(&'static SystemLog);

impl SystemLayer {
    pub(super) const fn new(log: &'static SystemLog) -> Self {
        Self(log)
    }
}

impl<S: Subscriber> Layer<S> for SystemLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            Level::DEBUG | Level::TRACE => Severity::Debug,
        };
        if self.0.takes(severity, seen.event) {
            let Seen { message, event, fields } = &seen;
            self.0.write(&Record { severity, event: *event, message, fields });
        }
    }
}

#[derive(Default)]
struct Seen {
    message: String,
    event: Option<u16>,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Seen {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == EVENT {
            self.event = u16::try_from(value).ok();
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
