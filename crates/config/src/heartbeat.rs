//! Heartbeats: when they are expected, and how their absence is judged.
//!
//! Two families of detectors, told apart by the key of their time limit. The *fixed* one has a `timeout`: a promise
//! to the second. The *learned* ones (adaptive, chen, phi) find the moment of suspicion themselves, and have a
//! `max_timeout` that they never pass. Writing the key of the one beside the other is an error, because one of
//! the two numbers would silently mean nothing.

use std::time::Duration;

use lifesign_core::spec::{Confirm, DetectorSpec, HeartbeatSpec, Mode, Profile};
use serde_json::{Value as Json, json};

use crate::check::DEFAULT_INTERVAL;
use crate::decode::{Decode, one_of, word, word_schema};
use crate::fields::{Cx, Timing};
use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::service::single;
use crate::time::write_duration;
use crate::{record, words};

/// Most sources that `confirm: K of N` can ask.
pub const MAX_CONFIRM: u32 = 16;
/// Names of the detectors, the default one first.
const DETECTORS: [&str; 4] = ["adaptive", "fixed", "chen", "phi"];

words!(Mode { Fixed = "fixed", Backoff = "backoff", Mutual = "mutual" });
words!(Profile { Fast = "fast", Default = "default", Strict = "strict" });

record! {
    /// Heartbeats expected from a service.
    pub struct Heartbeat {
        /// Between two heartbeats; in mode `backoff` the longest. `defaults.interval` where unset, else 10s.
        interval: Option<Duration> [Duration::from_millis(100)..=Duration::from_secs(31_536_000)],
        /// How the sender spaces its heartbeats: always the same; from 1s on, doubling up to `interval` while all goes well, each heartbeat saying when the next is due; or as `fixed`, each heartbeat saying whether its sender hears lifesign.
        mode: Mode = "fixed",
        /// The time limit of the fixed detector: silence after which the service is `suspect`; not shorter than `interval`. `defaults.timeout` where unset, else three times the interval. Written here it makes the detector `fixed`.
        timeout: Option<Duration>,
        /// The time limit of the other detectors: silence after which the service is judged at the latest; not shorter than `interval`. Three times the interval where unset.
        max_timeout: Option<Duration>,
        /// How the moment of suspicion is found. Where unset: `fixed` where a `timeout` is written here or in `defaults`, else `adaptive`.
        detector: Option<Detector>,
        /// How long the adaptive detector asks around before it judges. `defaults.profile` where unset, else `default`.
        profile: Option<Profile>,
        /// Whether the checks are asked at suspicion, and may end it early. `defaults.confirm` where unset, else `on`, for the fixed detector `off`.
        confirm: Option<Confirmation>,
        /// Further intervals without a heartbeat before the service is judged `down`: after the `timeout` of the fixed detector; with the others after `max_timeout`, when the application answers its checks while its heart is silent. `defaults.retries` where unset, else 2.
        retries: Option<u32> [0..=1000],
        /// Heartbeats in a row that bring the service back.
        rise: u32 [1..=100] = 1,
        /// A sender that counts its `progress` and stands still for longer than this is `hung`, though it beats. Never where unset.
        progress_within: Option<Duration>,
        /// Whether the unit's own `WATCHDOG=1` to systemd is a heartbeat; for systemd units alone, and in mode `fixed`. lifesign asks systemd for it when it is due and in twentieths of the interval after that.
        watchdog: bool = false,
        /// How often the sender itself tries again before it calls the link offline. Written here for people: senders are configured where they run.
        send_retries: u32 [0..=100] = 2,
    }
    check Heartbeat::check
}

/// How the moment of suspicion is found, as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Detector {
    /// Learned in constant memory, with other evidence asked at suspicion.
    Adaptive,
    /// The `timeout` after the last heartbeat.
    Fixed,
    /// Chen's NFD-E.
    Chen(Chen),
    /// The φ accrual detector.
    Phi(Phi),
}

