//! What else would be worth a try on the same trace.
//!
//! Only what the trace can answer: other settings at its own interval, and at twice that, for which every second
//! heartbeat is left out. What a shorter interval would bring no trace knows.

use std::time::Duration;

use lifesign_config::time::write_duration;
use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Mode, Profile};

use super::figures::Alternative;
use super::play::Player;

/// Plays the service in `player`, which sends every `interval`, with other settings.
pub(super) fn play_all(player: &mut Player, interval: Duration) -> Vec<Alternative> {
    let mut played = play(
        player,
        vec![
            fixed(interval, 2),
            fixed(interval, 3),
            adaptive(interval, Profile::Fast, true),
            adaptive(interval, Profile::Default, true),
            adaptive(interval, Profile::Strict, true),
            adaptive(interval, Profile::Default, false),
        ],
    );
    let rarer = vec![fixed(interval * 2, 2), adaptive(interval * 2, Profile::Default, true)];
    played.extend(play(&mut player.halved(), rarer));
    played
}

fn play(player: &mut Player, settings: Vec<(String, HeartbeatSpec)>) -> Vec<Alternative> {
    settings.into_iter().map(|(heartbeat, spec)| Alternative::of(heartbeat, &player.play(&spec))).collect()
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
