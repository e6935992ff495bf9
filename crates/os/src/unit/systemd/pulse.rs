//! The heart of a unit that tells systemd of itself (`sd_notify(3)`, `WATCHDOG=1`): systemd keeps when it was last told.
//!
//! systemd sends no signal for that, so it is asked: when the next beat is due, and then in short steps until it is there.
//! A program that keeps time costs two calls an interval.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::bus::{Link, Session};
use super::full_name;

/// How much of an interval passes between two looks for a beat that is due, and the bounds of that.
const STEPS: u32 = 20;
const STEP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The same for one that is overdue by an interval or has never been.
const SILENT_STEPS: u32 = 4;
const SILENT_STEP: Duration = Duration::from_secs(5);
/// How soon a unit that could not be asked about is asked about again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How soon the state of the connection is looked at again where its keeper has ended.
const NO_LINK: Duration = Duration::from_secs(3600);

/// What systemd hears of one unit.
pub(crate) struct Pulse {
    name: String,
    link: watch::Receiver<Link>,
    rhythm: Rhythm,
}

impl Pulse {
    pub(crate) fn new(name: &str, interval: Duration, link: watch::Receiver<Link>) -> Self {
        Self { name: full_name(name).into_owned(), link, rhythm: Rhythm::new(interval) }
    }

    /// Waits for the next beat; gives its age.
    pub(crate) async fn next(&mut self) -> Duration {
        loop {
            let now = self.link.borrow_and_update().clone();
            if let Link::Up(session) = now {
                let listening = listen(&session, &self.name, &mut self.rhythm);
                tokio::select! {
                    heard = listening => match heard {
                        Ok(age) => return age,
                        Err(error) => {
                            tracing::debug!(unit = self.name, %error, "Cannot ask systemd for the heart of a unit");
                            // If it is the connection, the link changes; if it is this unit, try again by and by.
                            let _ = timeout(RETRY_AFTER, self.link.changed()).await;
                        }
                    },
                    _ = self.link.changed() => {}
                }
            } else if self.link.changed().await.is_err() {
                sleep(NO_LINK).await;
            }
        }
    }
}

/// Asks until there is a beat that was not there before.
async fn listen(session: &Session, name: &str, rhythm: &mut Rhythm) -> zbus::Result<Duration> {
    let path = session.load(name).await?;
    loop {
        sleep(rhythm.pause(monotonic())).await;
        let told = Duration::from_micros(session.watchdog(&path).await?);
        if let Some(age) = rhythm.take(told, monotonic()) {
            return Ok(age);
        }
    }
}

/// When to ask. Times are those of systemd's clock, `CLOCK_MONOTONIC`; zero is never.
#[derive(Debug)]
struct Rhythm {
    interval: Duration,
    told: Duration,
    asked: Duration,
}

impl Rhythm {
    const fn new(interval: Duration) -> Self {
        Self { interval, told: Duration::ZERO, asked: Duration::ZERO }
    }

    fn step(&self) -> Duration {
        (self.interval / STEPS).clamp(STEP.0, STEP.1)
    }

    /// How long not to ask.
    fn pause(&self, now: Duration) -> Duration {
        if self.asked.is_zero() {
            return Duration::ZERO;
        }
        let due = self.told + self.interval;
        let step = if self.told.is_zero() || now > due + self.interval {
            (self.interval / SILENT_STEPS).min(SILENT_STEP).max(self.step())
        } else {
            self.step()
        };
        (self.asked + step).max(due.min(now + self.interval)).saturating_sub(now)
    }

    /// Takes an answer: whether it tells of another beat, and how old that is.
    ///
    /// A step of the age is the way's own and not told: what finds beats in steps finds none sooner, and a detector that
    /// learns when they come would otherwise suspect every one that is still to be found.
    fn take(&mut self, told: Duration, now: Duration) -> Option<Duration> {
        self.asked = now;
        if told <= self.told {
            return None;
        }
        self.told = told;
        Some(now.saturating_sub(told).saturating_sub(self.step()))
    }
}

fn monotonic() -> Duration {
    Duration::from_micros(crate::clock::monotonic_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Lets a program beat at these times, and gives when each beat was found and the number of looks.
    fn found(interval: Duration, beats: &[Duration], until: Duration) -> (Vec<(Duration, Duration)>, u32) {
        let mut rhythm = Rhythm::new(interval);
        let (mut now, mut looks, mut found) = (ms(1), 0, Vec::new());
        while now < until {
            now += rhythm.pause(now);
            looks += 1;
            let told = beats.iter().copied().filter(|beat| *beat <= now).max().unwrap_or_default();
            if let Some(age) = rhythm.take(told, now) {
                found.push((now, age));
            }
        }
        (found, looks)
    }

    #[test]
    fn a_program_that_keeps_time_is_heard_within_a_step_for_two_looks_an_interval() {
        let beats: Vec<Duration> = (1..=100).map(|n| ms(10_000 * n + 37 * (n % 3))).collect();
        let (found, looks) = found(ms(10_000), &beats, ms(1_000_000));
        assert!((98..=100).contains(&found.len()), "{}", found.len());
        for (at, age) in &found[1..] {
            let beat = beats.iter().copied().filter(|beat| beat <= at).max().unwrap();
            assert!(*at - beat <= ms(500) && age.is_zero(), "{beat:?} was heard at {at:?}, {age:?} old");
        }
        assert!(looks < 250, "{looks} looks");
    }

    #[test]
    fn a_faster_program_is_heard_once_an_interval_and_a_silent_one_is_asked_for_seldom() {
        let beats: Vec<Duration> = (1..=1000).map(|n| ms(1000 * n)).collect();
        let (heard, looks) = found(ms(10_000), &beats, ms(1_000_000));
        assert!((95..=105).contains(&heard.len()) && looks < 130, "{} {looks}", heard.len());
        let (heard, looks) = found(ms(10_000), &[ms(5000)], ms(1_000_000));
        assert!(heard.len() == 1 && looks < 450, "{looks}");
    }

    #[test]
    fn an_old_word_found_at_the_first_look_is_not_taken_for_a_new_one() {
        let mut rhythm = Rhythm::new(ms(10_000));
        assert_eq!(rhythm.take(ms(1000), ms(90_000)), Some(ms(88_500)));
        assert_eq!(rhythm.take(ms(1000), ms(91_000)), None);
        assert_eq!(rhythm.take(ms(0), ms(92_000)), None, "systemd has forgotten the unit");
    }
}
