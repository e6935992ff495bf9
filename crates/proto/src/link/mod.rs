//! The link between an agent and its server: one connection, made by the agent, both ways.
//!
//! What goes over it are [`Frame`]s, each with its length before it. The agent speaks first ([`Frame::Hello`]: what
//! it can, who it is, which run of it), the server answers with the version both know and the terms
//! ([`Frame::Welcome`]) or says why not ([`Frame::Refuse`]). From then on:
//!
//! - evidence goes up in numbered batches ([`Frame::News`], [`Frame::Beats`]) and is acknowledged when the server's
//!   engine has it ([`Frame::Ack`]); what was not acknowledged is sent again on the next connection,
//! - orders come down ([`Frame::Order`]), each with an id, and are carried out once however often they come,
//! - both sides beat ([`Frame::Ping`]), and each says what it last heard of the other.
//!
//! ```text
//! frame:  u32 LE length of what follows (at most MAX_FRAME) | u8 kind | body
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `frame` | frames, from and to bytes |
//! | `beats` | heartbeats that say nothing but *I am well*, in twelve bytes each |
//! | `uplink` | the agent's side as a state machine |
//! | `way` | by which way a server is reached, and when the other one is tried |
//! | `downlink` | the server's side of one connection as a state machine |
//!
//! The machines are pure: they take the time and what happened, and return what is to be done.

mod beats;
mod downlink;
mod frame;
mod uplink;
mod way;

pub use beats::{Beats, BeatsError, Compact, Names};
pub use downlink::{Deed, Downlink, Happened};
pub use frame::{Frame, FrameError, Framer, Hello, Item, Order, Refusal, Welcome};
pub use uplink::{Effect, Event, Phase, Terms, Uplink};
pub use way::Way;

/// The oldest version of the link that this lifesign speaks.
pub const OLDEST_VERSION: u8 = 1;
/// The newest version of the link that this lifesign speaks.
pub const NEWEST_VERSION: u8 = 1;
/// Largest frame, in bytes, its kind included. A larger one ends the connection.
pub const MAX_FRAME: usize = 1 << 20;
/// The word in `Upgrade:` that asks an HTTP server for a link.
pub const UPGRADE: &str = "lifesign-link";
/// Where the server takes links.
pub const PATH: &str = "/api/v1/link";
/// Where the server takes WebSockets, inside of which agents speak TLS with it as on the direct way.
pub const TUNNEL_PATH: &str = "/api/v1/link/websocket";

/// The newest version that both sides know, if any: `theirs` is the oldest and the newest of the other side.
pub fn common_version(theirs: (u8, u8)) -> Option<u8> {
    let version = theirs.1.min(NEWEST_VERSION);
    (version >= theirs.0.max(OLDEST_VERSION)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_taken() {
        assert_eq!(common_version((1, 1)), Some(1));
        assert_eq!(common_version((1, 9)), Some(NEWEST_VERSION));
        assert_eq!(common_version((NEWEST_VERSION + 1, 200)), None);
        assert_eq!(common_version((0, 0)), None);
        assert_eq!(common_version((9, 1)), None, "a range the wrong way round");
    }
}
