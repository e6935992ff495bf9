//! One service of a trace, played against the detector that would watch it.
//!
//! The heart is the engine's own; what is simulated is only whom it can ask. A question takes loss and delay
//! from the trace itself, so it fares as the heartbeats around it did. The budget of questions, which all
//! services share, is not played.

use std::time::Duration;

use lifesign_core::detect::{Answer, Arrival, Heart};
use lifesign_core::spec::HeartbeatSpec;
use lifesign_core::time::Mono;
use lifesign_core::verdict::HeartEvidence;
use lifesign_proto::trace::{Crash, Outage, ServiceTrace, TraceBeat};

/// A question fares as the heartbeats within this time of it.
const AROUND: Duration = Duration::from_secs(60);
/// Heartbeats after which a crash is tried, evenly over the trace; each costs a copy of the heart.
const CRASHES_TRIED: usize = 200_000;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// From the first to the last event of the trace.
    pub(super) length: Duration,
    /// Of that, dead.
    pub(super) dead: Duration,
    /// Crash to `down`, for each crash that was noticed.
    pub(super) detected: Vec<Duration>,
    /// Crashes that were not.
    pub(super) missed: u64,
    /// Heartbeat sent to `down`, had it been the last.
    pub(super) worst_phase: Vec<Duration>,
    /// Mistakes with an outage between the last heartbeat accepted and their begin, …
    pub(super) in_outages: u64,
    /// … and all others.
    pub(super) avoidable: u64,
    /// How long all mistakes stood together.
    pub(super) mistaken: Duration,
    /// Tries of inquiries.
    pub(super) questions: u64,
}

/// Plays `service` against `spec`.
pub(super) fn play(service: &ServiceTrace, outages: &[Outage], spec: &HeartbeatSpec, seed: u64) -> Outcome {
    let network = Network::of(service, outages);
    let arrival = |index: &u32| service.beats.get(*index as usize).and_then(TraceBeat::received);
    let mut order: Vec<u32> = (0_u32..)
        .zip(&service.beats)
        .filter(|(_, beat)| beat.received().is_some())
        .map(|(index, _)| index)
        .collect();
    order.sort_by_key(arrival);
    let mut play = Play::new(service, &network, spec, seed);
    let every = order.len().div_ceil(CRASHES_TRIED).max(1);
    for (count, index) in order.iter().enumerate() {
        let Some(beat) = service.beats.get(*index as usize) else { continue };
        let Some(at) = beat.received() else { continue };
        play.pass(at);
        play.hear(at, beat.sent);
        if count % every == 0 {
            play.outcome.worst_phase.push(crash_after(&play.heart, play.sources, at).since(beat.sent));
        }
    }
    play.finish(service)
}

/// When `heart` gives its sender up if nothing is heard any more and every question is in vain.
fn crash_after(heart: &Heart, sources: u32, now: Mono) -> Mono {
    let mut heart = heart.clone();
    let mut now = now;
    let mut failing = Mono::NEVER;
    loop {
        let next = heart.next_deadline().min(failing);
        if next == Mono::NEVER {
            return now;
        }
        now = next;
        if failing <= now {
            (0..sources).for_each(|source| {
                heart.answer(now, source, Answer::Against);
            });
            failing = Mono::NEVER;
        }
        let ask = heart.advance(now).ask;
        if let Some(inquiry) = heart.inquiry().filter(|_| ask) {
            failing = now + inquiry.gap();
        }
    }
}

/// A service's life, step by step.
struct Play<'t> {
    network: &'t Network<'t>,
    crashes: std::iter::Peekable<std::slice::Iter<'t, Crash>>,
    heart: Heart,
    chance: Chance,
    /// How many can be asked: one, or as many as a second opinion needs.
    sources: u32,
    /// Answers under way: when each is known, and whose it is.
    answers: Vec<(Mono, u32, Answer)>,
    /// Send time of the last heartbeat accepted.
    last_sent: Mono,
    /// Since when it is `down`.
    down: Option<Mono>,
    /// Since when it is `down` and alive.
    mistaken: Option<Mono>,
    dead: bool,
    outcome: Outcome,
}

