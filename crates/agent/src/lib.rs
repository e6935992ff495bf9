//! The role on one host: watches units, runs probes on time, samples the host, and does what it is told.
//!
//! The agent observes and acts; it judges nothing. Everything it sees leaves as a
//! [`lifesign_core::input::Input`] through one bounded channel, everything it is to do comes in as a
//! [`Command`]. Each unit and each check is a task of its own, so nothing that hangs holds up anything else.
//!
//! | file | holds |
//! |---|---|
//! | `assignment` | what an agent is given to do |
//! | `agent` | its loop: start, commands, stop |
//! | `roster` | which services are on watch; the difference a new assignment makes |
//! | `unit` | one unit: reports in order, restarts, the clean stop |
//! | `check` | one check: its turns, each run once |
//! | `schedule` | when the turns are |
//! | `host` | the host's own figures |
//! | `local` | heartbeats of programs on this host |
//! | `uplink` | the link to a server of another process: batches, orders, the spool |
//! | `road` | how servers are reached: directly, by proxies, inside a WebSocket |
//! | `enrol` | a key and a certificate of the server's authority, and their renewal |
//! | `figures` | how well the agent keeps up |
#![warn(missing_docs)]

mod agent;
mod assignment;
mod check;
pub mod enrol;
pub mod event_id;
mod facts;
mod figures;
mod host;
mod local;
mod pulse;
pub mod road;
mod roster;
mod schedule;
mod task;
mod unit;
mod uplink;

pub use agent::{Agent, Setup};
pub use assignment::{Assignment, Assignments, Check, Command, UnitKind};
pub use check::MAX_RUNNING;
pub use figures::Figures;
pub use lifesign_os::local::{Access, Place, Way};
pub use lifesign_os::process::ProcessSpec;
pub use local::{LocalSetup, SecretOf, Sums, Tally};
pub use road::ServerAddress;
pub use uplink::{LinkFigures, LinkSetup, Told, link};
