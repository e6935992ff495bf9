//! Telling people and programs: the kinds of receivers.
//!
//! Each kind is one file with four parts: how it is written in the configuration, a pure builder of the
//! request, the sending, and a pure judge of the answer. **Delivered means the other side said so**; nothing
//! is lost because a receiver is down: the outbox tries again, after [`wait`], until the judge says
//! delivered or refused. Every attempt carries the notification's id, so that a receiver can recognise a
//! message it has had (which happens when lifesign dies between the answer and its own mark).
//!
//! To add a kind, write its file and its line in [`kinds`].
#![warn(missing_docs)]

mod answer;
mod backoff;
mod command;
mod delivery;
mod email;
#[cfg(test)]
mod golden;
mod http_post;
mod payload;
mod receiver;
#[cfg(test)]
mod samples;
mod smtp;
mod text;
mod trust;
mod webhook;

pub use backoff::{MAX_ASKED, MAX_WAIT, MIN_WAIT, wait};
pub use delivery::{Context, Delivery, REFUSED_AFTER};
pub use payload::Payload;
pub use receiver::Receiver;

/// Every kind of receiver.
pub fn kinds() -> Vec<lifesign_config::Kind<Receiver>> {
    vec![webhook::KIND, email::KIND, command::KIND]
}
