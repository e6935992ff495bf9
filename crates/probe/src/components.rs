//! What a service says about its own parts, read from the JSON of its health page.
//!
//! Known shapes: Spring Boot Actuator (`components`, before 2.2 `details`, nested to any depth),
//! `application/health+json` (draft-inadarei-api-health-check-06: `checks` with lists of results),
//! MicroProfile Health (`checks` as a list with names), ASP.NET Core (`entries` or `results`).

use lifesign_core::evidence::{Component, MAX_COMPONENTS};
use serde_json::{Map, Value};

use crate::finding::one_line;

/// Members that hold components.
const HOLDERS: [&str; 5] = ["components", "details", "checks", "entries", "results"];

/// Longest name of a component, in bytes; a longer one is cut.
const MAX_NAME: usize = 128;

/// Longest status word, in bytes; a longer one is cut.
const MAX_WORD: usize = 32;

/// How deep components may nest; deeper ones are left out.
const MAX_DEPTH: usize = 16;

/// What a status word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// It works.
    Works,
    /// It does not.
    Broken,
    /// Something in between, or a word of the service's own.
    Else,
}

impl Says {
    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            // UNKNOWN is Spring's word for a part that does not tell; it answers 200 and warns of nothing.
            "up" | "ok" | "pass" | "warn" | "healthy" | "serving" | "unknown" => Self::Works,
            "down" | "out_of_service" | "fail" | "error" | "unhealthy" | "not_serving" => Self::Broken,
            _ => Self::Else,
        }
    }
}

/// A health page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// The word for the whole, when there is one.
    pub(crate) status: Option<(String, Says)>,
    /// The parts, in the order of the page; when there are more than [`MAX_COMPONENTS`], the ones that do
    /// not work are kept first.
    pub(crate) components: Vec<Component>,
    /// How many were left out.
    pub(crate) dropped: usize,
}

impl Health {
    /// Reads `page`. `None` when it names no components: then it is some JSON, not a health page.
    pub(crate) fn read(page: &Value) -> Option<Self> {
        let page = page.as_object()?;
        let mut components = Vec::new();
        collect(page, "", 0, &mut components);
        if components.is_empty() {
            return None;
        }
        let dropped = components.len().saturating_sub(MAX_COMPONENTS);
        if dropped > 0 {
            components.sort_by_key(|component| component.up);
            components.truncate(MAX_COMPONENTS);
        }
        let status = word(page).map(|status| (one_line(status, MAX_WORD), Says::of(status)));
        Some(Self { status, components, dropped })
    }

    /// The names of the components that do not work, with their words: `redis DOWN, db.replica DOWN`.
    pub(crate) fn broken(&self) -> Option<String> {
        let broken: Vec<_> = self.components.iter().filter(|component| !component.up).collect();
        let list = broken.iter().map(|c| format!("{} {}", c.name, c.status)).collect::<Vec<_>>().join(", ");
        (!list.is_empty()).then(|| one_line(&list, 1024))
    }
}