record! {
    /// Chen's NFD-E: the expected arrival of the next heartbeat, learned from the last ones, and a margin.
    pub struct Chen {
        /// What is added to the expected arrival. The interval where unset.
        margin: Option<Duration>,
        /// Arrivals it is learnt from; each takes 8 bytes a service.
        window: u32 [1..=10_000] = 1000,
    }
}

record! {
    /// The φ accrual detector: suspicion as a number that grows with silence.
    pub struct Phi {
        /// φ at which the service is suspect: 1 is one wrong suspicion in ten gaps, 8 one in a hundred million, if gaps were normal.
        threshold: f64 [1.0..=16.0] = 8.0,
        /// Gaps between heartbeats it is learnt from; each takes 8 bytes a service.
        window: u32 [2..=10_000] = 1000,
    }
}

impl Copy for Chen {}
impl Copy for Phi {}

impl Detector {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Fixed => "fixed",
            Self::Chen(_) => "chen",
            Self::Phi(_) => "phi",
        }
    }

    fn is_fixed(self) -> bool {
        self == Self::Fixed
    }

    fn is_adaptive(self) -> bool {
        self == Self::Adaptive
    }
}

impl Decode for Detector {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        // Without keys of its own a detector has its defaults.
        let bare = Node::unwritten(Value::Map(Vec::new()));
        let Value::Map(entries) = &node.value else {
            return match word(node, &DETECTORS.map(|name| (name, name)), cx)? {
                "adaptive" => Some(Self::Adaptive),
                "fixed" => Some(Self::Fixed),
                "chen" => Chen::decode(&bare, cx).map(Self::Chen),
                _ => Phi::decode(&bare, cx).map(Self::Phi),
            };
        };
        let [entry] = entries.as_slice() else {
            let span = entries.get(1).map_or(node.span, |second| second.key_span);
            cx.error(span, format!("a detector has one key, its name; here are {}", entries.len()))
                .hint("such as `{ phi: { threshold: 8 } }`");
            return None;
        };
        match entry.key.as_str() {
            "chen" => Chen::decode(&entry.node, cx).map(Self::Chen),
            "phi" => Phi::decode(&entry.node, cx).map(Self::Phi),
            name @ ("adaptive" | "fixed") => {
                cx.error(entry.key_span, format!("the detector `{name}` has no keys of its own"))
                    .hint(format!("write `detector: {name}`"));
                None
            }
            other => {
                let hint = match nearest(other, DETECTORS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "keys of their own have `chen` and `phi`".to_owned(),
                };
                cx.error(
                    entry.key_span,
                    format!("unknown detector `{}`", crate::problem::shorten(other, 40)),
                )
                .hint(hint);
                None
            }
        }
    }

    fn what() -> String {
        format!("{}, or a map such as `{{ phi: {{ threshold: 8 }} }}`", one_of(DETECTORS))
    }

    fn schema() -> Json {
        let words = word_schema(DETECTORS);
        json!({ "x-type": "[detector](#detectors)", "anyOf": [
            words["anyOf"][0],
            single("chen", Chen::schema()),
            single("phi", Phi::schema()),
            words["anyOf"][1],
        ] })
    }
}

/// Whether other evidence is asked at suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// All checks are asked; one good answer is enough.
    On,
    /// Nobody is asked.
    Off,
    /// So many of so many must speak against the service.
    Of(Confirm),
}

impl Confirmation {
    /// `2 of 3`.
    fn parse(text: &str) -> Option<Confirm> {
        let (need, of) = text.split_once(" of ")?;
        let number = |text: &str| {
            let digits = text.trim();
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok()).flatten()
        };
        Some(Confirm { need: number(need)?, of: number(of)? })
    }
}

