//! The heartbeat of one service: when it is late, when it is silent.
//!
//! A heart is *late* at its detector's freshness point, at the latest when its time limit (the cap) has passed.
//! What follows depends on the detector. The fixed one gives it `retries` further intervals, as written. A
//! learned one opens an [`Inquiry`] where somebody can be asked and gives the heart up when all of it was in
//! vain; where nobody can, at the cap. An application that answers while its heart is silent has the retries
//! too before the contradiction is called *hung*.
//!
//! Times are the receiver's own; what the sender's clock says never decides. A heartbeat that changes nothing
//! writes into this entry alone: the deadline behind it is looked at again when it falls due.

use std::time::Duration;

use super::credit::Credit;
use super::{AnyDetector, Detector, Inquiry};
use crate::mutation::{Rule, on};
use crate::spec::{Confirm, DetectorSpec, HeartbeatSpec, Mode, Profile};
use crate::time::Mono;
use crate::verdict::HeartEvidence;

/// Where the heart stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No heartbeat is expected.
    Off,
    /// None heard since the start (of the service, or of lifesign).
    Waiting,
    /// Beating.
    Beating,
    /// Overdue.
    Late,
    /// Given up; `u32` beats in a row have come since.
    Silent(u32),
}

/// One heartbeat as the detector sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived. A heartbeat that waited in a spool arrived when the spool took it.
    pub at: Mono,
    /// The sender's count, where it says one; else it is inferred from the time.
    pub seq: Option<u64>,
    /// How long until the sender's next one, where it says so (back-off mode).
    pub interval: Option<Duration>,
}

impl Arrival {
    /// An arrival of which only the time is known.
    pub const fn at(at: Mono) -> Self {
        Self { at, seq: None, interval: None }
    }
}

/// What the passing of time brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advance {
    /// The evidence changed.
    pub changed: bool,
    /// The other evidence is to be asked now.
    pub ask: bool,
}

/// What a source of other evidence answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing good: refused, wrong, or no answer in time.
    Against,
    /// Something answers, which does not prove that the application works (a TCP connection is accepted by
    /// the system even for a stopped process).
    Runs,
    /// The application itself answers as it should.
    Works,
    /// Its heart was heard there, so only the way here is broken: as good as a heartbeat.
    Beats,
}

/// The heart of one service. One flat entry of a dense array each; a heartbeat touches all of it.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Heart {
    /// Last heartbeat.
    last: Mono,
    /// Last sign of life: a heartbeat, or a good answer.
    alive: Mono,
    late_at: Mono,
    silent_at: Mono,
    /// When the next inquiry is opened; [`Mono::NEVER`]: one is open, or none is wanted.
    ask_at: Mono,
    /// While waiting: when the fair chance ends; [`Mono::NEVER`] when nothing says that it must beat.
    grace_until: Mono,
    /// When waiting began, less what an earlier life of lifesign had waited already.
    waiting_since: Mono,
    /// Nominal arrival of heartbeat `seq`, where the sender does not count.
    slot: Mono,

    seq: u64,
    interval: Duration,
    inquiry: Option<Box<Inquiry>>,
    phase: Phase,
    /// Beats since the service's process last changed.
    beats: u32,
    credit: Credit,
    /// Whether there is anybody to ask.
    askable: bool,
    /// Whether this silence has been excused by a stall of our own already.
    excused: bool,

    detector: AnyDetector,
    settings: Settings,
}

/// What of the specification is needed after each arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    rise: u32,
    profile: Profile,
    confirm: Option<Option<Confirm>>,
    fixed: bool,
    backoff: bool,
}

