//! The role that decides: engine loop, outbox, HTTP interface, dashboard.
//!
//! [`engine`] owns the pure engine on one task and is the only way to it. What the engine decides is
//! written by the store first; then [`outbox`] tells people, the agent's channel gets its work and
//! [`events`] shows it live. [`api`] and [`web`] are two faces of the same state, behind one listener
//! with limits (`listener`) and one guard ([`auth`]). [`Server`] puts them together as components;
//! the composition in the binary gives it everything from outside: clock, store, receivers, agent.
#![warn(missing_docs)]

pub mod api;
pub mod auth;
mod datagram;
pub mod engine;
pub mod enrol;
pub mod events;
mod figures;
pub mod hold;
mod ingest;
pub mod limits;
pub mod link;
mod listener;
pub mod outbox;
pub mod peer;
pub mod ping;
pub mod reload;
mod server;
mod state;
mod tunnel;
pub mod web;

pub use server::{Parts, Server};
pub use state::AppState;