impl<'t> Play<'t> {
    fn new(service: &'t ServiceTrace, network: &'t Network<'t>, spec: &HeartbeatSpec, seed: u64) -> Self {
        let begin = service.beats.first().map_or(Mono::ZERO, |beat| beat.sent);
        let mut heart = Heart::new(Some(spec), begin, Mono::NEVER);
        heart.set_askable(true);
        Self {
            network,
            crashes: service.crashes.iter().peekable(),
            heart,
            chance: Chance::new(seed, service.id.as_str()),
            sources: spec.second_opinion.map_or(1, |opinion| opinion.of.max(1)),
            answers: Vec::new(),
            last_sent: begin,
            down: None,
            mistaken: None,
            dead: false,
            outcome: Outcome::default(),
        }
    }

    /// Lets time pass until `until`.
    fn pass(&mut self, until: Mono) {
        loop {
            let answer = self.answers.iter().map(|(at, ..)| *at).min().unwrap_or(Mono::NEVER);
            let life = self.next_life();
            let next = self.heart.next_deadline().min(answer).min(life);
            if next > until || next == Mono::NEVER {
                return;
            }
            if life == next {
                self.live_or_die(next);
            }
            for (_, source, answer) in self.answers.extract_if(.., |(at, ..)| *at <= next) {
                self.heart.answer(next, source, answer);
            }
            let asks = self.heart.advance(next).ask;
            if let Some(inquiry) = self.heart.inquiry().filter(|_| asks) {
                self.outcome.questions += u64::from(self.sources);
                for source in 0..self.sources {
                    let (at, answer) = self.network.ask(next, inquiry.gap(), &mut self.chance);
                    self.answers.push((at, source, answer));
                }
            }
            self.look(next);
        }
    }

    fn hear(&mut self, at: Mono, sent: Mono) {
        let before = self.heart.last();
        self.heart.beat(at, Arrival::at(at));
        if self.heart.last() != before || self.heart.beats() == 1 {
            self.last_sent = self.last_sent.max(sent);
        }
        self.heart.advance(at);
        self.look(at);
    }

    /// When the service next dies or comes back.
    fn next_life(&mut self) -> Mono {
        match self.crashes.peek() {
            None => Mono::NEVER,
            Some(crash) if self.dead => crash.until.unwrap_or(Mono::NEVER),
            Some(crash) => crash.at,
        }
    }

    fn live_or_die(&mut self, now: Mono) {
        if self.dead {
            self.end_crash(now);
            self.crashes.next();
        } else if let Some(begin) = self.mistaken.take() {
            self.outcome.mistaken += now.since(begin);
        }
        self.dead = !self.dead;
    }

    /// The present crash is over: was it noticed, and stayed it noticed?
    fn end_crash(&mut self, now: Mono) {
        let Some(crash) = self.crashes.peek() else { return };
        self.outcome.dead += now.since(crash.at);
        match self.down {
            Some(begin) => self.outcome.detected.push(begin.since(crash.at)),
            None => self.outcome.missed += 1,
        }
    }

    /// Compares what the heart says with the truth.
    fn look(&mut self, now: Mono) {
        let silent = self.heart.evidence() == HeartEvidence::Silent;
        if silent && self.down.is_none() {
            self.down = Some(now);
            if !self.dead {
                self.mistaken = Some(now);
                let outage = self.network.is_outage_between(self.last_sent, now);
                *(if outage { &mut self.outcome.in_outages } else { &mut self.outcome.avoidable }) += 1;
            }
        }
        if !silent {
            self.down = None;
            if let Some(begin) = self.mistaken.take() {
                self.outcome.mistaken += now.since(begin);
            }
        }
    }