impl Settings {
    fn of(spec: &HeartbeatSpec) -> Self {
        let (fixed, profile) = match spec.detector {
            DetectorSpec::Fixed => (true, Profile::Default),
            DetectorSpec::Chen { .. } | DetectorSpec::Accrual { .. } => (false, Profile::Default),
            DetectorSpec::Adaptive(profile) => (false, profile),
        };
        Self {
            interval: spec.interval,
            timeout: spec.timeout,
            retries: spec.retries,
            rise: spec.rise.max(1),
            profile,
            confirm: spec.confirm.then_some(spec.second_opinion),
            fixed,
            backoff: spec.mode == Mode::Backoff,
        }
    }

    /// A time written for the configured interval, at the present one.
    fn scaled(&self, span: Duration, interval: Duration) -> Duration {
        if interval == self.interval || self.interval.is_zero() {
            return span;
        }
        span.mul_f64(interval.as_secs_f64() / self.interval.as_secs_f64())
    }
}

impl Heart {
    /// A heart after `spec`, waiting for its first beat until `grace_until`. Without a specification nothing is
    /// ever expected.
    pub fn new(spec: Option<&HeartbeatSpec>, now: Mono, grace_until: Mono) -> Self {
        let off = HeartbeatSpec::never();
        let mut heart = Self {
            last: Mono::ZERO,
            alive: Mono::ZERO,
            late_at: Mono::NEVER,
            silent_at: Mono::NEVER,
            ask_at: Mono::NEVER,
            grace_until,
            waiting_since: now,
            slot: Mono::ZERO,
            seq: 0,
            interval: off.interval,
            detector: AnyDetector::new(&off),
            inquiry: None,
            settings: Settings::of(&off),
            beats: 0,
            credit: Credit::new(),
            phase: Phase::Off,
            askable: false,
            excused: false,
        };
        heart.configure(spec, now, grace_until);
        heart
    }

    /// Takes another specification; when the sender was last heard stays known, what was learnt of its timing
    /// goes.
    pub fn configure(&mut self, spec: Option<&HeartbeatSpec>, now: Mono, grace_until: Mono) {
        let Some(spec) = spec else {
            self.phase = Phase::Off;
            self.inquiry = None;
            return;
        };
        self.settings = Settings::of(spec);
        self.interval = spec.interval;
        self.detector = AnyDetector::new(spec);
        match self.phase {
            Phase::Off => {
                self.phase = Phase::Waiting;
                self.grace_until = grace_until;
                self.waiting_since = now;
            }
            Phase::Beating | Phase::Late => {
                self.inquiry = None;
                self.slot = self.last;
                let fresh = self.detector.arrival(self.last, self.seq);
                self.set_deadlines(fresh);
            }
            Phase::Waiting | Phase::Silent(_) => {}
        }
    }

    /// A look at each cache line of it: so their way here takes the time of one.
    pub(crate) fn warmth(&self) -> u64 {
        self.last.as_nanos() ^ self.seq ^ u64::from(self.settings.retries)
    }

    /// Says whether anybody can be asked at suspicion.
    pub fn set_askable(&mut self, askable: bool) {
        self.askable = askable;
    }

