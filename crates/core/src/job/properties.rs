//! The watch against a naive model that keeps every event and thinks anew each time, and rules of the calendar
//! for any moment of any zone.

use std::time::Duration;

use proptest::prelude::*;

use super::{Calendar, Job, JobSpec, Moment, Schedule};
use crate::evidence::{BeatStatus, Exit, Run};
use crate::model::Reason;
use crate::time::{Mono, Wall};
use crate::verdict::JobEvidence;

const EPOCH: i64 = 1_700_000_000_000;

fn moment(ms: u64) -> Moment {
    let mono = Mono::from_millis(1_000_000 + ms);
    Moment { mono, real: mono, wall: Wall::from_millis(EPOCH + i64::try_from(ms).unwrap()) }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Run `0` begins.
    Start(u8),
    /// Run `0` ends, well or not.
    End(u8, bool),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        (0u8..3).prop_map(Event::Start),
        (0u8..3, prop::bool::weighted(0.8)).prop_map(|(run, ok)| Event::End(run, ok)),
    ];
    prop::collection::vec((1u64..20_000, event), 0..25)
}

/// Every event, and the rules as the documentation has them; `period`, `grace` and `most` in milliseconds.
struct Naive {
    period: u64,
    grace: u64,
    most: u64,
    events: Vec<(u64, Event)>,
}

impl Naive {
    fn evidence(&self, now: u64) -> JobEvidence {
        let mut going: Vec<(u8, u64)> = Vec::new();
        let mut last: Option<bool> = None;
        let mut overdue = false;
        let mut due = self.period;
        let mut at = 0;
        // Second by second is too slow; each moment at which something can change is enough.
        for index in 0..=self.events.len() {
            let next = self.events.get(index).map_or(now + 1, |(at, _)| *at);
            for time in at..next.min(now + 1) {
                let working = going.iter().any(|(_, began)| time < began + self.most);
                overdue |= time >= due + self.grace && !working;
            }
            at = next;
            let Some((at, event)) = self.events.get(index).filter(|(at, _)| *at <= now) else { break };
            match event {
                Event::Start(run) => {
                    if !going.iter().any(|(id, _)| id == run) {
                        going.push((*run, *at));
                        due = due.max(at + self.period);
                    }
                }
                Event::End(run, ok) => {
                    let began = going.iter().find(|(id, _)| id == run).map(|(_, began)| *began);
                    going.retain(|(id, _)| id != run);
                    let from = began.unwrap_or(*at);
                    due = due.max(if from + self.period > *at { from } else { *at } + self.period);
                    overdue = false;
                    last = Some(*ok);
                    if *ok {
                        going.retain(|(_, other)| *other > from || *at < other + self.most);
                    }
                }
            }
        }
        let too_long = going.iter().any(|(_, began)| now >= began + self.most);
        match (too_long, overdue, last) {
            (true, _, _) => JobEvidence::TooLong,
            (false, true, _) => JobEvidence::Overdue,
            (false, false, None) => JobEvidence::Waiting,
            (false, false, Some(true)) => JobEvidence::Ok,
            (false, false, Some(false)) => JobEvidence::Failed(Reason::Crashed),
        }
    }
}

/// A job that runs in time, and tells of it as `lifesign exec` does, to a lifesign that is away now and then.
struct Punctual {
    job: Job,
    spec: JobSpec,
    /// What a next life would know.
    written: super::JobMemory,
    now: u64,
    /// Virtual time stands still while we are stopped.
    frozen: u64,
}

impl Punctual {
    fn moment(&self, at: u64) -> Moment {
        let real = moment(at);
        Moment { mono: real.mono.back(Duration::from_millis(self.frozen)), ..real }
    }

    /// Lets time pass while we are there. False: the job was called overdue, or too long.
    fn live(&mut self, until: u64) -> bool {
        let mut snapshot = self.now + 30_000;
        while self.now < until {
            let wants = self.job.next_deadline().since(self.moment(self.now).mono);
            let wants = u64::try_from(wants.as_millis()).unwrap_or(u64::MAX).max(1);
            self.now = self.now.saturating_add(wants).min(until).min(snapshot);
            let noticed = self.job.advance(self.moment(self.now));
            if self.now >= snapshot {
                snapshot += 30_000;
            }
            if noticed != super::Noticed::Nothing || self.job.is_awaited() {
                self.written = self.job.memory(self.moment(self.now));
            }
            if matches!(self.job.evidence(), JobEvidence::Overdue | JobEvidence::TooLong) {
                return false;
            }
        }
        true
    }

