//! Reference models: each rule a second time, as the sentence in the documentation says it, from the whole history
//! at once and without a thought for speed. What the engine keeps up step by step must be the same.

use super::*;
use crate::check::CheckRun;
use crate::flap::{self, Flaps};
use crate::remedy::{REFUSED_WAIT, Remedy, Step};
use crate::spec::{DetectorSpec, Profile};
use crate::verdict::ProbeEvidence;

// --- One check: rise, fall, soft and hard -------------------------------------------------------------------

/// What may come of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Pass,
    Fail,
    /// A failure in the time of a start.
    Excused,
    Unknown,
}

/// Where a check stands after all these looks.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    verdict: Option<bool>,
    contrary: usize,
    passes: usize,
    bad_since: Option<usize>,
    shown: CheckState,
}

impl Standing {
    /// The verdict is that of the last stretch which was long enough; the very first pass is long enough.
    fn of(looks: &[Look], rise: usize, fall: usize) -> Self {
        let said = |end: usize| looks[..end].iter().filter(|look| **look != Look::Unknown);
        let known: Vec<(usize, bool)> = looks
            .iter()
            .enumerate()
            .filter(|(_, look)| matches!(look, Look::Pass | Look::Fail))
            .map(|(at, look)| (at, *look == Look::Pass))
            .collect();
        let stretch =
            |end: usize| known[..end].iter().rev().take_while(|look| look.1 == known[end - 1].1).count();
        let verdict_after = |end: usize| {
            (1..=end).rev().find_map(|at| {
                let pass = known[at - 1].1;
                let none_before = !known[..at - 1].iter().any(|look| look.1)
                    && (1..at).all(|before| stretch(before) < fall);
                let enough = stretch(at) >= if pass { rise } else { fall } || (pass && none_before);
                enough.then_some(pass)
            })
        };
        let verdict = verdict_after(known.len());
        let trailing = if known.is_empty() { 0 } else { stretch(known.len()) };
        let contrary = match known.last() {
            Some((_, pass)) if Some(*pass) != verdict => trailing,
            _ => 0,
        };
        // The first failure after the last pass that left it well.
        let well = (1..=known.len()).rev().find(|end| known[end - 1].1 && verdict_after(*end) == Some(true));
        let bad_since = known[well.unwrap_or(0)..].iter().find(|look| !look.1).map(|look| look.0);
        let shown = match (looks.last(), verdict) {
            (Some(Look::Unknown), _) => CheckState::Unknown,
            (_, Some(true)) => CheckState::Pass,
            (_, Some(false)) => CheckState::Fail,
            (_, None) => CheckState::Pending,
        };
        let all: Vec<&Look> = said(looks.len()).collect();
        let passes = all.iter().rev().take_while(|look| ***look == Look::Pass).count();
        Self { verdict, contrary, passes, bad_since, shown }
    }
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let look = prop_oneof![
        4 => Just(Look::Pass), 4 => Just(Look::Fail), 1 => Just(Look::Excused), 1 => Just(Look::Unknown),
    ];
    prop::collection::vec(look, 0..40)
}

fn take(check: &mut CheckRun, at: usize, look: Look, rise: usize, fall: usize) {
    let outcome = match look {
        Look::Pass => PASS,
        Look::Fail | Look::Excused => REFUSED,
        Look::Unknown => CheckOutcome::Unknown,
    };
    let report =
        CheckReport { outcome, output: String::new(), phases: Phases::default(), components: Vec::new() };
    let at = Wall::from_millis(i64::try_from(at).unwrap());
    check.take(at, report, u32::try_from(rise).unwrap(), u32::try_from(fall).unwrap(), look != Look::Excused);
}

