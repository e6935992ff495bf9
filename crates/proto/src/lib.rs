//! What crosses the wire: heartbeat bodies with their limits, acknowledgements, and problems.
//!
//! Bytes in, values out: nothing here knows of HTTP servers, sockets or clocks. [`read`] tells a body that
//! is no JSON (400) from one that is JSON and says something we do not take (422), and in an array it
//! judges each heartbeat by itself, so that one sender's mistake does not cost the others theirs. The ordinary body, in
//! which nothing is wrong, takes a shorter way to the same result (`quick`).
#![warn(missing_docs)]

mod ack;
pub mod batch;
pub mod datagram;
pub mod enrol;
mod heartbeat;
mod json;
mod limits;
pub mod link;
pub mod local;
pub mod peer;
mod problem;
mod quick;
pub mod request;
mod run;
pub mod trace;

pub use ack::{Ack, Acks};
pub use heartbeat::{BodyError, Heartbeats, ItemError, MAX_FAULTS, read, read_with_care};
pub use json::Malformed;
pub use limits::{Limits, MAX_BODY_BYTES};
pub use problem::{Fault, PROBLEM_JSON, Problem};