    /// We are gone until then; `stopped`: and the same afterwards, else another life begins.
    fn away(&mut self, until: u64, stopped: bool) {
        let gone = until - self.now;
        self.now = until;
        if stopped {
            self.frozen += gone;
            let now = self.moment(until);
            self.job.absent(now, Duration::from_millis(gone));
        } else {
            self.job = Job::restore(self.spec.clone(), self.written.clone(), self.moment(until));
        }
    }

    fn tell(&mut self, run: Run) {
        let now = self.moment(self.now);
        self.job.report(now, Duration::ZERO, BeatStatus::Alive, Some(run), None);
        self.written = self.job.memory(now);
    }
}

/// Steps the job as the engine would: at each of its deadlines.
fn let_pass(job: &mut Job, from: u64, to: u64) {
    let mut at = from;
    loop {
        let wants = job.next_deadline().since(moment(0).mono).as_millis();
        let next = u64::try_from(wants).unwrap_or(u64::MAX).max(at);
        if job.next_deadline() == Mono::NEVER || next > to {
            break;
        }
        job.advance(moment(next));
        at = next + u64::from(next == at);
    }
    job.advance(moment(to));
}

proptest! {
    #[test]
    fn a_job_says_what_the_naive_model_says(
        period in 500u64..8_000, grace in 1u64..3_000, most in 100u64..15_000, steps in events(), tail in 0u64..20_000
    ) {
        let millis = Duration::from_millis;
        let schedule = Schedule::Every(millis(period));
        let spec = JobSpec { schedule, grace: millis(grace), max_runtime: Some(millis(most)) };
        let mut job = Job::new(spec, moment(0));
        let mut naive = Naive { period, grace, most, events: Vec::new() };
        let mut at = 0;
        for (gap, event) in steps {
            let_pass(&mut job, at, at + gap);
            at += gap;
            prop_assert_eq!(job.evidence(), naive.evidence(at), "before {:?} at {}", event, at);
            let (run, id) = match event {
                Event::Start(id) => (Run::started(), id),
                Event::End(id, ok) => {
                    let exit = Some(if ok { Exit::Clean } else { Exit::Code(1) });
                    (Run { exit, ..Run::ended() }, id)
                }
            };
            let run = Run { id: Some(format!("run {id}").into()), ..run };
            job.report(moment(at), Duration::ZERO, BeatStatus::Alive, Some(run), None);
            naive.events.push((at, event));
        }
        let_pass(&mut job, at, at + tail);
        prop_assert_eq!(job.evidence(), naive.evidence(at + tail), "at the end, {}", at + tail);
    }

    /// Neither restarts nor stops of our own, short or long, make a job overdue or too long that runs in time.
    #[test]
    fn our_own_absence_is_held_against_no_job(
        absences in prop::collection::vec((1u64..1_500_000, 600u64..400_000, any::<bool>()), 1..8),
        runs in prop::collection::vec((0u64..60_000, 1u64..150_000), 24)
    ) {
        let minute = 60_000;
        let schedule = Schedule::Calendar(Calendar::new(["*/10 * * * *"], "UTC").unwrap());
        let spec = JobSpec {
            schedule: schedule.clone(),
            grace: Duration::from_millis(4 * minute),
            max_runtime: Some(Duration::from_millis(3 * minute)),
        };
        let job = Job::new(spec.clone(), moment(0));
        let mut world = Punctual { written: job.memory(moment(0)), job, spec, now: 0, frozen: 0 };
        // (begins, ends) of absences; each leaves us half a minute at least.
        let mut from = 0;
        let absences: Vec<(u64, u64, bool)> = absences
            .into_iter()
            .map(|(gap, length, stopped)| {
                let begin = from + 30_000 + gap;
                from = begin + length;
                (begin, from, stopped)
            })
            .collect();
        // When a report made at `at` arrives, if its maker tries until `last`.
        let arrives = |at: u64, last: u64| {
            let away = absences.iter().find(|(begin, end, _)| (*begin..*end).contains(&at));
            match away {
                None => Some(at),
                // The next try, at most ten seconds after our return; we are there for half a minute.
                Some((_, end, _)) => (end + 9_000 <= last).then_some(end + 9_000),
            }
        };
        let mut news: Vec<(u64, Run)> = Vec::new();
        let mut at = moment(0).wall;
        for (index, (late, took)) in runs.into_iter().enumerate() {
            let due = schedule.after(at).unwrap().from;
            at = due;
            let start = u64::try_from(due.as_millis() - EPOCH).unwrap() + late;
            let id = Some(format!("{index}").into());
            let end = start + took;
            let took = Some(Duration::from_millis(took));
            news.extend(arrives(start, end).map(|at| (at, Run { id: id.clone(), ..Run::started() })));
            news.extend(arrives(end, end + 120_000).map(|at| (at, Run { id, took, ..Run::ended() })));
        }
        news.sort_by_key(|(at, _)| *at);
        let mut absences = absences.iter().peekable();
        for (at, run) in news {
            while let Some((begin, end, stopped)) = absences.next_if(|(begin, _, _)| *begin <= at) {
                prop_assert!(world.live(*begin), "before {} at {}", begin, world.now);
                world.away(*end, *stopped);
            }
            prop_assert!(world.live(at), "{:?} before {:?} at {}", world.job.evidence(), run, world.now);
            world.tell(run);
        }
    }

    /// Whatever is told, a restart that takes no time changes nothing.
    #[test]
    fn a_job_is_the_same_after_a_restart(steps in events(), period in 500u64..8_000) {
        let spec = JobSpec {
            schedule: Schedule::Every(Duration::from_millis(period)),
            grace: Duration::from_secs(1),
            max_runtime: Some(Duration::from_secs(5)),
        };
        let mut job = Job::new(spec.clone(), moment(0));
        let mut at = 0;
        for (gap, event) in steps {
            let_pass(&mut job, at, at + gap);
            at += gap;
            let run = match event {
                Event::Start(id) => Run { id: Some(format!("{id}").into()), ..Run::started() },
                Event::End(id, _) => Run { id: Some(format!("{id}").into()), ..Run::ended() },
            };
            job.report(moment(at), Duration::ZERO, BeatStatus::Alive, Some(run), None);
            let memory = job.memory(moment(at));
            let text = serde_json::to_string(&memory).unwrap();
            let next = Job::restore(spec.clone(), serde_json::from_str(&text).unwrap(), moment(at));
            prop_assert_eq!(next.evidence(), job.evidence());
            prop_assert_eq!(next.recent(), job.recent());
            prop_assert_eq!(next.next_due(moment(at).wall), job.next_due(moment(at).wall));
        }
    }

    /// Due times lie ahead, grow, and a clock in the zone shows what the pattern says at one end of each.
    #[test]
    fn due_times_lie_ahead_and_in_order(
        start in 0i64..4_000_000_000, zone in 0usize..6, pattern in 0usize..5
    ) {
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"][zone];
        let pattern = ["30 2 * * *", "*/20 * * * *", "0 0 * * sun", "15 1,2,3 * * *", "0 12 29 2 *"][pattern];
        let calendar = Calendar::new([pattern], zone).unwrap();
        let mut at = Wall::from_millis(start * 1000);
        for _ in 0..10 {
            let due = calendar.after(at).unwrap();
            prop_assert!(due.from > at && due.until >= due.from, "{:?} after {}", due, at);
            prop_assert!(due.until.since(due.from) <= Duration::from_secs(3600));
            let again = Calendar::new([pattern], zone).unwrap().after(Wall::from_millis(due.from.as_millis() - 1));
            prop_assert_eq!(again, Some(due), "no time lies between");
            let minute = &calendar.local(due.until)[14..16];
            let minutes: &[&str] = match pattern.split(' ').next().unwrap() {
                "30" => &["30", "00"],
                "15" => &["15", "45"],
                "*/20" => &["00", "20", "40"],
                _ => &["00", "30"],
            };
            prop_assert!(minutes.contains(&minute), "{} shows {}", zone, calendar.local(due.until));
            at = due.from;
        }
    }
}
