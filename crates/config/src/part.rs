//! The part of a configuration that one host's agent gets: its services and what they share, in JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::load::Loaded;
use crate::node::{Node, Value};

/// Keys of a service that mean something to the server alone.
const FOR_THE_SERVER: &[&str] = &["hosts", "depends_on", "alert_on", "severity"];

impl<C, R> Loaded<C, R> {
    /// A configuration with nothing but the services `ids` and the defaults: what it says is what this one says of
    /// them. It holds their secrets as they are. Relative paths in it start where whoever reads it says.
    pub fn part(&self, ids: &BTreeSet<&str>) -> String {
        let mut part = Map::new();
        if let Some(defaults) = self.tree().get("defaults") {
            part.insert("defaults".to_owned(), json(defaults, false));
        }
        let services = match self.tree().get("services").map(|services| &services.value) {
            Some(Value::List(services)) => services.as_slice(),
            _ => &[],
        };
        let mine = services
            .iter()
            .filter(|service| service.get("id").and_then(Node::text).is_some_and(|id| ids.contains(id)));
        part.insert("services".to_owned(), mine.map(service).collect());
        Json::Object(part).to_string()
    }
}

fn service(node: &Node) -> Json {
    let Json::Object(mut keys) = json(node, false) else { return Json::Null };
    keys.retain(|key, _| !FOR_THE_SERVER.contains(&key.as_str()));
    Json::Object(keys)
}

/// `symbolic`: the text belongs to a `process`, where `${self}` stays what it is.
fn json(node: &Node, symbolic: bool) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => i64::try_from(*number).map_or_else(|_| number.to_string().into(), Json::from),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => {
            // It was filled already: whoever reads it must not fill it again.
            let text = text.replace("${", "$${");
            if symbolic { text.replace("$${self}", "${self}").into() } else { text.into() }
        }
        Value::List(items) => items.iter().map(|item| json(item, symbolic)).collect(),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json(&entry.node, symbolic || entry.key == "process")))
                .collect(),
        ),
    }
}
