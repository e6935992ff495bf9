//! The proving ground of the engine: simulated worlds on virtual time, and judges that know the truth.
//!
//! Nothing here is shipped. Everything is decided by a seed, so that whatever goes wrong can be replayed.
#![warn(missing_docs)]

pub mod chance;
pub mod draws;
pub mod fault;
pub mod oracle;
pub mod published;
pub mod quality;
pub mod trace;
pub mod world;