    /// A heartbeat arrived. Returns whether the evidence changed. One older than the last (a spool that was
    /// emptied late, a packet that was overtaken) says nothing new.
    pub fn beat(&mut self, now: Mono, arrival: Arrival) -> bool {
        let old_count = arrival.seq.is_some_and(|seq| self.beats > 0 && seq <= self.seq);
        if self.phase == Phase::Off || (self.beats > 0 && arrival.at < self.last) || old_count {
            return false;
        }
        if self.beats > 0 {
            self.keep_books(&arrival);
        }
        if self.settings.backoff && on(Rule::BackoffInterval) {
            let said = arrival.interval.unwrap_or(self.settings.interval).min(self.settings.interval);
            if said != self.interval && !said.is_zero() {
                self.interval = said;
                self.detector.reset(said);
                self.slot = arrival.at;
            }
        }
        let before = (self.late_at, self.silent_at);
        let gap = arrival.at.since(self.last);
        let given_up = matches!(self.phase, Phase::Silent(_));
        if given_up || self.beats == 0 {
            // The gap that ended an outage teaches nothing about the sender's timing.
            self.detector.reset(self.interval);
            self.slot = arrival.at;
        }
        self.number(&arrival);
        self.last = arrival.at;
        self.alive = arrival.at;
        self.excused = false;
        self.beats = self.beats.saturating_add(1);
        let fresh = self.detector.arrival(arrival.at, self.seq);
        let limit = self.set_deadlines(fresh);
        if arrival.at < now && on(Rule::OldNews) {
            // News that waited tells that it lived, and takes no part of its time away.
            let before = match self.phase {
                Phase::Waiting if self.grace_until != Mono::NEVER => (self.grace_until, self.grace_until),
                Phase::Beating | Phase::Late => before,
                Phase::Off | Phase::Waiting | Phase::Silent(_) => (Mono::ZERO, Mono::ZERO),
            };
            self.late_at = self.late_at.max(before.0);
            self.silent_at = self.silent_at.max(before.1);
            self.ask_at = self.late_at;
        }
        if now >= self.silent_at {
            // Late news: it came too late to prove that the sender lives now.
            return false;
        }
        match self.phase {
            Phase::Off | Phase::Beating => false,
            Phase::Waiting | Phase::Late => {
                self.inquiry = None;
                self.phase = Phase::Beating;
                true
            }
            Phase::Silent(good) => {
                // A beat that comes late after another one starts the count anew.
                let good = if good > 0 && gap > limit { 1 } else { good + 1 };
                self.phase = if good >= self.settings.rise { Phase::Beating } else { Phase::Silent(good) };
                self.phase == Phase::Beating
            }
        }
    }

    /// Was it right to judge as early, or to wait as long, as we did? See [`Credit`].
    fn keep_books(&mut self, arrival: &Arrival) {
        let cap = self.last + self.settings.scaled(self.settings.timeout, self.interval);
        self.credit.beat();
        match self.phase {
            Phase::Silent(0) if arrival.at < self.silent_at => self.credit.regret(),
            Phase::Beating | Phase::Late if arrival.at >= cap => self.credit.rescue(self.settings.profile),
            Phase::Off | Phase::Waiting | Phase::Beating | Phase::Late | Phase::Silent(_) => {}
        }
    }

    /// Finds the count of an arrival whose sender does not count: the slot it falls into. A beat may be early by
    /// a quarter of an interval; slots follow the earliest arrivals, as delay only ever adds.
    fn number(&mut self, arrival: &Arrival) {
        if let Some(seq) = arrival.seq {
            self.seq = seq;
            return;
        }
        // INVARIANT: a slot never lies after the last arrival.
        let late = arrival.at.since(self.slot).as_secs_f64() / self.interval.as_secs_f64();
        let steps = (late + 0.25).floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let count = steps.min(1e15) as u64;
        self.seq = self.seq.saturating_add(count);
        let slot = self.slot + self.interval.mul_f64(steps);
        self.slot = if arrival.at < slot { arrival.at } else { slot + arrival.at.since(slot) / 64 };
    }

    /// Sets when it is late and when it is silent. Returns the time limit at the present interval.
    fn set_deadlines(&mut self, fresh: Mono) -> Duration {
        let settings = self.settings;
        let limit = settings.scaled(settings.timeout, self.interval);
        let cap = self.alive + limit;
        self.late_at = fresh.min(cap);
        self.ask_at = self.late_at;
        self.silent_at = if settings.fixed && on(Rule::Retries) {
            self.late_at + self.interval.saturating_mul(settings.retries)
        } else {
            cap
        };
        if !on(Rule::Cap) {
            self.silent_at = Mono::NEVER;
        }
        limit
    }