impl Decode for Confirmation {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match node.text() {
            Some("on") => return Some(Self::On),
            Some("off") => return Some(Self::Off),
            _ => {}
        }
        let Some(confirm) = node.text().and_then(Self::parse) else {
            let reported = cx.expected(node, &Self::what());
            if let Value::Bool(value) = node.value {
                reported.hint(format!("write `{}`", if value { "on" } else { "off" }));
            }
            return None;
        };
        if (1..=confirm.of).contains(&confirm.need) && confirm.of <= MAX_CONFIRM {
            return Some(Self::Of(confirm));
        }
        cx.error(node.span, format!("{} is out of bounds", node.found()))
            .hint(format!("`K of N` with K from 1 to N, and N at most {MAX_CONFIRM}"));
        None
    }

    fn what() -> String {
        "`on`, `off` or `2 of 3`".to_owned()
    }

    fn schema() -> Json {
        let words = word_schema(["on", "off"]);
        json!({ "x-type": "`on`, `off`, `K of N`", "anyOf": [
            words["anyOf"][0],
            { "type": "string", "pattern": "^ *[0-9]+ +of +[0-9]+ *$" },
            words["anyOf"][1],
        ] })
    }
}

impl Heartbeat {
    /// A heartbeat of which nothing is written: `defaults` alone say how it is judged.
    pub const fn unwritten() -> Self {
        Self {
            interval: None,
            mode: Mode::Fixed,
            timeout: None,
            max_timeout: None,
            detector: None,
            profile: None,
            confirm: None,
            retries: None,
            rise: 1,
            progress_within: None,
            watchdog: false,
            send_retries: 2,
        }
    }

    /// How the moment of suspicion is found: as written here, else as what is written here implies, else as the
    /// defaults say.
    pub fn detector(&self, defaults: &Timing) -> Detector {
        let default = defaults.detector();
        match self.detector {
            Some(written) => written,
            None if self.timeout.is_some() => Detector::Fixed,
            None if self.profile.is_some() => Detector::Adaptive,
            None if self.max_timeout.is_some() && default.is_fixed() => Detector::Adaptive,
            None => default,
        }
    }

