//! Who asks, and what they may do.

mod session;
mod table;

pub use session::Sessions;
pub use table::{Access, AccessTable, Caller, Digest, Privilege, Role, Token};