    /// Waits anew for a first beat: another process has been started, or nothing has been heard yet.
    /// `waited`: how long lifesign has listened in vain already.
    pub fn wait(&mut self, now: Mono, waited: Duration, grace_until: Mono) {
        if self.phase != Phase::Off {
            self.phase = Phase::Waiting;
        }
        self.inquiry = None;
        self.grace_until = grace_until;
        self.waiting_since = now.back(waited);
        self.beats = 0;
        self.excused = false;
    }

    /// Lifesign itself did not run until `until`, and what was sent meanwhile may be lost: the next beat may
    /// come a whole interval after that. Each silence is excused once and by one and a half intervals at the
    /// most, so that frequent stalls hide no death.
    pub fn excuse(&mut self, until: Mono) {
        let since = if self.beats > 0 { self.last } else { self.waiting_since };
        if self.excused || since >= until || !on(Rule::StallExcuse) {
            return;
        }
        self.excused = true;
        // In back-off mode the beats that were lost may have announced the longest interval.
        let interval = if self.settings.backoff { self.settings.interval } else { self.interval };
        let most = interval * 3 / 2;
        let grown = interval.saturating_sub(self.interval);
        let later = |at: Mono| at.max((until + at.since(since) + grown).min(at + most));
        match self.phase {
            Phase::Off | Phase::Silent(_) => {}
            Phase::Waiting => self.grace_until = later(self.grace_until),
            Phase::Beating | Phase::Late => {
                self.alive = self.alive.max(until.min(self.alive + most));
                self.late_at = later(self.late_at);
                self.silent_at = later(self.silent_at);
                self.ask_at = self.late_at;
                self.inquiry = None;
            }
        }
    }

    /// Applies the passing of time.
    pub fn advance(&mut self, now: Mono) -> Advance {
        let before = self.phase;
        let mut ask = false;
        match self.phase {
            Phase::Off | Phase::Silent(_) => {}
            Phase::Waiting => {
                if now >= self.grace_until && on(Rule::Grace) {
                    self.phase = Phase::Silent(0);
                }
            }
            Phase::Beating | Phase::Late => {
                if now >= self.silent_at {
                    self.phase = Phase::Silent(0);
                } else if now >= self.late_at {
                    self.phase = Phase::Late;
                    ask = self.inquire(now);
                }
            }
        }
        if !matches!(self.phase, Phase::Late) {
            self.inquiry = None;
        }
        Advance { changed: before != self.phase, ask }
    }

    /// Opens, goes on with or ends the inquiry. Returns whether to ask now.
    fn inquire(&mut self, now: Mono) -> bool {
        if now >= self.ask_at {
            let begin = std::mem::replace(&mut self.ask_at, Mono::NEVER);
            self.inquiry = self.next_inquiry(begin).map(Box::new);
        }
        let Some(inquiry) = &mut self.inquiry else { return false };
        if now < inquiry.end() && (on(Rule::InquiryEnd) || !inquiry.is_refuted()) {
            return inquiry.take_try(now);
        }
        if inquiry.is_refuted() {
            self.phase = Phase::Silent(0);
        }
        self.inquiry = None;
        false
    }

    /// A source of other evidence answered. Returns whether the evidence changed.
    pub fn answer(&mut self, now: Mono, source: u32, answer: Answer) -> bool {
        if self.phase != Phase::Late {
            return false;
        }
        let Some(inquiry) = &mut self.inquiry else { return false };
        inquiry.answer(source, answer != Answer::Against);
        if !inquiry.is_cleared() {
            return false;
        }
        match answer {
            Answer::Against | Answer::Runs => false,
            Answer::Works => {
                // Alive, though not beating: it has the retries before that is called hung.
                let settings = self.settings;
                let limit = settings.scaled(settings.timeout, self.interval);
                let hung = self.last + limit + self.interval.saturating_mul(settings.retries);
                self.stay(now, hung.min(now + limit));
                false
            }
            Answer::Beats => {
                let settings = self.settings;
                let limit = settings.scaled(settings.timeout, self.interval);
                self.stay(now, now + limit);
                self.phase = Phase::Beating;
                true
            }
        }
    }

