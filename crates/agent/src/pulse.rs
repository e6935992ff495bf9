//! The heart of a systemd unit, heard by what its program says to systemd's watchdog: each new word is a heartbeat.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_os::unit::ServiceManager;

use crate::check::Shared;
use crate::task::Task;

/// One unit that is listened to; dropping it ends that.
#[derive(Debug)]
pub(crate) struct PulseTask {
    unit: String,
    interval: Duration,
    _task: Task,
}

impl PulseTask {
    pub(crate) fn start(
        service: &ServiceId,
        manager: &ServiceManager,
        unit: &str,
        interval: Duration,
        shared: &Arc<Shared>,
    ) -> Self {
        let mut pulse = manager.pulse(unit, interval);
        let (service, inputs) = (service.clone(), shared.inputs.clone());
        let task = Task::spawn(async move {
            loop {
                let age = pulse.next().await;
                let beat = Beat { age, ..Beat::alive(service.clone()) };
                if inputs.send(Input::Beat(beat)).await.is_err() {
                    return;
                }
            }
        });
        Self { unit: unit.to_owned(), interval, _task: task }
    }

    pub(crate) fn is_of(&self, unit: &str, interval: Duration) -> bool {
        self.unit == unit && self.interval == interval
    }
}
