//! What is promised, in numbers: how late a death may be noticed, how early a heart may be given up, how long a
//! recovery may take. Each bound names the sentence of the contract it comes from.

use std::time::Duration;

use lifesign_core::model::CheckKind;
use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Mode, Profile, ServiceSpec};

use super::Watch;
use crate::world::plan::Trouble;

/// What the world itself may take: one turn of the oracle, the queue of an overloaded lifesign, a probe.
pub(super) const SLACK: Duration = Duration::from_millis(4500);
/// How long an agent may take to tell of a unit: late news, and the way back over a link.
pub(super) const NEWS: Duration = Duration::from_secs(16);

/// What each restart of lifesign may forget of a silence: it is written every 5 s, and the store may be slow.
const FORGOTTEN: Duration = Duration::from_secs(11);

/// The interval at which a sender beats: the one it announced, where that is shorter.
pub(super) fn present_interval(heartbeat: &HeartbeatSpec, announced: Option<Duration>) -> Duration {
    let announced = announced.filter(|_| heartbeat.mode == Mode::Backoff);
    announced.unwrap_or(heartbeat.interval).min(heartbeat.interval)
}

/// A time that is written for the configured interval, at the announced one.
fn at_present(heartbeat: &HeartbeatSpec, announced: Option<Duration>, span: Duration) -> Duration {
    span.mul_f64(present_interval(heartbeat, announced).as_secs_f64() / heartbeat.interval.as_secs_f64())
}

/// The silence after which a heart must have been given up: `timeout`, then `retries` intervals.
pub(super) fn longest_silence(heartbeat: &HeartbeatSpec, announced: Option<Duration>) -> Duration {
    at_present(heartbeat, announced, heartbeat.timeout + heartbeat.interval * heartbeat.retries)
}

/// The silence before which a heart must not be given up whose application last answered well after `answered`:
/// the longest one, though no more than a `timeout` after that answer.
pub(super) fn answering_silence(
    heartbeat: &HeartbeatSpec,
    announced: Option<Duration>,
    answered: Duration,
) -> Duration {
    let timeout = at_present(heartbeat, announced, heartbeat.timeout);
    longest_silence(heartbeat, announced).min(answered + timeout)
}

/// How long a new process must live before an incident is over.
pub(super) fn prove_for(spec: &ServiceSpec) -> Duration {
    spec.restart.as_ref().map_or(Duration::from_secs(10), |restart| restart.prove_for)
}

/// The chance of a heart that has not been heard since its process started, or since lifesign started: the
/// longest silence, at least `start_grace`; all lives of lifesign together one and a half intervals more.
pub(super) fn chance(spec: &ServiceSpec) -> Duration {
    let heart = spec.heartbeat.as_ref();
    let silence = heart.map_or(Duration::ZERO, |heart| longest_silence(heart, None) + heart.interval * 3 / 2);
    silence.max(spec.start_grace)
}

/// How long checks may take to notice a trouble that makes those of the kinds in `failing` fail; `None`: they
/// never do.
fn checks_fail_within(spec: &ServiceSpec, failing: impl Fn(CheckKind) -> bool) -> Option<Duration> {
    let mut groups: Vec<u16> = spec.checks.iter().map(|check| check.group).collect();
    groups.dedup();
    let within = groups.into_iter().filter_map(|group| {
        let mine = || spec.checks.iter().filter(move |check| check.group == group);
        let left = mine().filter(|check| !failing(check.kind)).count();
        let need = mine().next().map_or(1, |check| check.need as usize);
        // `fall` failures in a row, the first of them at the next turn.
        let slowest = mine().map(|check| (check.interval + Duration::from_secs(1)) * (check.fall + 1)).max();
        slowest.filter(|_| left < need)
    });
    let grace = if spec.unit.is_some() { spec.start_grace } else { Duration::ZERO };
    within.min().map(|time| time + grace)
}

/// When a heart must be given up however often lifesign is restarted: what it has listened in vain is
/// remembered, but for the time before the silence was written down, and a little of each life.
fn over_all_lives(spec: &ServiceSpec, watch: &Watch, stalled: Duration, lives: &[Duration]) -> Duration {
    let Some(heartbeat) = spec.heartbeat.as_ref().filter(|_| watch.known) else { return Duration::MAX };
    let since = watch.hush.max(watch.bad_since).max(watch.last_beat);
    let restarts = u32::try_from(lives.iter().filter(|began| **began >= since).count()).unwrap_or(u32::MAX);
    let excuses = if stalled >= since { restarts + 1 } else { 0 };
    since
        + longest_silence(heartbeat, None)
        + chance(spec)
        + heartbeat.interval * 3 / 2 * excuses
        + FORGOTTEN * restarts
}

