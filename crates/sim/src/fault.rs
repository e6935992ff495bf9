//! The kinds of fault a world may have, each of which can be switched off.
//!
//! A seed takes a random half of them (swarm testing, Groce et al. 2012: a run with few kinds of fault reaches
//! states that a run with all of them never does). Each kind draws its chance from a stream of its own, so
//! that switching one off leaves the others where they were.

use std::fmt;

use crate::chance::Chance;

macro_rules! faults {
    ($($(#[$meta:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$meta])* $variant),+ }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name on the command line.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

faults! {
    /// A service crashes, is killed, or ends by itself.
    Death = "death",
    /// A service runs, and neither beats nor answers.
    Hang = "hang",
    /// A service beats, and refuses those who need it.
    Lie = "lie",
    /// A service beats and answers, and its work stands still; or says itself that it fails.
    Stuck = "stuck",
    /// An operator stops and starts services.
    Stop = "stop",
    /// A restart fails, helps only for a moment, or is never answered.
    BadRestart = "bad-restart",
    /// A whole host stands still for a while.
    HostPause = "host-pause",
    /// The network loses messages.
    Loss = "loss",
    /// The network delays messages, so that they overtake each other.
    Delay = "delay",
    /// The network delivers messages twice.
    Duplicate = "duplicate",
    /// A host cannot be reached for a while.
    Partition = "partition",
    /// The agent tells of units late.
    LateUnit = "late-unit",
    /// Senders' clocks drift, step and jump.
    SenderClock = "sender-clock",
    /// Lifesign does not run for a while; what arrives waits.
    Stall = "stall",
    /// The machine of lifesign is suspended; what arrives is lost.
    Suspend = "suspend",
    /// Lifesign is stopped cleanly and started again.
    Restart = "restart",
    /// Lifesign is killed and started again; what was not written is lost.
    Kill = "kill",
    /// The disk takes its time.
    SlowStore = "slow-store",
    /// The wall clock of lifesign steps by up to an hour, and drifts.
    WallStep = "wall-step",
    /// More arrives than can be taken at once: inputs come late, in order.
    Overload = "overload",
    /// People pause, resume, acknowledge and restart.
    Orders = "orders",
    /// The heart of a service stops, and the rest of it works.
    Mute = "mute",
    /// Lifesign is restarted again and again, sooner than silence is held against anybody.
    Frequent = "frequent",
    /// A service goes wrong and comes back again and again.
    Flap = "flap",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// No faults: a perfect world.
    pub const NONE: Self = Self(0);

    /// All kinds.
    pub fn all() -> Self {
        Fault::ALL.iter().fold(Self::NONE, |all, fault| all.with(*fault))
    }

    /// The kinds of this seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0xfa17);
        let mut faults = Self(0);
        let perfect_network = chance.happens(0.3);
        for fault in Fault::ALL {
            let network = matches!(fault, Fault::Loss | Fault::Delay | Fault::Duplicate | Fault::Partition);
            let share = match fault {
                Fault::Frequent | Fault::Flap => 0.2,
                _ => 0.5,
            };
            if chance.happens(share) && !(network && perfect_network) {
                faults = faults.with(*fault);
            }
        }
        faults
    }

    /// Whether it is in the set.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// The set with it.
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | (1 << fault as u32))
    }

    /// The set without it.
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        for (n, fault) in self.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
