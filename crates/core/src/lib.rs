//! The engine of lifesign: from evidence to verdicts, incidents, alerts and restarts.
//!
//! Everything here is pure. [`Engine::step`](engine::Engine::step) takes the time and one
//! [`Input`](input::Input) and appends [`Effect`](effect::Effect)s; nothing inside reads a clock, a file,
//! a socket or chance. So the same inputs always give the same effects, and the engine can be simulated,
//! replayed, fuzzed and benchmarked.
//!
//! Architecture invariant: this crate reaches no other crate of the workspace and no asynchronous
//! runtime; `cargo xtask check deps` proves it, and `clippy.toml` bans the clocks of `std`.
#![warn(missing_docs)]

mod check;
pub mod detect;
mod digest;
mod dispatch;
pub mod duration;
pub mod effect;
pub mod engine;
pub mod evidence;
mod flap;
pub mod input;
pub mod job;
mod last_words;
pub mod model;
pub mod mutation;
mod remedy;
pub mod secret;
pub mod spec;
pub mod time;
pub mod verdict;
pub mod view;
pub mod whatif;

/// A sender's clock further away than this is shown as skewed.
pub const SKEW_NOTICE: std::time::Duration = std::time::Duration::from_secs(60);