    /// A good answer: the inquiry is over, and the next one opens when another sign of life is due.
    fn stay(&mut self, now: Mono, silent_at: Mono) {
        self.alive = now;
        self.inquiry = None;
        self.late_at = (now + self.interval).min(silent_at);
        self.ask_at = self.late_at;
        self.silent_at = silent_at;
    }

    /// When it is given up if nothing good is heard any more and every answer speaks against it.
    pub fn given_up(&self) -> Mono {
        match self.phase {
            Phase::Off | Phase::Silent(_) => Mono::NEVER,
            Phase::Waiting => self.grace_until,
            Phase::Beating | Phase::Late => {
                let ahead = match &self.inquiry {
                    Some(inquiry) => Some(inquiry.end()),
                    None => self.next_inquiry(self.ask_at).map(|inquiry| inquiry.end()),
                };
                ahead.map_or(self.silent_at, |end| end.min(self.silent_at))
            }
        }
    }

    /// The inquiry that opens at `begin`, if there is anybody to ask and time for it.
    fn next_inquiry(&self, begin: Mono) -> Option<Inquiry> {
        if begin >= self.silent_at {
            return None;
        }
        let need = self.settings.confirm.filter(|_| self.askable)?;
        let profile = Some(self.settings.profile).filter(|profile| self.credit.allows(*profile));
        Inquiry::open(begin, self.alive, self.interval, self.silent_at, profile, need)
    }

    /// When [`Heart::advance`] next has something to do.
    pub fn next_deadline(&self) -> Mono {
        match self.phase {
            Phase::Off | Phase::Silent(_) => Mono::NEVER,
            Phase::Waiting if !on(Rule::Grace) => Mono::NEVER,
            Phase::Waiting => self.grace_until,
            Phase::Beating => self.late_at,
            Phase::Late => {
                let inquiry = self.inquiry.as_ref().map_or(Mono::NEVER, |inquiry| inquiry.next_deadline());
                self.silent_at.min(self.ask_at).min(inquiry)
            }
        }
    }

    /// What it says.
    pub fn evidence(&self) -> HeartEvidence {
        match self.phase {
            Phase::Off => HeartEvidence::None,
            Phase::Waiting => HeartEvidence::Waiting,
            Phase::Beating => HeartEvidence::Beating,
            Phase::Late => HeartEvidence::Late,
            Phase::Silent(_) => HeartEvidence::Silent,
        }
    }

    /// When the last beat arrived; meaningless before the first.
    pub fn last(&self) -> Mono {
        self.last
    }

    /// Last sign of life: a heartbeat, or a good answer.
    pub fn alive(&self) -> Mono {
        self.alive
    }

    /// When it is or was late, and when it is given up if nobody is asked.
    pub fn limits(&self) -> (Mono, Mono) {
        (self.late_at, self.silent_at)
    }

    /// The inquiry under way.
    pub fn inquiry(&self) -> Option<&Inquiry> {
        self.inquiry.as_deref()
    }

    /// The interval at which it is expected now.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long lifesign has listened without hearing it, for the memory that outlives a restart. `listens_since`:
    /// a spool may tell of a beat before that, and what came since then may be on its way too.
    pub fn silence(&self, now: Mono, listens_since: Mono) -> Duration {
        match self.phase {
            Phase::Off => Duration::ZERO,
            Phase::Waiting => now.since(self.waiting_since),
            // Given up without ever having been heard.
            Phase::Silent(_) if self.beats == 0 => now.since(self.waiting_since),
            Phase::Beating | Phase::Late | Phase::Silent(_) => now.since(self.last.max(listens_since)),
        }
    }

