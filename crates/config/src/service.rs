//! Services: what is watched.

use std::collections::HashSet;
use std::time::Duration;

use lifesign_core::model::{CheckKind, ServiceId, Severity};
use serde_json::{Value as Json, json};

use crate::check::CheckKeys;
use crate::decode::{Decode, Located, one_of};
use crate::dependency::Needs;
use crate::fields::{Cx, Fields};
use crate::heartbeat::{Confirmation, Heartbeat};
use crate::job::Job;
use crate::kind::{Kind, Target};
use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::peers::PeerNames;
use crate::problem::shorten;
use crate::record::Record;
use crate::time::{Budget, DurationRange, Wait};
use crate::unit::Unit;
use crate::{record, words};

/// Most checks of one service.
pub const MAX_CHECKS: usize = 100;
/// Most targets of all checks of one service; the engine numbers them with 16 bits.
pub const MAX_TARGETS: usize = 10_000;

impl Decode for ServiceId {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Some(text) = node.text() else {
            cx.expected(node, &Self::what());
            return None;
        };
        Self::plain(text)
            .map_err(|error| {
                let span = match &error {
                    lifesign_core::model::IdError::Character(c) => {
                        let at = text.find(*c).unwrap_or(0);
                        cx.sources.inside(node.span, text, at, c.len_utf8())
                    }
                    _ => node.span,
                };
                cx.error(span, error.to_string());
            })
            .ok()
    }

    fn what() -> String {
        "an id such as `orders`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/id" })
    }
}

words!(Severity { Info = "info", Warning = "warning", Error = "error", Critical = "critical" });

record! {
    /// How a service may be restarted. Without this section it never is.
    pub struct Restart {
        /// At most so many restarts within so long.
        budget: Budget = "3 per 10m",
        /// The wait before a restart: the first duration, doubled with each further restart, up to the second.
        backoff: DurationRange = "10s..5m",
        /// How long the new process must live, and its checks pass, before the restart counts.
        prove_for: Duration [Duration::from_millis(100)..=Duration::from_secs(86_400)] = "10s",
    }
}

/// From which state on an incident opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOn {
    /// On `down`.
    Down,
    /// On `degraded` too.
    Degraded,
}

words!(AlertOn { Down = "down", Degraded = "degraded" });

record! {
    /// The keys of a service beside `checks`.
    pub struct ServiceKeys {
        /// Its id: small letters, digits, `.`, `_`, `-`; unique.
        id: Located<ServiceId>,
        /// The OS service or supervised process.
        unit: Option<Unit>,
        /// Heartbeats expected from it.
        heartbeat: Option<Heartbeat>,
        /// When it runs, if it is a job; in place of `heartbeat`.
        job: Option<Job>,
        /// The hosts it runs on, `*` for any letters. This host where unset.
        hosts: Vec<String> [0..=1000] = [],
        /// Services it cannot work without: while one of them is down, or too many of a group, nobody is told about this one.
        depends_on: Vec<Needs> [0..=1000] = [],
        /// How it may be restarted; absent: never.
        restart: Option<Restart>,
        /// From which state on an incident opens.
        alert_on: AlertOn = "down",
        /// Severity of its alert `ServiceDown`.
        severity: Severity = "critical",
        /// How long after a start silence and failing checks are not yet held against it.
        start_grace: Wait = "10s",
        /// What clients of other monitors call it.
        peers: Option<PeerNames>,
    }
    check ServiceKeys::check
}

impl ServiceKeys {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.restart.is_some()
            && self.unit.is_none()
            && let Some(entry) = node.entry("restart")
        {
            cx.error(
                entry.key_span,
                format!("`{}` has no `unit`, so there is nothing to restart", self.id.as_str()),
            );
        }
        if self.heartbeat.is_some()
            && self.job.is_some()
            && let Some(entry) = node.entry("heartbeat")
        {
            cx.error(
                entry.key_span,
                format!("`{}` is a job and has no heartbeat beside it", self.id.as_str()),
            )
            .hint("what it sends tells of its runs; take one of the two out");
        }
        if self.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.watchdog)
            && !matches!(self.unit, Some(Unit::Systemd(_)))
            && let Some(heartbeat) = node.get("heartbeat")
        {
            cx.error(
                heartbeat.at("watchdog"),
                format!("`{}` has no systemd unit whose watchdog could be heard", self.id.as_str()),
            )
            .hint("write `unit: NAME.service`, or take it out");
        }
        for needed in self.depends_on.iter().flat_map(|needs| &needs.of) {
            if **needed == *self.id {
                cx.error(needed.span, format!("`{}` cannot depend on itself", self.id.as_str()));
            }
        }
    }
}