/// When a service in this trouble must have an incident, in run time; `None`: nothing is promised.
///
/// A stall of lifesign within a silence may have lost a beat, and the next one comes an interval later: it gives a
/// heart one and a half intervals more, once.
pub(super) fn must_be_noticed(
    spec: &ServiceSpec,
    watch: &Watch,
    trouble: Trouble,
    stalled: Duration,
    lives: &[Duration],
) -> Option<Duration> {
    let since = watch.quiet.max(watch.bad_since);
    let interval = spec.heartbeat.as_ref().map_or(Duration::ZERO, |heartbeat| heartbeat.interval);
    let excuse =
        if stalled >= watch.beat.unwrap_or(Duration::ZERO) { interval * 3 / 2 } else { Duration::ZERO };
    let by_heart = spec.heartbeat.as_ref().and_then(|heartbeat| match watch.beat {
        Some(beat) if watch.fresh => {
            Some(beat.max(since) + longest_silence(heartbeat, watch.interval) + excuse)
        }
        // A heart never heard is expected only where something else says that the service exists.
        _ if watch.known || spec.unit.is_some() || !spec.checks.is_empty() => {
            let this_life = since + chance(spec) + excuse;
            Some(this_life.min(over_all_lives(spec, watch, stalled, lives)))
        }
        _ => None,
    });
    let has_heart = spec.heartbeat.is_some();
    let by = match trouble {
        Trouble::Gone(_) if spec.unit.is_some() => Some(since + NEWS),
        Trouble::Gone(_) if has_heart => by_heart,
        Trouble::Gone(_) => checks_fail_within(spec, |_| true).map(|within| since + within),
        Trouble::Hung | Trouble::Mute if has_heart => by_heart,
        Trouble::Hung => {
            checks_fail_within(spec, |kind| kind == CheckKind::Http).map(|within| since + within)
        }
        // A heart that beats makes it degraded; that is an incident only where the service says so. Where the
        // heart is only late the probes are not looked at, so the bound begins with a beat.
        Trouble::Lying if has_heart && !spec.alert_on_degraded => None,
        Trouble::Lying if has_heart && watch.beats == 0 => None,
        Trouble::Lying => checks_fail_within(spec, |_| true).map(|within| since + within),
        Trouble::Stuck => spec
            .heartbeat
            .as_ref()
            .and_then(|heartbeat| heartbeat.progress_within)
            .and_then(|within| watch.progress.1.map(|_| watch.progress.0.max(since) + within)),
        Trouble::Failing => watch.failing.map(|failing| failing.max(since)),
        Trouble::Stopped | Trouble::Mute => None,
    };
    by.map(|by| by + SLACK)
}

/// The silence after which a heart is given up that nobody else speaks for or against.
pub(super) fn alone(heartbeat: &HeartbeatSpec, announced: Option<Duration>) -> Duration {
    match heartbeat.detector {
        DetectorSpec::Fixed => longest_silence(heartbeat, announced),
        DetectorSpec::Chen { .. } | DetectorSpec::Accrual { .. } | DetectorSpec::Adaptive(_) => {
            at_present(heartbeat, announced, heartbeat.timeout)
        }
    }
}

/// The silence before which a beating heart must not be given up. The fixed detector: `timeout` and `retries`
/// intervals, or where others were asked and all spoke against it, their inquiry. The learned ones: the cap, or
/// that inquiry. All at the interval which the sender announced.
pub(super) fn least_silence(
    spec: &ServiceSpec,
    heartbeat: &HeartbeatSpec,
    announced: Option<Duration>,
) -> Duration {
    let interval = present_interval(heartbeat, announced);
    let profile = match heartbeat.detector {
        DetectorSpec::Adaptive(profile) => profile,
        DetectorSpec::Fixed | DetectorSpec::Chen { .. } | DetectorSpec::Accrual { .. } => Profile::Default,
    };
    let inquiry = interval.mul_f64(match profile {
        Profile::Fast => 1.5,
        Profile::Default => 2.0,
        Profile::Strict => 2.85,
    });
    let alone = alone(heartbeat, announced);
    if heartbeat.confirm && !spec.checks.is_empty() {
        let fixed = heartbeat.detector == DetectorSpec::Fixed;
        let asked =
            if fixed { inquiry.max(at_present(heartbeat, announced, heartbeat.timeout)) } else { inquiry };
        alone.min(asked)
    } else {
        alone
    }
}

/// How long after its cause is over a service may still be judged by it: every source of evidence gets its
/// whole time, one after the other.
pub(super) fn aftermath(spec: &ServiceSpec) -> Duration {
    let checks = spec
        .checks
        .iter()
        .map(|check| (check.interval + Duration::from_secs(1)) * (check.fall + check.rise + 1));
    let heart = spec.heartbeat.as_ref().map_or(Duration::ZERO, |heart| heart.interval * (heart.rise + 1));
    chance(spec) + spec.start_grace + checks.max().unwrap_or_default() + heart + NEWS + SLACK
}

/// How long a service that is well may take to be `up`, with its incident closed.
pub(super) fn recovery(spec: &ServiceSpec) -> Duration {
    aftermath(spec) + prove_for(spec)
}