proptest! {
    #[test]
    fn a_check_stands_where_the_last_stretch_that_was_long_enough_put_it(
        before in looks(), looks in looks(), rise in 1_usize..5, fall in 1_usize..5,
    ) {
        let mut check = CheckRun::default();
        for look in before {
            take(&mut check, 0, look, rise, fall);
        }
        // Another process: nothing of the old one counts.
        check.forget();
        let mut counted: Vec<Look> = Vec::new();
        for (at, mut look) in looks.into_iter().enumerate() {
            // A start excuses only who has not been judged yet.
            if look == Look::Excused && check.verdict().is_some() {
                look = Look::Fail;
            }
            counted.push(look);
            take(&mut check, at, look, rise, fall);
            let is = Standing {
                verdict: check.verdict(),
                contrary: check.contrary() as usize,
                passes: check.passes() as usize,
                bad_since: check.bad_since().map(|at| usize::try_from(at.as_millis()).unwrap()),
                shown: check.state(),
            };
            prop_assert_eq!(is, Standing::of(&counted, rise, fall), "{:?}", counted);
        }
    }

    /// A group works when it does however the open checks turn out, and fails when it does however they do.
    #[test]
    fn a_group_is_judged_as_soon_as_nothing_open_could_change_it(
        groups in prop::collection::vec((1_u32..4, prop::collection::vec(0_u8..4, 1..4)), 1..4),
    ) {
        let mut spec = service("web");
        let mut looks = Vec::new();
        for (number, (need, members)) in groups.iter().enumerate() {
            for member in members {
                spec = with_check(spec, u16::try_from(number).unwrap(), *need);
                looks.push(*member);
            }
        }
        for check in &mut spec.checks {
            (check.rise, check.fall) = (1, 1);
        }
        let mut world = World::new(one(spec));
        for (at, look) in looks.iter().enumerate() {
            let at = u16::try_from(at).unwrap();
            match look {
                0 => world.check("web", at, PASS),
                1 => world.check("web", at, REFUSED),
                2 => world.check("web", at, CheckOutcome::Fail(FailKind::Timeout)),
                _ => {}
            }
        }
        let mut whole = (true, false, Vec::new());
        for (need, members) in &groups {
            let need = (*need as usize).min(members.len());
            let open = members.iter().filter(|member| **member == 3).count();
            let pass = members.iter().filter(|member| **member == 0).count();
            // Every way in which the open ones may turn out.
            let works: Vec<bool> = (0..1_u32 << open).map(|way| pass + way.count_ones() as usize >= need).collect();
            if works.iter().all(|works| !works) {
                whole.2.push(!members.contains(&1));
            } else if works.iter().all(|works| *works) {
                whole.1 |= members.iter().any(|member| matches!(member, 1 | 2));
            } else {
                whole.0 = false;
            }
        }
        let expected = match whole {
            (.., failing) if failing.contains(&false) => ProbeEvidence::Failing,
            (.., failing) if !failing.is_empty() => ProbeEvidence::TimedOut,
            (_, true, _) => ProbeEvidence::Partly,
            (false, ..) => ProbeEvidence::Waiting,
            _ => ProbeEvidence::Pass,
        };
        prop_assert_eq!(world.engine.services[0].probe_evidence(), expected);
    }
}

// --- One service that has nothing but its heart --------------------------------------------------------------

/// Times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Sender {
    interval: u64,
    timeout: u64,
    retries: u64,
    rise: usize,
    /// Whether the moment of suspicion is learned.
    learned: bool,
}

impl Sender {
    /// Silence after which it is given up: with nobody to ask, a learned detector has its cap and no retries.
    fn patience(self) -> u64 {
        if self.learned { self.timeout } else { self.timeout + self.interval * self.retries }
    }

    fn spec(self) -> ServiceSpec {
        let mut spec = service("worker");
        spec.heartbeat = Some(HeartbeatSpec {
            interval: Duration::from_millis(self.interval),
            timeout: Duration::from_millis(self.timeout),
            retries: u32::try_from(self.retries).unwrap(),
            rise: u32::try_from(self.rise).unwrap(),
            detector: if self.learned {
                DetectorSpec::Adaptive(Profile::Default)
            } else {
                DetectorSpec::Fixed
            },
            confirm: self.learned,
            ..HeartbeatSpec::never()
        });
        spec
    }

    /// What is to be said at `now` of a sender whose beats so far are these.
    fn judged(self, beats: &[(u64, BeatStatus)], now: u64) -> (State, Option<Reason>) {
        let Some((last, status)) = beats.last().copied() else { return (State::Pending, None) };
        let (mut given_up, mut in_a_row, mut before) = (false, 0, beats[0].0);
        for (at, _) in beats {
            if !given_up && at - before >= self.patience() {
                (given_up, in_a_row) = (true, 0);
            }
            if given_up {
                in_a_row = if in_a_row > 0 && at - before > self.timeout { 1 } else { in_a_row + 1 };
                given_up = in_a_row < self.rise;
            }
            before = *at;
        }
        let silent = given_up || now - last >= self.patience();
        let late = now - last >= self.timeout;
        match status {
            BeatStatus::Stopping => (State::Down, Some(Reason::StoppedByOperator)),
            _ if silent => (State::Down, Some(Reason::MissedHeartbeat)),
            _ if late => (State::Suspect, Some(Reason::MissedHeartbeat)),
            BeatStatus::Fail => (State::Down, Some(Reason::CheckFailed)),
            BeatStatus::Alive => (State::Up, None),
        }
    }