    /// The heartbeat with all defaults filled in.
    pub fn spec(&self, defaults: &Timing) -> HeartbeatSpec {
        let interval = self.interval.or(defaults.interval).unwrap_or(DEFAULT_INTERVAL);
        let detector = self.detector(defaults);
        let limit = match detector {
            Detector::Fixed => self.timeout.or(defaults.timeout),
            Detector::Adaptive | Detector::Chen(_) | Detector::Phi(_) => self.max_timeout,
        };
        let confirmation = self.confirm.or(defaults.confirm).unwrap_or(match detector {
            Detector::Fixed => Confirmation::Off,
            Detector::Adaptive | Detector::Chen(_) | Detector::Phi(_) => Confirmation::On,
        });
        HeartbeatSpec {
            interval,
            mode: self.mode,
            timeout: limit.unwrap_or(interval * 3),
            retries: self.retries.or(defaults.retries).unwrap_or(2),
            rise: self.rise,
            detector: match detector {
                Detector::Fixed => DetectorSpec::Fixed,
                Detector::Adaptive => {
                    DetectorSpec::Adaptive(self.profile.or(defaults.profile).unwrap_or(Profile::Default))
                }
                Detector::Chen(Chen { margin, window }) => {
                    DetectorSpec::Chen { margin: margin.unwrap_or(interval), window }
                }
                Detector::Phi(Phi { threshold, window }) => DetectorSpec::Accrual { threshold, window },
            },
            confirm: confirmation != Confirmation::Off,
            progress_within: self.progress_within,
            second_opinion: match confirmation {
                Confirmation::Of(confirm) => Some(confirm),
                Confirmation::On | Confirmation::Off => None,
            },
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.check_keys(node, cx) {
            self.check_times(node, cx);
        }
        if self.watchdog && self.mode != Mode::Fixed {
            cx.error(node.at("mode"), "what a unit says to systemd tells of no such mode")
                .hint("with `watchdog: true` the mode is `fixed`");
        }
    }

    /// Whether all keys belong to the same detector.
    fn check_keys(&self, node: &Node, cx: &mut Cx) -> bool {
        let before = cx.errors();
        let learned = self.detector.filter(|detector| !detector.is_fixed());
        if let (Some(detector), Some(_)) = (learned, self.timeout) {
            wrong_limit(node, detector, cx).hint("write `max_timeout` for the longest silence");
        }
        if self.max_timeout.is_some() && learned.is_none() {
            if self.timeout.is_some() {
                cx.error(
                    node.at("max_timeout"),
                    "`timeout` makes the detector `fixed`, which has no `max_timeout`",
                )
                .hint("write one of the two");
            } else if self.detector.is_some() {
                cx.error(node.at("max_timeout"), "the detector `fixed` has no `max_timeout`")
                    .hint("write `timeout`");
            }
        }
        check_profile(self.profile, self.detector, self.timeout, node, cx);
        cx.errors() == before
    }

    /// Whether the times fit each other.
    fn check_times(&self, node: &Node, cx: &mut Cx) {
        let HeartbeatSpec { interval, timeout, detector, .. } = self.spec(&cx.defaults);
        if timeout < interval {
            let (shown, interval) = (write_duration(timeout), write_duration(interval));
            let key = if self.max_timeout.is_some() { "max_timeout" } else { "timeout" };
            if self.timeout.is_some() || self.max_timeout.is_some() {
                cx.error(
                    node.at(key),
                    format!("the {key} ({shown}) is shorter than the interval ({interval})"),
                )
                .hint("a heartbeat that comes in time would be too late");
            } else {
                cx.error(
                    node.at("interval"),
                    format!("the interval ({interval}) is longer than the timeout of `defaults` ({shown})"),
                )
                .hint("write a `timeout` here too, or `detector: adaptive`");
            }
        }
        if let DetectorSpec::Chen { margin, .. } = detector
            && interval + margin > timeout
        {
            let span =
                if node.get("detector").is_some() { node.at("detector") } else { node.at("max_timeout") };
            let (margin, interval, limit) =
                (write_duration(margin), write_duration(interval), write_duration(timeout));
            cx.warn(
                span,
                format!("the margin ({margin}) ends after `max_timeout` ({limit}), so it has no effect"),
            )
            .hint(format!("it begins when the next heartbeat is expected, about {interval} after the last"));
        }
        if let Some(within) = self.progress_within.filter(|within| *within < interval) {
            let (within, interval) = (write_duration(within), write_duration(interval));
            cx.error(
                node.at("progress_within"),
                format!("`progress_within` ({within}) is shorter than the interval ({interval})"),
            )
            .hint("progress is only seen when a heartbeat comes");
        }
    }
}

/// Reports a `timeout` beside a learned detector.
fn wrong_limit<'c>(node: &Node, detector: Detector, cx: &'c mut Cx) -> crate::fields::Reported<'c> {
    let name = detector.name();
    cx.error(
        node.at("timeout"),
        format!("`timeout` belongs to the detector `fixed`, and this one is `{name}`"),
    )
}

/// Reports a profile of a detector that has none. `timeout` and `detector`: as written in the same map.
fn check_profile(
    profile: Option<Profile>,
    detector: Option<Detector>,
    timeout: Option<Duration>,
    node: &Node,
    cx: &mut Cx,
) {
    if profile.is_none() {
        return;
    }
    match detector {
        Some(detector) if !detector.is_adaptive() => {
            let name = detector.name();
            cx.error(node.at("profile"), format!("the detector `{name}` has no `profile`"))
                .hint("only `adaptive` has; take one of the two out");
        }
        None if timeout.is_some() => {
            cx.error(node.at("profile"), "`timeout` makes the detector `fixed`, which has no `profile`")
                .hint("take one of the two out");
        }
        Some(_) | None => {}
    }
}

/// Holds the detection keys of `defaults` to what those of a heartbeat are held to.
pub(crate) fn check_defaults(defaults: &Timing, node: &Node, cx: &mut Cx) {
    if let Some(detector) = defaults.detector.filter(|detector| !detector.is_fixed())
        && defaults.timeout.is_some()
    {
        wrong_limit(node, detector, cx).hint("take one of the two out; a service can have its own");
    }
    check_profile(defaults.profile, defaults.detector, defaults.timeout, node, cx);
}