    /// Ends with the trace; a crash at its end is followed until it is noticed.
    fn finish(mut self, service: &ServiceTrace) -> Outcome {
        let first = service.beats.first().map_or(Mono::ZERO, |beat| beat.sent);
        let sent = service.beats.last().map_or(first, |beat| beat.sent);
        let crash = service.crashes.last().map_or(first, |crash| crash.until.unwrap_or(crash.at));
        let end = sent.max(crash);
        self.pass(end);
        if self.dead {
            self.pass(Mono::NEVER);
            self.end_crash(end);
        }
        if let Some(begin) = self.mistaken.take() {
            self.outcome.mistaken += end.since(begin);
        }
        self.outcome.length = end.since(first);
        self.outcome
    }
}

/// How the network and the service are at any time, told from the trace.
struct Network<'t> {
    beats: &'t [TraceBeat],
    /// How many of the first heartbeats were lost, for each number of them.
    lost: Vec<u32>,
    crashes: &'t [Crash],
    outages: &'t [Outage],
}

impl<'t> Network<'t> {
    fn of(service: &'t ServiceTrace, outages: &'t [Outage]) -> Self {
        let mut lost = Vec::with_capacity(service.beats.len() + 1);
        lost.push(0);
        let mut sum = 0;
        lost.extend(service.beats.iter().map(|beat| {
            sum += u32::from(beat.received().is_none());
            sum
        }));
        Self { beats: &service.beats, lost, crashes: &service.crashes, outages }
    }

    /// The answer to a question asked at `now` that may take `within`, and when it is known.
    fn ask(&self, now: Mono, within: Duration, chance: &mut Chance) -> (Mono, Answer) {
        let in_vain = (now + within, Answer::Against);
        let begin = self.beats.partition_point(|beat| beat.sent < now.back(AROUND));
        let end = self.beats.partition_point(|beat| beat.sent <= now + AROUND);
        // Where heartbeats are rarer than that, the one before and the one after.
        let (begin, end) = if begin < end {
            (begin, end)
        } else {
            (begin.saturating_sub(1), (end + 1).min(self.beats.len()))
        };
        let count = end - begin;
        let lost = self.lost.get(end).unwrap_or(&0) - self.lost.get(begin).unwrap_or(&0);
        if count == 0 || chance.next() < f64::from(lost) / count as f64 {
            return in_vain;
        }
        let Some(delay) = self.delay(begin, end, chance) else { return in_vain };
        let known = now + delay * 2;
        if delay * 2 > within || self.is_outage_between(now, known) || self.is_dead_between(now, known) {
            return in_vain;
        }
        (known, Answer::Works)
    }

    /// The delay of one of the heartbeats from `begin` to `end` that arrived.
    fn delay(&self, begin: usize, end: usize, chance: &mut Chance) -> Option<Duration> {
        let around = self.beats.get(begin..end)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than the length")]
        let from = (chance.next() * around.len() as f64) as usize;
        let (before, after) = around.split_at_checked(from)?;
        let beat = after.iter().chain(before).find(|beat| beat.received().is_some())?;
        Some(beat.received()?.since(beat.sent))
    }

    fn is_outage_between(&self, from: Mono, until: Mono) -> bool {
        let next = self.outages.partition_point(|outage| outage.until < from);
        self.outages.get(next).is_some_and(|outage| outage.from <= until)
    }

    fn is_dead_between(&self, from: Mono, until: Mono) -> bool {
        let next = self.crashes.partition_point(|crash| crash.until.is_some_and(|back| back <= from));
        self.crashes.get(next).is_some_and(|crash| crash.at <= until)
    }
}

/// Chance that can be repeated: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    /// Each service draws for itself, so that what is played beside it changes nothing.
    fn new(seed: u64, id: &str) -> Self {
        let id = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(seed ^ id)
    }

    /// From 0 to less than 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
