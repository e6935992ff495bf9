//! What else would be worth a try on the same trace.
//!
//! Only what the trace can answer: other settings at its own interval, and at twice that, for which every second
//! heartbeat is left out. What a shorter interval would bring no trace knows.

use std::time::Duration;

use lifesign_config::time::write_duration;
use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Mode, Profile};
use lifesign_proto::trace::{Outage, ServiceTrace};

use super::figures::{Alternative, Figures};
use super::play;

/// Plays `service`, which sends every `interval`, with other settings.
pub(super) fn play_all(
    mut service: ServiceTrace,
    outages: &[Outage],
    interval: Duration,
    seed: u64,
) -> Vec<Alternative> {
    let play = |service: &ServiceTrace, (heartbeat, spec): (String, HeartbeatSpec)| {
        let figures = Figures::of(service, &spec, play::play(service, outages, &spec, seed));
        Alternative {
            heartbeat,
            worst_phase: figures.worst_phase,
            mistakes: figures.mistakes,
            query_accuracy: figures.query_accuracy,
            questions_per_day: figures.questions_per_day,
        }
    };
    let mut played = vec![
        play(&service, fixed(interval, 2)),
        play(&service, fixed(interval, 3)),
        play(&service, adaptive(interval, Profile::Fast, true)),
        play(&service, adaptive(interval, Profile::Default, true)),
        play(&service, adaptive(interval, Profile::Strict, true)),
        play(&service, adaptive(interval, Profile::Default, false)),
    ];
    let mut keep = false;
    service.beats.retain(|_| {
        keep = !keep;
        keep
    });
    played.push(play(&service, fixed(interval * 2, 2)));
    played.push(play(&service, adaptive(interval * 2, Profile::Default, true)));
    played
}

/// A written timeout of so many intervals, and what it is in a configuration.
fn fixed(interval: Duration, intervals: u32) -> (String, HeartbeatSpec) {
    let timeout = interval * intervals;
    let written = format!(
        "{{ interval: {}, timeout: {}, retries: 0 }}",
        write_duration(interval),
        write_duration(timeout)
    );
    (written, HeartbeatSpec { interval, timeout, ..HeartbeatSpec::never() })
}

/// The default detector, and what it is in a configuration.
fn adaptive(interval: Duration, profile: Profile, confirm: bool) -> (String, HeartbeatSpec) {
    let profile_key = match profile {
        Profile::Fast => ", profile: fast",
        Profile::Default => "",
        Profile::Strict => ", profile: strict",
    };
    let confirm_key = if confirm { "" } else { ", confirm: off" };
    let spec = HeartbeatSpec {
        interval,
        mode: Mode::Fixed,
        timeout: interval * 3,
        retries: 2,
        detector: DetectorSpec::Adaptive(profile),
        confirm,
        ..HeartbeatSpec::never()
    };
    (format!("{{ interval: {}{profile_key}{confirm_key} }}", write_duration(interval)), spec)
}
