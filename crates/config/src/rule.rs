//! Rules: alerts from metrics.

use lifesign_core::model::{ServiceId, Severity};

use crate::condition::Condition;
use crate::decode::Located;
use crate::record;
use crate::time::Wait;

record! {
    /// A condition over a metric that raises an alert.
    pub struct Rule {
        /// The alert's name, unique.
        alert: Located<String> [1..=128],
        /// The condition: a metric of heartbeats, or one of the host (`host_cpu`, `host_memory`, …), a comparison, a number.
        when: Located<Condition>,
        /// How long the condition must hold before the alert fires.
        hold as "for": Wait = "0s",
        /// Severity of the alert.
        severity: Severity = "warning",
        /// The only service it is about. Where unset, each that reports the metric.
        service: Option<Located<ServiceId>>,
        /// Receivers beside those of the routes.
        notify: Vec<Located<String>> [0..=100] = [],
        /// Whether firing restarts the service, within the budget of its `restart`.
        restart: bool = false,
    }
}
