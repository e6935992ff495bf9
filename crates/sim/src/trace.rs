//! Heartbeats of synthetic senders over synthetic networks, as a stream: seven recipes, decided by a seed.
//!
//! Four are the reference's: a WAN like the week from JAIST to EPFL that Hayashibara and others measured (SRDS
//! 2004), a data centre, a weak mobile link, and the same with a sender that repeats what is not acknowledged.
//! Three are [hostile]. Each makes a heartbeat in constant memory but for its list of bad periods, a few dozen
//! bytes for each hour or so.
//!
//! Questions travel the same network at the same time: what it does to a heartbeat, it does to them.

mod dc;
mod hostile;
mod wan;
mod weak;

use std::collections::VecDeque;
use std::time::Duration;

use lifesign_core::time::Mono;
use lifesign_core::whatif::Path;

use crate::draws::Draws;

/// How a trace is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// 103.5 ms, 142 ms one way, 0.4 % lost in rare bursts of which a few are very long.
    Wan,
    /// 10 s over TCP: loss becomes delay; pauses of the application; the network is gone for seconds.
    DataCentre,
    /// 10 s in datagrams over a mobile link: every ten minutes bad for a quarter of one, sometimes gone.
    Weak,
    /// The same link; the sender repeats after 1, 2 and 4 s what was lost.
    WeakWithRetry,
    /// 10 s; bursts that lose nine of ten packets, or all of them for a time too short to be called an outage.
    Bursts,
    /// 10 s; delay and loss follow the hours of the day.
    Diurnal,
    /// 10 s; processes pause, and at times their whole host.
    Pauses,
}

impl Recipe {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Wan,
        Self::DataCentre,
        Self::Weak,
        Self::WeakWithRetry,
        Self::Bursts,
        Self::Diurnal,
        Self::Pauses,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Wan => "WAN, 100 ms",
            Self::DataCentre => "data centre, 10 s",
            Self::Weak => "weak link, datagrams, 10 s",
            Self::WeakWithRetry => "weak link, sender retries, 10 s",
            Self::Bursts => "hostile: bursts of loss, 10 s",
            Self::Diurnal => "hostile: delay by the hour of the day, 10 s",
            Self::Pauses => "hostile: pausing senders, 10 s",
        }
    }

    /// Between two heartbeats.
    pub const fn interval(self) -> Duration {
        match self {
            Self::Wan => Duration::from_micros(103_500),
            Self::DataCentre
            | Self::Weak
            | Self::WeakWithRetry
            | Self::Bursts
            | Self::Diurnal
            | Self::Pauses => Duration::from_secs(10),
        }
    }
}

/// A heartbeat that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The sender's count, from 0; a gap is a lost one.
    pub seq: u64,
    /// When it was sent.
    pub sent: Mono,
    /// When it arrived.
    pub arrived: Mono,
}

/// A stretch in which the network was worse than usual. Times in seconds from the start.
#[derive(Debug, Clone, Copy)]
struct Bad {
    from: f64,
    until: f64,
    /// Share of the packets that are lost.
    loss: f64,
}

/// The bad periods so far, by time, none touching another.
#[derive(Debug, Default)]
struct Weather {
    bad: Vec<Bad>,
}

impl Weather {
    fn at(&self, time: f64) -> Option<&Bad> {
        let next = self.bad.partition_point(|bad| bad.until < time);
        self.bad.get(next).filter(|bad| bad.from <= time)
    }

    /// Whether nothing came through for at least `length`, at some time from `from` to `until`.
    fn was_out(&self, from: f64, until: f64, length: f64) -> bool {
        let next = self.bad.partition_point(|bad| bad.until < from);
        self.bad[next..]
            .iter()
            .take_while(|bad| bad.from <= until)
            .any(|bad| bad.loss >= 1.0 && bad.until - bad.from >= length)
    }
}

/// A sender and its network.
trait Source {
    /// The next heartbeat: when it is sent, when it arrives ([`None`]: never). Send times never fall.
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>);

    /// When a packet that belongs to a question and is sent at `at` arrives; `to_sender`: on its way there.
    fn carry(&self, at: f64, to_sender: bool, weather: &Weather, draws: &mut Draws) -> Option<f64>;
}

/// Heartbeats in the order in which they arrive, and the network that carries them.
pub struct Trace {
    recipe: Recipe,
    source: Box<dyn Source + Send>,
    draws: Draws,
    weather: Weather,
    /// Under way, by arrival: as many as the longest delay has room for.
    flying: VecDeque<Beat>,
    next_seq: u64,
    beats: u64,
    sent: Mono,
}

impl Trace {
    /// So many heartbeats sent after `recipe`.
    pub fn new(recipe: Recipe, beats: u64, seed: u64) -> Self {
        Self::drawn(recipe, beats, Draws::mixed(seed))
    }

    /// The very trace of which the reference's table was made, if it is as long.
    pub fn reference(recipe: Recipe, beats: u64) -> Self {
        let seed = match recipe {
            Recipe::Wan => 1_234_567,
            Recipe::DataCentre => 777,
            _ => 4242,
        };
        Self::drawn(recipe, beats, Draws::raw(seed))
    }

