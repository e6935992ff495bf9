//! The JSON Schema of a configuration file (draft 2020-12), for editors and for other programs.
//!
//! It accepts what the parser accepts; what only the whole can show (references, circles, times that do not fit)
//! is left to `lifesign config check`.

use serde_json::{Map, Value as Json, json};

use crate::access::Access;
use crate::alerting::{Receiver, Route};
use crate::config::MAX_RULES;
use crate::decode::Decode;
use crate::discover::Discover;
use crate::kind::Kinds;
use crate::peers::Peers;
use crate::rule::Rule;
use crate::server::{Agent, Defaults, Heartbeats, Log, Network, Server};
use crate::service::Service;

/// A value type that schemas refer to by `#/$defs/NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// An example.
    pub example: &'static str,
    /// The texts it takes (ECMA 262); a text with a placeholder is taken too.
    pub pattern: &'static str,
}

/// All value types. The patterns are a little wider than the parsers: a pattern cannot count.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "duration",
        description: "Whole numbers with `d`, `h`, `m`, `s`, `ms`, large units first. A bare number is refused.",
        example: "1m30s",
        pattern: "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
    },
    Definition {
        name: "duration_range",
        description: "Two durations, the shorter first.",
        example: "10s..5m",
        pattern: "^[0-9a-z]+ *\\.\\. *[0-9a-z]+$",
    },
    Definition {
        name: "budget",
        description: "So many times within so long.",
        example: "3 per 10m",
        pattern: "^ *[0-9]+ +per +[0-9a-z]+ *$",
    },
    Definition {
        name: "bytes",
        description: "A whole number with `B`, `kB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB`, `GiB` (powers of 1024).",
        example: "64KiB",
        pattern: "^[0-9]+(B|kB|MB|GB|KiB|MiB|GiB)$",
    },
    Definition {
        name: "percent",
        description: "From `0%` to `100%`.",
        example: "95%",
        pattern: "^[0-9.]+%$",
    },
    Definition {
        name: "address",
        description: "A host (name, IPv4, or IPv6 in brackets) and a port.",
        example: "127.0.0.1:8080",
        pattern: "^.+:[0-9]{1,5}$",
    },
    Definition {
        name: "socket_address",
        description: "An IP address (no name) and a port.",
        example: "127.0.0.1:7700",
        pattern: "^.+:[0-9]+$",
    },
    Definition {
        name: "url",
        description: "An `http` or `https` URL without user and password.",
        example: "http://127.0.0.1:8080/health",
        pattern: "^[hH][tT][tT][pP][sS]?://[!-~]+$",
    },
    Definition {
        name: "network",
        description: "An IP address, with or without a prefix length.",
        example: "10.0.0.0/8",
        pattern: "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
    },
    Definition {
        name: "path",
        description: "A file or folder. A relative path starts at the folder of the configuration file.",
        example: "./data",
        pattern: "^.+$",
    },
    Definition {
        name: "secret",
        description: "A text that is never shown. Written out in the file it works, with a warning at start.",
        example: "${env:NAME}",
        pattern: "^[\\s\\S]+$",
    },
    Definition {
        name: "id",
        description: "Small letters, digits, `.`, `_`, `-`; first a letter or digit; at most 128 characters.",
        example: "orders",
        pattern: "^[a-z0-9][a-z0-9._-]{0,127}$",
    },
    Definition {
        name: "condition",
        description: "A metric, one of `>` `>=` `<` `<=` `==` `!=`, a number.",
        example: "cpu > 90",
        pattern: "^\\s*[A-Za-z_:][A-Za-z0-9_:.-]*\\s*(>=|<=|==|!=|>|<)\\s*[-+.0-9][-+.0-9eE]*\\s*$",
    },
];

/// Any text with a placeholder in it.
const PLACEHOLDER: &str = "\\$\\{(env|file):";

/// The whole schema, for a program with these kinds.
pub fn schema<C, R>(kinds: &Kinds<C, R>) -> Json {
    let mut schema = annotated(kinds);
    strip(&mut schema);
    schema
}

/// The schema with the order of keys still in it, for the guide.
pub(crate) fn annotated<C, R>(kinds: &Kinds<C, R>) -> Json {
    let mut definitions = Map::new();
    for definition in DEFINITIONS {
        definitions.insert(
            definition.name.to_owned(),
            json!({
                "type": "string",
                "description": definition.description,
                "examples": [definition.example],
                "anyOf": [{ "pattern": definition.pattern }, { "pattern": PLACEHOLDER }],
            }),
        );
    }
    definitions.insert(
        "placeholder".to_owned(),
        json!({
            "type": "string",
            "description": "A value from outside: `${env:NAME}` or `${file:PATH}`.",
            "pattern": PLACEHOLDER,
        }),
    );
    definitions.insert("service".to_owned(), Service::schema(&kinds.checks));
    definitions.insert("receiver".to_owned(), Receiver::schema(&kinds.receivers));
    definitions.insert("rule".to_owned(), Rule::schema());
    definitions.insert("route".to_owned(), Route::schema());

    let list = |what: &str, most: usize, items: Json| {
        let mut list = json!({ "type": "array", "description": what, "items": items, "default": [] });
        if most < usize::MAX {
            list["maxItems"] = json!(most);
        }
        list
    };
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let properties = json!({
        "server": Server::schema(),
        "agent": Agent::schema(),
        "defaults": Defaults::schema(),
        "access": Access::schema(),
        "services": list("What is watched.", usize::MAX, reference("service")),
        "rules": list("Alerts from metrics.", MAX_RULES, reference("rule")),
        "receivers": list("Who can be told.", MAX_RULES, reference("receiver")),
        "routes": list("Who is told of what. Without any, everybody is told of everything.", MAX_RULES, reference("route")),
        "log": Log::schema(),
        "heartbeats": Heartbeats::schema(),
        "peers": Peers::schema(),
        "discover": Discover::schema(),
        "trusted_proxies": list(
            "Networks of proxies whose `X-Forwarded-For` is believed.", MAX_RULES, Network::schema()),
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lifesign configuration",
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// Takes the guide's annotations out.
fn strip(schema: &mut Json) {
    match schema {
        Json::Object(map) => {
            map.remove("x-order");
            map.remove("x-type");
            map.values_mut().for_each(strip);
        }
        Json::Array(items) => items.iter_mut().for_each(strip),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
