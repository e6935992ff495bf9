//! Heartbeats for Rust programs: link this, start a [`Heart`], and lifesign knows that the program lives.
//!
//! ```no_run
//! use std::time::Duration;
//! use lifesign_client::{Heart, Link};
//!
//! let token = std::env::var("LIFESIGN_TOKEN").unwrap_or_default();
//! let heart = Heart::builder("http://127.0.0.1:7700", &token, "orders")
//!     .interval(Duration::from_secs(5))
//!     .start();
//! heart.metric("queue", 12.0);
//! if heart.link() == Link::Offline {
//!     // lifesign does not answer; the program goes on without it.
//! }
//! // Dropping the heart tells lifesign that the program stops on purpose.
//! ```
//!
//! What its host program can rely on: one thread and one connection, no asynchronous runtime, no call that
//! waits for the network (but for the bounded farewell when the heart is dropped), no panic, and no reason
//! not to start: whatever is wrong is seen in [`Heart::link`] and [`Heart::trouble`].
//!
//! [`Mode`] says how the beats are spaced; in every mode [`Heart::hearing`] tells who hears whom.
//!
//! On the same host a program may beat when it likes, for next to nothing, without address and token:
//!
//! ```no_run
//! # fn main() -> Result<(), lifesign_client::NoWay> {
//! let pulse = lifesign_client::Heart::connect("orders")?;
//! pulse.progress(1);
//! pulse.metric("queue", 12.0);
//! pulse.beat();
//! # Ok(()) }
//! ```
//!
//! [`send()`] sends a single heartbeat and waits for the answer.
#![warn(missing_docs)]

mod beat;
mod hearing;
mod heart;
mod schedule;
mod send;
mod way;

pub use beat::{Beat, MAX_MESSAGE, MAX_METRIC_NAME, MAX_METRICS, Status};
pub use hearing::Hearing;
pub use heart::{Builder, Heart, MIN_INTERVAL};
pub use schedule::{FIRST_INTERVAL, Link, MAX_ASKED, Mode};
pub use send::{Ack, SendError, TIMEOUT, send, send_trusting};
pub use way::{NoWay, Pulse, Way};
