//! The numbers of the agent's events in the system's log; `docs/service.md` lists them with all the others.

/// There is a new service, or a watched one is there again.
pub const CREATED: u16 = 30;
/// A watched service is gone from the system's list.
pub const DELETED: u16 = 31;
/// A watched service is configured otherwise than before.
pub const RECONFIGURED: u16 = 32;