/// One check as configured: one address or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Check<C> {
    /// Its kind.
    pub kind: CheckKind,
    /// Its name, when the user gave it one.
    pub name: Option<String>,
    /// Between two looks.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Passes in a row that make it pass.
    pub rise: u32,
    /// Failures in a row that make it fail.
    pub fall: u32,
    /// How many targets must pass.
    pub need: u32,
    /// The targets; never empty.
    pub targets: Vec<Target<C>>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service<C> {
    /// Everything but its checks.
    pub keys: ServiceKeys,
    /// Its checks, in the order of the file.
    pub checks: Vec<Check<C>>,
}

impl<C> Service<C> {
    /// Its id.
    pub fn id(&self) -> &ServiceId {
        &self.keys.id
    }

    /// The name of each target, check by check: as the user called the check, else the target's own. Names are
    /// unique in the service.
    pub fn check_names(&self) -> Vec<Vec<String>> {
        let mut seen = HashSet::new();
        let mut unique = |name: String| {
            let mut candidate = name.clone();
            let mut again = 2;
            while !seen.insert(candidate.clone()) {
                candidate = format!("{name} #{again}");
                again += 1;
            }
            candidate
        };
        self.checks
            .iter()
            .map(|check| {
                check
                    .targets
                    .iter()
                    .map(|target| match &check.name {
                        Some(name) if check.targets.len() == 1 => unique(name.clone()),
                        Some(name) => unique(format!("{name} {}", target.label)),
                        None => unique(target.label.clone()),
                    })
                    .collect()
            })
            .collect()
    }

    /// Reads a service.
    pub(crate) fn decode(node: &Node, kinds: &[Kind<Vec<Target<C>>>], cx: &mut Cx) -> Option<Self> {
        let mut fields = Fields::of(node, "a map with the keys of a service", cx)?;
        let keys = ServiceKeys::from_fields(&mut fields, cx);
        let checks = match fields.take("checks") {
            Some(entry) => checks(&entry.node, kinds, cx),
            None => Some(Vec::new()),
        };
        fields.finish(cx);
        let service = Self { keys: keys?, checks: checks? };
        service.check_confirm(node, cx);
        Some(service)
    }

    /// How many targets its checks have altogether: so many can be asked at suspicion.
    pub fn targets(&self) -> usize {
        self.checks.iter().map(|check| check.targets.len()).sum()
    }

    /// Nobody can be asked who is not there.
    fn check_confirm(&self, node: &Node, cx: &mut Cx) {
        let confirm = self.keys.heartbeat.as_ref().and_then(|heartbeat| heartbeat.confirm);
        let Some((confirm, written)) = confirm.zip(node.get("heartbeat")) else { return };
        let (id, targets) = (self.id().as_str(), self.targets());
        match confirm {
            Confirmation::Of(confirm) if confirm.of as usize > targets => {
                let (need, of) = (confirm.need, confirm.of);
                cx.error(
                    written.at("confirm"),
                    format!(
                        "`{need} of {of}` cannot be asked: `{id}` has fewer targets in its checks ({targets})"
                    ),
                )
                .hint("write more `checks`, a smaller number, or `on` for all there are");
            }
            Confirmation::On if targets == 0 => {
                cx.warn(written.at("confirm"), format!("`{id}` has no `checks`, so nobody can be asked"))
                    .hint("it is judged at its time limit");
            }
            Confirmation::On | Confirmation::Off | Confirmation::Of(_) => {}
        }
    }

    /// The schema of a service with these kinds of checks.
    pub(crate) fn schema(kinds: &[Kind<Vec<Target<C>>>]) -> Json {
        let mut schema = ServiceKeys::schema();
        let checks: Vec<Json> = kinds.iter().map(|kind| single(kind.name, check_schema(kind))).collect();
        schema["description"] = json!("One service.");
        schema["properties"]["checks"] = json!({
            "x-type": "list of [checks](#checks)",
            "type": "array",
            "description": "Active checks, each a map with its kind as the only key.",
            "default": [],
            "maxItems": MAX_CHECKS,
            "items": { "anyOf": checks },
        });
        if let Some(order) = schema["x-order"].as_array_mut() {
            order.insert(4, json!("checks"));
        }
        schema
    }
}

