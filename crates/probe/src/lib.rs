//! Active checks: each kind in one file that says how it is written and how it is run.
//!
//! A new kind is a file like `tcp.rs` and a line in [`kinds`]. What the files share: [`Probe`] is any check
//! ready to be run; `attempt` its clock, `finding` its result, `dial` the way to a socket.
#![warn(missing_docs)]

mod assertion;
mod attempt;
mod components;
mod dial;
mod exchange;
mod finding;
mod headers;
mod http;
mod json_path;
mod judge;
mod payload;
mod probe;
mod redirect;
mod status;
mod tcp;
mod tls;

use lifesign_config::{Kind, Target};

pub use probe::Probe;
pub use tls::insecure as insecure_tls;

/// Every kind of check there is.
pub fn kinds() -> Vec<Kind<Vec<Target<Probe>>>> {
    vec![http::KIND, tcp::KIND]
}