    /// Every change of state with its time, looked for wherever there may be one.
    fn story(self, beats: &[(u64, BeatStatus)], end: u64) -> Vec<(u64, State, Option<Reason>)> {
        let mut story = Vec::new();
        let mut is = (State::Pending, None);
        for count in 0..=beats.len() {
            let next = beats.get(count).map_or(end, |beat| beat.0);
            let from = count.checked_sub(1).map(|last| beats[last].0);
            let moments = from.into_iter().flat_map(|at| [at, at + self.timeout, at + self.patience()]);
            for at in moments.filter(|at| *at <= next) {
                let now = self.judged(&beats[..count], at);
                if now != is {
                    is = now;
                    story.push((at, now.0, now.1));
                }
            }
        }
        story
    }
}

fn senders() -> impl Strategy<Value = Sender> {
    let numbers = (1_000_u64..20_000, 1.0..4.0, 0_u64..4, 1_usize..4, any::<bool>());
    numbers.prop_map(|(interval, times, retries, rise, learned)| {
        let timeout = (interval as f64 * times) as u64;
        Sender { interval, timeout, retries, rise, learned }
    })
}

/// Beats, mostly regular, in thousandths of an interval after the one before.
fn beats() -> impl Strategy<Value = Vec<(u64, BeatStatus)>> {
    let gap = prop_oneof![6 => 800_u64..1_200, 2 => 0_u64..4_000, 1 => 4_000_u64..12_000];
    let status = prop_oneof![8 => Just(BeatStatus::Alive), 1 => Just(BeatStatus::Fail), 1 => Just(BeatStatus::Stopping)];
    prop::collection::vec((gap, status), 0..25)
}

/// Without the suspicions, whose moment is learned, and what they cut in two.
fn without_suspicion(story: Vec<(u64, State, Option<Reason>)>) -> Vec<(u64, State, Option<Reason>)> {
    let mut kept: Vec<(u64, State, Option<Reason>)> = Vec::new();
    for one in story.into_iter().filter(|one| one.1 != State::Suspect) {
        if kept.last().is_none_or(|last| (last.1, last.2) != (one.1, one.2)) {
            kept.push(one);
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// To the millisecond: up, suspect, down and up again happen when the sentence says so, and nothing else does.
    #[test]
    fn a_service_with_nothing_but_a_heart_lives_and_dies_to_the_millisecond(
        sender in senders(), beats in beats(), tail in 0_u64..30,
    ) {
        let mut world = World::new(one(sender.spec()));
        let mut heard = Vec::new();
        for (gap, status) in beats {
            world.pass(Duration::from_millis(gap * sender.interval / 1000));
            world.beat_with("worker", status, &[]);
            heard.push((u64::try_from(world.wall - EPOCH).unwrap(), status));
        }
        world.pass(Duration::from_millis(tail * sender.interval));
        let end = u64::try_from(world.wall - EPOCH).unwrap();
        let story: Vec<_> = world
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Transition(told) => {
                    Some((u64::try_from(told.at.as_millis() - EPOCH).unwrap(), told.to, told.reason))
                }
                _ => None,
            })
            .collect();
        let expected = sender.story(&heard, end);
        if sender.learned {
            prop_assert_eq!(without_suspicion(story), without_suspicion(expected), "{:?}", heard);
        } else {
            prop_assert_eq!(story, expected, "{:?}", heard);
        }
    }
}

// --- Flapping -------------------------------------------------------------------------------------------------

/// The penalty at a time: a thousand for each incident, halved every quarter of an hour.
fn penalty(incidents: &[u64], millis: u64) -> f64 {
    let halvings = |at: u64| (millis - at) as f64 / 900_000.0;
    incidents.iter().map(|at| 1000.0 * 0.5_f64.powf(halvings(*at))).sum()
}

/// The first millisecond from `from` on at which so little is left, found by halving the search.
fn forgiven(incidents: &[u64], from: u64) -> u64 {
    let (mut no, mut yes) = (from, from + 100 * 3_600_000);
    while no + 1 < yes {
        let middle = u64::midpoint(no, yes);
        *(if penalty(incidents, middle) <= flap::END { &mut yes } else { &mut no }) = middle;
    }
    yes
}

proptest! {
    /// Twelve incidents at most, so that the limit of the penalty is never reached.
    #[test]
    fn flapping_begins_and_ends_where_the_sum_of_all_penalties_says(
        gaps in prop::collection::vec(prop_oneof![0_u64..600_000, 0_u64..4_000_000], 1..12),
    ) {
        let mut flaps = Flaps::default();
        let (mut incidents, mut flapping, mut now) = (Vec::new(), false, 1_u64);
        for gap in gaps {
            let ends = incidents.last().map(|last| forgiven(&incidents, *last)).filter(|_| flapping);
            if let Some(ends) = ends {
                let foretold = flaps.next_deadline().as_nanos().div_ceil(1_000_000);
                prop_assert!(foretold.abs_diff(ends) <= 1, "{foretold}, not {ends}");
            }
            now += gap;
            // Too near to the edge to tell what rounding makes of it.
            prop_assume!(ends.is_none_or(|ends| now.abs_diff(ends) > 2));
            let over = ends.is_some_and(|ends| ends <= now);
            prop_assert_eq!(flaps.settle(Mono::from_millis(now)), over);
            flapping &= !over;
            incidents.push(now);
            let sum = penalty(&incidents, now);
            prop_assume!((sum - flap::BEGIN).abs() > 1e-6);
            let begins = !flapping && sum > flap::BEGIN;
            prop_assert_eq!(flaps.add(Mono::from_millis(now)), begins);
            flapping |= begins;
            prop_assert_eq!(flaps.is_flapping(), flapping);
            prop_assert!((flaps.penalty(Mono::from_millis(now)) - sum).abs() < 1e-6);
        }
    }
}

