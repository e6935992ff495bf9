//! Whether everything that acts on others is held, as the service manager ordered: a pause of lifesign as a whole.
//!
//! The composition carries the pause out, service by service, and says it here; all faces of the server show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether all of lifesign is paused; cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub struct OnHold(Arc<AtomicBool>);

impl OnHold {
    /// Says that alerts and restarts of all services are held, or that they are held no more.
    pub fn set(&self, held: bool) {
        self.0.store(held, Ordering::Relaxed);
    }

    /// Whether they are held.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
