//! The numbers of lifesign's own events in the system's log. A number never changes its meaning; the list in
//! `docs/service.md` is held against this one by a test.

/// lifesign is at work.
pub(crate) const READY: u16 = 1;
/// lifesign stops, as it was told.
pub(crate) const STOPPING: u16 = 2;
/// lifesign could not start.
pub(crate) const START_FAILED: u16 = lifesign_os::service::system_log::START_FAILED;
/// lifesign ended because one of its parts did.
pub(crate) const FAILED: u16 = 4;
/// Alerts and restarts of all services are held.
pub(crate) const PAUSED: u16 = 5;
/// They are let go again.
pub(crate) const CONTINUED: u16 = 6;
/// The machine goes to sleep.
pub(crate) const SLEEP: u16 = 7;
/// The machine has woken.
pub(crate) const WAKE: u16 = 8;
/// A wrapped program was started.
pub(crate) const WRAPPED_STARTED: u16 = 20;
/// A wrapped program ended without having been told to.
pub(crate) const WRAPPED_ENDED: u16 = 21;
/// A wrapped program hangs.
pub(crate) const WRAPPED_HANGS: u16 = 22;
/// There is a new service, or a watched one is there again.
pub(crate) const CREATED: u16 = lifesign_agent::event_id::CREATED;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_manual_and_within_the_message_file() {
        let manual = include_str!("../../../docs/service.md");
        let all = [
            READY,
            STOPPING,
            START_FAILED,
            FAILED,
            PAUSED,
            CONTINUED,
            SLEEP,
            WAKE,
            WRAPPED_STARTED,
            WRAPPED_ENDED,
            WRAPPED_HANGS,
            CREATED,
            lifesign_agent::event_id::DELETED,
            lifesign_agent::event_id::RECONFIGURED,
            900,
            901,
        ];
        for id in all {
            assert!((1..=1000).contains(&id));
            assert!(manual.contains(&format!("| {id} |")), "event {id} is not in docs/service.md");
        }
    }
}