// --- Restarts ---------------------------------------------------------------------------------------------------

/// What becomes of a restart that was scheduled, or happens beside it.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Begins,
    /// The service recovered meanwhile.
    Cancelled,
    /// Something stood in its way; the next try is made.
    Refused,
    /// The incident is over, and the next one begins.
    IncidentOver,
    /// A person orders one.
    Ordered,
}

fn fates() -> impl Strategy<Value = Vec<(u64, Fate)>> {
    let fate = prop_oneof![
        5 => Just(Fate::Begins), 2 => Just(Fate::Cancelled), 1 => Just(Fate::Refused),
        2 => Just(Fate::IncidentOver), 1 => Just(Fate::Ordered),
    ];
    prop::collection::vec((prop_oneof![0_u64..30, 0_u64..600], fate), 1..40)
}

/// All that was ever charged, and nothing else.
#[derive(Debug, Default)]
struct Ledger {
    charged: Vec<Mono>,
    attempts: u32,
}

impl Ledger {
    fn wait(&self, spec: &RestartSpec) -> Duration {
        let mut wait = spec.backoff_min;
        for _ in 0..self.attempts {
            wait = (wait * 2).min(spec.backoff_max);
        }
        wait
    }

    /// When the next restart may start: after the back-off, at the first moment at which the window before it has room.
    fn next(&self, now: Mono, spec: &RestartSpec) -> Mono {
        let at = now + self.wait(spec);
        let mut moments: Vec<Mono> = self.charged.iter().map(|old| *old + spec.window).collect();
        moments.push(at);
        moments.sort_unstable();
        let has_room = |moment: &Mono| {
            let inside = self.charged.iter().filter(|old| **old + spec.window > *moment).count();
            inside < spec.budget as usize
        };
        moments.into_iter().filter(|moment| *moment >= at).find(has_room).unwrap_or(Mono::NEVER)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn restarts_wait_and_are_withheld_as_the_list_of_all_of_them_says(
        budget in 0_u32..5, window in 60_u64..900, most in 1_u64..300, fates in fates(),
    ) {
        let spec = RestartSpec {
            budget,
            window: Duration::from_secs(window),
            backoff_min: SECOND,
            backoff_max: Duration::from_secs(most),
            prove_for: 10 * SECOND,
        };
        let by: Arc<str> = "remediation".into();
        let (mut remedy, mut ledger, mut now) = (Remedy::default(), Ledger::default(), Mono::from_millis(1));
        for (wait, fate) in fates {
            now = now + Duration::from_secs(wait);
            match fate {
                Fate::IncidentOver => {
                    remedy.rest();
                    ledger.attempts = 0;
                    continue;
                }
                Fate::Ordered => {
                    remedy.begin(now, "ordered".into(), false);
                    remedy.answered();
                    ledger.attempts += 1;
                }
                Fate::Begins | Fate::Cancelled | Fate::Refused => {
                    let at = ledger.next(now, &spec);
                    let held = at > now + ledger.wait(&spec);
                    prop_assert_eq!(remedy.schedule(now, &spec, &by), (at, held));
                    if at == Mono::NEVER || matches!(fate, Fate::Cancelled) {
                        remedy.step = Step::Idle;
                        continue;
                    }
                    now = at;
                    remedy.begin(now, "a".into(), true);
                    if matches!(fate, Fate::Refused) {
                        let again = remedy.refuse(now, Some(&spec), "an update is under way");
                        now = now + SECOND.max(REFUSED_WAIT);
                        prop_assert_eq!(again, Some(now));
                        remedy.begin(now, "b".into(), true);
                    }
                    remedy.answered();
                    ledger.charged.push(now);
                    ledger.attempts += 1;
                }
            }
            remedy.step = Step::Idle;
            prop_assert_eq!(remedy.attempts, ledger.attempts);
            let inside = ledger.charged.iter().filter(|old| **old + spec.window > now).count();
            prop_assert_eq!(remedy.used(now, spec.window) as usize, inside);
        }
    }
}
