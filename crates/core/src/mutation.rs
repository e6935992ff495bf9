//! Rules that can be switched off one by one, to prove that the simulation would notice.
//!
//! Without the feature `mutation`, which nothing that is shipped enables, every rule is on and the question costs
//! nothing. With it, one rule may be switched off for the present thread.

macro_rules! rules {
    ($($(#[$meta:meta])* $rule:ident),+ $(,)?) => {
        /// A rule of the engine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule { $($(#[$meta])* $rule),+ }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$rule),+];
        }
    };
}

rules! {
    /// A check fails after `fall` failures in a row, not the first.
    Fall,
    /// A pass cancels the failures before it.
    PassCancels,
    /// The first verdict of a check in the time of a start needs no failure to be held against it.
    StartGrace,
    /// No more restarts than the budget within its window.
    Budget,
    /// A restart without an answer is given up after a while.
    ActionTimeout,
    /// An ordered restart outlives its incident.
    RestartOutlives,
    /// A firing alert is told.
    TellFiring,
    /// The end of what was told is told.
    TellEnd,
    /// Only the end of what was told is told.
    TellKnownEndsOnly,
    /// What an earlier life told is told no second time.
    RestoreTold,
    /// Ends that waited for their group are told by the next life.
    RestoreEnds,
    /// A unit that does not run is down.
    UnitStopped,
    /// A silent heart is down.
    SilentIsDown,
    /// A late heart is suspect, not down.
    LateIsSuspect,
    /// A beat that says *fail* makes it down.
    FailIsDown,
    /// Work that stands still makes it down.
    StuckIsDown,
    /// An announced stop is no death.
    StoppingIsNoDeath,
    /// A unit between two states is not judged.
    ChangingIsOpen,
    /// Probes that fail without a heart make it down.
    ProbesAreDown,
    /// Probes that fail beside a heart make it degraded, not down.
    HeartBesideProbes,
    /// A heart is given up when its cap has passed.
    Cap,
    /// A fixed timeout is followed by its retries.
    Retries,
    /// A heart never heard is given up after its chance.
    Grace,
    /// A new process gets a chance of its own.
    NewProcess,
    /// The inquiry ends only after its time.
    InquiryEnd,
    /// An application that answers is not given up at the inquiry.
    GoodAnswer,
    /// In back-off mode the sender's own interval counts.
    BackoffInterval,
    /// A stall of our own excuses one silence.
    StallExcuse,
    /// Late news in the past of younger ones is not taken.
    OldNews,
    /// The engine's clock leaves its own stalls out.
    VirtualTime,
    /// The silence of earlier lives counts.
    RememberSilence,
    /// It counts for the process that was listened to, also where a unit tells of it.
    RememberProcess,
    /// A service heard in an earlier life must be heard again.
    RememberHeard,
    /// Open incidents go on in the next life.
    RestoreIncidents,
    /// A dependency that is down explains.
    Dependency,
    /// A dependency of several needs only some of them.
    DependencyNeed,
    /// An operator's stop opens no incident.
    OperatorStop,
    /// A paused service gets no incident.
    Paused,
    /// A paused service is not restarted.
    PausedRestart,
    /// An incident closes when the service is well.
    CloseWell,
    /// A new process must prove itself.
    Prove,
    /// An alert resolves with its incident.
    ResolveAlert,
    /// Only a host that is gone is blamed.
    BlameGone,
    /// A host that is heard again is not gone.
    HostReturns,
    /// Enough hearts must fall silent for a host to be gone.
    Fewest,
    /// A unit whose agent is lost is not judged by its last news.
    LostAgent,
    /// The late echo of our own restart's stop is nobody's wish.
    LateStop,
    /// A gap at the end of flapping waits until the state is known.
    FlapsKnown,
}

#[cfg(feature = "mutation")]
thread_local! {
    static OFF: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Switches one rule off for this thread, and every other on.
#[cfg(feature = "mutation")]
pub fn switch_off(rule: Option<Rule>) {
    OFF.set(rule);
}

/// Whether a rule is on.
#[cfg(feature = "mutation")]
pub(crate) fn on(rule: Rule) -> bool {
    OFF.get() != Some(rule)
}

/// Whether a rule is on: always, in what is shipped.
#[cfg(not(feature = "mutation"))]
pub(crate) const fn on(_rule: Rule) -> bool {
    true
}
