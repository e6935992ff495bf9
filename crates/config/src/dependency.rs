//! What a service cannot work without: `depends_on`, with groups of services that stand in for each other.

use std::collections::HashSet;

use lifesign_core::model::ServiceId;
use lifesign_core::spec::Dependency;
use serde_json::{Value as Json, json};

use crate::decode::{Decode, Located};
use crate::fields::Cx;
use crate::node::{Node, Value};
use crate::record;

/// Most services of one group.
const MAX_GROUP: usize = 100;

/// One entry of `depends_on`: a service, or so many of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Needs {
    /// The services, each as good as the others; never empty.
    pub of: Vec<Located<ServiceId>>,
    /// How many of them must work.
    pub need: u32,
}

record! {
    /// Services of which one must work.
    pub struct Any {
        /// The services.
        any: Vec<Located<ServiceId>> [1..=MAX_GROUP],
    }
}

record! {
    /// Services of which some must work.
    pub struct Of {
        /// The services.
        of: Vec<Located<ServiceId>> [1..=MAX_GROUP],
        /// How many of them must work.
        need: u32 [1..=100],
    }
}

impl Needs {
    /// For the engine.
    pub fn spec(&self) -> Dependency {
        Dependency { of: self.of.iter().map(|id| id.value.clone()).collect(), need: self.need }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let mut seen = HashSet::new();
        for id in self.of.iter().filter(|id| !seen.insert(id.as_str())) {
            cx.error(id.span, format!("`{}` stands twice in this group", id.as_str()));
        }
        if self.need as usize > self.of.len() {
            let (need, of) = (self.need, self.of.len());
            cx.error(node.at("need"), format!("{need} of these services must work, and there are only {of}"));
        }
    }
}

impl Decode for Needs {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let needs = match &node.value {
            Value::Map(_) if node.get("any").is_some() => {
                Any::decode(node, cx).map(|group| Self { of: group.any, need: 1 })?
            }
            Value::Map(_) if node.get("of").is_some() => {
                Of::decode(node, cx).map(|group| Self { of: group.of, need: group.need })?
            }
            Value::Text(_) => Self { of: vec![Located::decode(node, cx)?], need: 1 },
            _ => {
                cx.expected(node, &Self::what());
                return None;
            }
        };
        needs.check(node, cx);
        Some(needs)
    }

    fn what() -> String {
        "an id such as `db`, `{ any: [cache-1, cache-2] }` or `{ of: [a, b, c], need: 2 }`".to_owned()
    }

    fn schema() -> Json {
        json!({ "x-type": "[id](#values) or [group](#dependencies)", "anyOf": [
            ServiceId::schema(), Any::schema(), Of::schema(),
        ] })
    }
}