    /// Whether a beat is overdue or has yet to come, and the verdict is still open.
    pub fn is_awaited(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Late)
    }

    /// Beats since the process last changed.
    pub fn beats(&self) -> u32 {
        self.beats
    }

    /// Beats in a row that bring it back.
    pub fn rise(&self) -> u32 {
        self.settings.rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HeartbeatSpec {
        HeartbeatSpec {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            retries: 2,
            rise: 2,
            ..HeartbeatSpec::never()
        }
    }

    fn heard(heart: &mut Heart, seconds: u64) -> bool {
        heart.beat(at(seconds), Arrival::at(at(seconds)))
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    #[test]
    fn silence_makes_late_after_the_timeout_and_silent_after_the_retries() {
        let mut heart = Heart::new(Some(&spec()), at(0), Mono::NEVER);
        heard(&mut heart, 100);
        assert_eq!(heart.evidence(), HeartEvidence::Beating);
        assert_eq!(heart.next_deadline(), at(115));
        assert!(!heart.advance(Mono::from_millis(114_999)).changed);
        assert!(heart.advance(at(115)).changed);
        assert_eq!(heart.evidence(), HeartEvidence::Late);
        assert_eq!(heart.next_deadline(), at(125));
        assert!(heart.advance(at(125)).changed);
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
        assert_eq!(heart.next_deadline(), Mono::NEVER);
    }

    #[test]
    fn a_late_heart_needs_one_beat_and_a_silent_one_needs_rise() {
        let mut heart = Heart::new(Some(&spec()), at(0), Mono::NEVER);
        heard(&mut heart, 0);
        heart.advance(at(16));
        assert!(heard(&mut heart, 17));
        assert_eq!(heart.evidence(), HeartEvidence::Beating);

        heart.advance(at(60));
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
        assert!(!heard(&mut heart, 61));
        assert!(!heard(&mut heart, 100), "too late after the first to count as the second");
        assert!(heard(&mut heart, 105));
        assert_eq!(heart.evidence(), HeartEvidence::Beating);
    }

    #[test]
    fn a_silence_is_excused_once_by_a_stall_of_our_own() {
        let mut heart = Heart::new(Some(&spec()), at(0), Mono::NEVER);
        heard(&mut heart, 100);
        heart.excuse(at(104));
        assert_eq!(heart.limits(), (at(119), at(129)), "as if a beat had come at the stall's end");
        heart.excuse(at(118));
        assert_eq!(heart.limits(), (at(119), at(129)));
        heard(&mut heart, 120);
        heart.excuse(at(118));
        assert_eq!(heart.limits(), (at(135), at(145)), "it was heard since");
        heart.excuse(at(134));
        assert_eq!(heart.limits(), (Mono::from_millis(142_500), Mono::from_millis(152_500)));
    }

    #[test]
    fn a_heart_never_heard_has_its_fair_chance_and_no_longer() {
        let mut heart = Heart::new(Some(&spec()), at(0), at(30));
        assert!(!heart.advance(at(29)).changed);
        assert_eq!(heart.evidence(), HeartEvidence::Waiting);
        assert!(heart.advance(at(30)).changed);
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
    }

    #[test]
    fn a_sender_that_announces_no_time_at_all_or_the_same_as_ever_is_expected_as_before() {
        let spec = HeartbeatSpec { mode: Mode::Backoff, ..spec() };
        let mut heart = Heart::new(Some(&spec), at(0), Mono::NEVER);
        for (seconds, interval) in [(100, 2), (102, 0), (104, 2)] {
            let interval = Some(Duration::from_secs(interval));
            heart.beat(at(seconds), Arrival { interval, ..Arrival::at(at(seconds)) });
            assert_eq!(heart.interval(), Duration::from_secs(2));
            assert_eq!(heart.limits(), (at(seconds + 6), at(seconds + 10)));
        }
    }

    #[test]
    fn without_a_specification_nothing_is_expected() {
        let mut heart = Heart::new(None, at(0), at(1));
        assert!(!heard(&mut heart, 0));
        assert!(!heart.advance(at(1000)).changed);
        assert_eq!(heart.evidence(), HeartEvidence::None);
    }
}