/// Walks the members that hold components. Its work is bounded by the size of the page, which is bounded.
fn collect(part: &Map<String, Value>, prefix: &str, depth: usize, found: &mut Vec<Component>) {
    if depth >= MAX_DEPTH {
        return;
    }
    for holder in HOLDERS {
        match part.get(holder) {
            Some(Value::Object(parts)) => {
                for (name, part) in parts {
                    match part {
                        Value::Object(part) => take(part, &dotted(prefix, name), depth, found),
                        // health+json: several results of one measurement.
                        Value::Array(results) => {
                            for result in results.iter().filter_map(Value::as_object) {
                                let name = match result.get("componentId").and_then(Value::as_str) {
                                    Some(id) if results.len() > 1 => dotted(name, id),
                                    _ => name.clone(),
                                };
                                take(result, &dotted(prefix, &name), depth, found);
                            }
                        }
                        _ => {}
                    }
                }
            }
            // MicroProfile Health: a list whose entries carry their names.
            Some(Value::Array(parts)) => {
                for part in parts.iter().filter_map(Value::as_object) {
                    if let Some(name) = part.get("name").and_then(Value::as_str) {
                        take(part, &dotted(prefix, name), depth, found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Takes one part, if it has a status, and the parts inside it.
fn take(part: &Map<String, Value>, name: &str, depth: usize, found: &mut Vec<Component>) {
    if let Some(status) = word(part) {
        found.push(Component {
            name: name.to_owned(),
            status: one_line(status, MAX_WORD),
            up: Says::of(status) == Says::Works,
        });
        collect(part, name, depth + 1, found);
    }
}

fn word(part: &Map<String, Value>) -> Option<&str> {
    part.get("status").and_then(Value::as_str).filter(|word| !word.trim().is_empty())
}

fn dotted(prefix: &str, name: &str) -> String {
    let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    one_line(&name, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn names(page: &Value) -> Vec<String> {
        let health = Health::read(page).unwrap();
        health.components.iter().map(|c| format!("{} {} {}", c.name, c.status, c.up)).collect()
    }

    #[test]
    fn nested_spring_components_get_dotted_names() {
        let page = json!({"status": "DOWN", "components": {
            "db": {"status": "UP", "components": {
                "main": {"status": "UP", "details": {"database": "PostgreSQL"}},
                "replica": {"status": "OUT_OF_SERVICE"}}},
            "ping": {"status": "UNKNOWN"}}});
        assert_eq!(
            names(&page),
            ["db UP true", "db.main UP true", "db.replica OUT_OF_SERVICE false", "ping UNKNOWN true"]
        );
        let health = Health::read(&page).unwrap();
        assert_eq!(health.status, Some(("DOWN".into(), Says::Broken)));
        assert_eq!(health.broken().unwrap(), "db.replica OUT_OF_SERVICE");
    }

    #[test]
    fn the_older_spring_shape_is_read_too() {
        let page = json!({"status": "UP", "details": {"db": {"status": "UP"}, "redis": {"status": "DOWN"}}});
        assert_eq!(names(&page), ["db UP true", "redis DOWN false"]);
    }

    #[test]
    fn health_json_checks_are_read_by_measurement_and_id() {
        let page = json!({"status": "warn", "checks": {
            "cassandra:responseTime": [{"componentId": "a", "status": "pass"}, {"componentId": "b", "status": "fail"}],
            "uptime": [{"status": "pass"}]}});
        assert_eq!(
            names(&page),
            ["cassandra:responseTime.a pass true", "cassandra:responseTime.b fail false", "uptime pass true"]
        );
    }

    #[test]
    fn lists_with_names_and_asp_net_entries_are_read_too() {
        let list = json!({"status": "UP", "checks": [{"name": "db", "status": "DOWN"}, {"status": "UP"}]});
        assert_eq!(names(&list), ["db DOWN false"]);
        let entries = json!({"status": "Degraded", "entries": {"db": {"status": "Degraded"}}});
        assert_eq!(names(&entries), ["db Degraded false"]);
        assert_eq!(Health::read(&entries).unwrap().status.unwrap().1, Says::Else);
    }

    #[test]
    fn json_without_components_is_no_health_page() {
        for page in
            [json!(1), json!([]), json!({}), json!({"status": "DOWN"}), json!({"details": {"a": {"b": 1}}})]
        {
            assert_eq!(Health::read(&page), None, "{page}");
        }
    }

    #[test]
    fn of_too_many_components_the_broken_ones_are_kept() {
        let mut parts = Map::new();
        for n in 0..100 {
            parts.insert(format!("c{n:03}"), json!({"status": if n == 99 { "DOWN" } else { "UP" }}));
        }
        let health = Health::read(&json!({"status": "UP", "components": parts})).unwrap();
        assert_eq!((health.components.len(), health.dropped), (MAX_COMPONENTS, 100 - MAX_COMPONENTS));
        assert_eq!(health.components[0].name, "c099");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "UP|DOWN|\\PC{0,40}".prop_map(Value::from)
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("status|components|details|checks|name|\\PC{0,9}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_gives_bounded_components(page in any_json()) {
            if let Some(health) = Health::read(&page) {
                prop_assert!((1..=MAX_COMPONENTS).contains(&health.components.len()));
                for component in &health.components {
                    prop_assert!(component.name.len() <= MAX_NAME && component.status.len() <= MAX_WORD);
                }
            }
        }
    }
}
