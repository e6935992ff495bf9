//! The server over real HTTP on the loopback, with a real store, as its users meet it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod access;
mod batch;
mod contract;
mod datagrams;
mod disk;
mod document;
mod events;
mod explain;
mod hold;
mod hostile;
mod house;
mod lane;
mod modes;
mod orders;
mod outbox;
mod overload;
mod peers;
mod pings;
