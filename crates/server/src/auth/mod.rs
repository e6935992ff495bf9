//! Who asks, and what they may do.

mod client;
mod guard;
mod keys;
mod login;
mod session;
mod table;

pub(crate) use client::Client;
pub use guard::Undeclared;
pub(crate) use guard::{Needs, guard_api, guard_pages};
pub use keys::Keys;
pub(crate) use login::router as login_router;
pub use session::Sessions;
pub use table::{Access, AccessTable, Caller, Digest, NoSuchRole, Privilege, Role, Token};