    fn drawn(recipe: Recipe, beats: u64, mut draws: Draws) -> Self {
        let mut weather = Weather::default();
        let end = beats as f64 * recipe.interval().as_secs_f64();
        let source: Box<dyn Source + Send> = match recipe {
            Recipe::Wan => Box::new(wan::Wan::new()),
            Recipe::DataCentre => Box::new(dc::DataCentre::new(end, &mut draws, &mut weather)),
            Recipe::Weak => Box::new(weak::Weak::new(end, false, &mut draws, &mut weather)),
            Recipe::WeakWithRetry => Box::new(weak::Weak::new(end, true, &mut draws, &mut weather)),
            Recipe::Bursts => Box::new(hostile::Bursts::new(end, &mut draws, &mut weather)),
            Recipe::Diurnal => Box::new(hostile::Diurnal::default()),
            Recipe::Pauses => Box::new(hostile::Pauses::default()),
        };
        Self { recipe, source, draws, weather, flying: VecDeque::new(), next_seq: 0, beats, sent: Mono::ZERO }
    }

    /// How it is made.
    pub fn recipe(&self) -> Recipe {
        self.recipe
    }

    /// Whether a single packet sent at `at` is not lost: the reference's idea of a probe, one way and at once.
    pub fn passes(&self, at: Mono, draws: &mut Draws) -> bool {
        let usual = match self.recipe {
            Recipe::DataCentre => 0.0002,
            Recipe::Weak | Recipe::WeakWithRetry => 0.01,
            Recipe::Wan | Recipe::Bursts | Recipe::Diurnal | Recipe::Pauses => 0.001,
        };
        !draws.happens(self.weather.at(seconds(at)).map_or(usual, |bad| bad.loss))
    }

    /// When the last heartbeat so far was sent.
    pub fn sent(&self) -> Mono {
        self.sent
    }

    /// The way of questions; `draws` decides what becomes of them.
    pub fn path<'t>(&'t self, draws: &'t mut Draws) -> Way<'t> {
        Way { trace: self, draws }
    }

    fn send(&mut self) {
        let (sent, arrived) = self.source.send(&mut self.draws, &mut self.weather);
        let seq = self.next_seq;
        self.next_seq += 1;
        self.sent = self.sent.max(mono(sent));
        let Some(arrived) = arrived else { return };
        let beat = Beat { seq, sent: mono(sent), arrived: mono(arrived) };
        let place = self.flying.iter().rposition(|other| other.arrived <= beat.arrived);
        self.flying.insert(place.map_or(0, |place| place + 1), beat);
    }
}

impl Iterator for Trace {
    type Item = Beat;

    fn next(&mut self) -> Option<Beat> {
        // Nothing sent later can arrive before what arrives before it is sent.
        while self.next_seq < self.beats && self.flying.front().is_none_or(|beat| beat.arrived > self.sent) {
            self.send();
        }
        self.flying.pop_front()
    }
}

/// The network of a trace, for questions: there and back, each way with its own luck.
pub struct Way<'t> {
    trace: &'t Trace,
    draws: &'t mut Draws,
}

impl Path for Way<'_> {
    fn ask(&mut self, at: Mono, within: Duration) -> Option<Duration> {
        let Trace { source, weather, .. } = self.trace;
        let there = source.carry(seconds(at), true, weather, self.draws)?;
        let back = source.carry(there, false, weather, self.draws)?;
        let took = mono(back).since(at);
        (took <= within).then_some(took)
    }

    fn was_out(&mut self, from: Mono, until: Mono) -> bool {
        let length = 1.5 * self.trace.recipe.interval().as_secs_f64();
        self.trace.weather.was_out(seconds(from), seconds(until), length)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "decades in nanoseconds fit")]
fn mono(seconds: f64) -> Mono {
    Mono::from_nanos((seconds * 1e9) as u64)
}

fn seconds(at: Mono) -> f64 {
    at.as_nanos() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_delivers_in_order_and_is_decided_by_its_seed() {
        for recipe in Recipe::ALL {
            let beats: Vec<Beat> = Trace::new(recipe, 20_000, 1).collect();
            assert!(beats.len() > 18_000, "{recipe:?}: {}", beats.len());
            assert!(beats.windows(2).all(|pair| pair[0].arrived <= pair[1].arrived), "{recipe:?}");
            assert!(beats.iter().all(|beat| beat.sent <= beat.arrived), "{recipe:?}");
            assert!(Trace::new(recipe, 20_000, 1).eq(beats.iter().copied()), "{recipe:?}");
            assert!(!Trace::new(recipe, 20_000, 2).eq(beats), "{recipe:?}");
        }
    }

    /// Loss and delay as the reference's sketch printed them for its own draws.
    #[test]
    fn the_references_draws_give_the_references_traces() {
        for (recipe, loss, mean) in [
            (Recipe::Weak, 2.457, 0.1037),
            (Recipe::WeakWithRetry, 0.356, 0.1474),
            (Recipe::DataCentre, 0.0, 0.0017),
        ] {
            let (mut count, mut delay) = (0_u64, 0.0);
            for beat in Trace::reference(recipe, 2_000_000) {
                count += 1;
                delay += beat.arrived.since(beat.sent).as_secs_f64();
            }
            let lost = 100.0 * (2_000_000 - count) as f64 / 2_000_000.0;
            assert!((lost - loss).abs() < 0.0006, "{recipe:?}: {lost} % lost");
            let average = delay / count as f64;
            assert!((average - mean).abs() < 0.0001, "{recipe:?}: {average} s");
        }
    }
}