/// The schema of a map with exactly one key.
pub(crate) fn single(key: &str, value: Json) -> Json {
    json!({ "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false })
}

/// The schema of a kind's keys together with those every check has.
pub(crate) fn check_schema<T>(kind: &Kind<T>) -> Json {
    let mut schema = (kind.schema)();
    let shared = CheckKeys::schema();
    if let (Some(properties), Some(shared)) =
        (schema["properties"].as_object_mut(), shared["properties"].as_object())
    {
        for (key, value) in shared {
            properties.entry(key).or_insert_with(|| value.clone());
        }
    }
    if let (Some(order), Some(shared)) = (schema["x-order"].as_array_mut(), shared["x-order"].as_array()) {
        order.extend(shared.iter().cloned());
    }
    schema
}

fn checks<C>(node: &Node, kinds: &[Kind<Vec<Target<C>>>], cx: &mut Cx) -> Option<Vec<Check<C>>> {
    let Value::List(items) = &node.value else {
        cx.expected(node, "a list of checks such as `[{ tcp: { … } }]`");
        return None;
    };
    if items.len() > MAX_CHECKS {
        cx.error(node.span, format!("{} checks of one service", items.len()))
            .hint(format!("at most {MAX_CHECKS}"));
        return None;
    }
    let checks: Vec<Option<Check<C>>> = items.iter().map(|item| check(item, kinds, cx)).collect();
    let checks: Vec<Check<C>> = checks.into_iter().collect::<Option<_>>()?;
    let targets: usize = checks.iter().map(|check| check.targets.len()).sum();
    if targets > MAX_TARGETS {
        cx.error(node.span, format!("{targets} targets of one service"))
            .hint(format!("at most {MAX_TARGETS}"));
        return None;
    }
    let mut seen = HashSet::new();
    for (check, item) in checks.iter().zip(items) {
        if let Some(name) = check.name.as_deref().filter(|name| !seen.insert(*name)) {
            let span = item.get(check.kind.as_str()).map_or(item.span, |keys| keys.at("name"));
            cx.error(span, format!("another check of this service is called `{name}` already"));
        }
    }
    Some(checks)
}

fn check<C>(node: &Node, kinds: &[Kind<Vec<Target<C>>>], cx: &mut Cx) -> Option<Check<C>> {
    let names = || kinds.iter().map(|kind| kind.name);
    let Value::Map(entries) = &node.value else {
        cx.expected(node, &format!("a check, a map with one key: {}", one_of(names())));
        return None;
    };
    let [entry] = entries.as_slice() else {
        let span = entries.get(1).map_or(node.span, |second| second.key_span);
        cx.error(span, format!("a check has one key, its kind; here are {}", entries.len()))
            .hint(format!("such as `- {}: {{ … }}`", names().next().unwrap_or("tcp")));
        return None;
    };
    let known = kinds.iter().find(|kind| kind.name == entry.key).zip(CheckKind::parse(&entry.key));
    let Some((kind, word)) = known else {
        if CheckKind::parse(&entry.key)
            .is_some_and(|kind| !matches!(kind, CheckKind::Unit | CheckKind::Heartbeat))
        {
            cx.error(
                entry.key_span,
                format!("the check kind `{}` is not available yet in this version of lifesign", entry.key),
            )
            .hint(format!("available: {}", names().collect::<Vec<_>>().join(", ")));
        } else {
            let hint = match nearest(&entry.key, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("available: {}", names().collect::<Vec<_>>().join(", ")),
            };
            cx.error(entry.key_span, format!("unknown check kind `{}`", shorten(&entry.key, 40))).hint(hint);
        }
        return None;
    };
    let mut fields = Fields::of(&entry.node, "a map with the keys of a check", cx)?;
    let keys = CheckKeys::from_fields(&mut fields, cx);
    let targets = (kind.decode)(&mut fields, cx);
    fields.finish(cx);
    let (keys, targets) = (keys?, targets?);
    if targets.is_empty() {
        cx.error(entry.node.span, "this check has no target");
        return None;
    }
    if keys.need as usize > targets.len() {
        cx.error(
            entry.node.at("need"),
            format!("{} targets must pass, and there are only {}", keys.need, targets.len()),
        );
        return None;
    }
    Some(Check {
        kind: word,
        interval: keys.interval(cx),
        timeout: keys.timeout(cx),
        rise: keys.rise,
        fall: keys.fall,
        need: keys.need,
        name: keys.name,
        targets,
    })
}
