//! By which way a server is reached, and when the other one is tried.
//!
//! The direct way is TLS from end to end. Where something in between ends TLS, or lets nothing but HTTP pass, the same
//! TLS goes inside a WebSocket. What the agent believes and shows is the same on both, so trying the other one gives
//! nothing away.

/// A way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// TLS from end to end.
    Direct,
    /// The same TLS inside a WebSocket.
    WebSocket,
}

/// Attempts by a way that carried the link once, before the other one is tried again.
const PATIENCE: u8 = 3;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nobody is there.
    Unreached,
    /// Somebody is there, and the way is not let through.
    Barred,
    /// Nothing came in time.
    Late,
}

/// The ways to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) next: Way,
    /// Failures that the present way may still have.
    patience: u8,
}

impl Ways {
    pub(super) const fn new() -> Self {
        Self { next: Way::Direct, patience: 0 }
    }

    /// The link runs by the present way: it is the way from now on.
    pub(super) fn proven(&mut self) {
        self.patience = PATIENCE;
    }

    /// An attempt by the present way failed. True: the other way is worth trying at once.
    pub(super) fn failed(&mut self, how: Failed) -> bool {
        // Where nobody is, nobody is by the other way either; a balancer is there, and so is what is behind it.
        if how == Failed::Unreached && self.next == Way::Direct {
            return false;
        }
        if self.patience > 0 {
            self.patience -= 1;
            return false;
        }
        let was = self.next;
        self.next = match was {
            Way::Direct => Way::WebSocket,
            Way::WebSocket => Way::Direct,
        };
        was == Way::Direct && how == Failed::Barred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barred_way_is_left_at_once_and_a_late_one_at_the_next_attempt() {
        let mut ways = Ways::new();
        assert!(!ways.failed(Failed::Unreached));
        assert_eq!(ways.next, Way::Direct, "nobody is there by either");
        assert!(ways.failed(Failed::Barred));
        assert_eq!(ways.next, Way::WebSocket);
        assert!(!ways.failed(Failed::Barred), "from here it waits");
        assert_eq!(ways.next, Way::Direct);
        assert!(!ways.failed(Failed::Late));
        assert_eq!(ways.next, Way::WebSocket);
    }

    #[test]
    fn a_way_that_carried_the_link_is_kept_for_some_failures() {
        let mut ways = Ways::new();
        ways.failed(Failed::Barred);
        ways.proven();
        for _ in 0..PATIENCE {
            assert!(!ways.failed(Failed::Barred));
            assert_eq!(ways.next, Way::WebSocket);
        }
        assert!(!ways.failed(Failed::Unreached));
        assert_eq!(ways.next, Way::Direct);
    }
}
