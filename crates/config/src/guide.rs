//! The tables of `docs/configuration.md`, made from the same declarations as the decoder.
//!
//! The guide holds blocks between `<!-- generated: NAME -->` and `<!-- end -->`; [`refresh`] fills those whose
//! name it knows.

use serde_json::Value as Json;

use crate::kind::Kinds;
use crate::schema::{DEFINITIONS, annotated};
use crate::{Decode, check::CheckKeys, record::Record};

/// All blocks for a program with these kinds: name and Markdown. Kinds come as `check tcp`, `receiver webhook`.
pub fn blocks<C, R>(kinds: &Kinds<C, R>) -> Vec<(String, String)> {
    let schema = annotated(kinds);
    let at = |pointer: &str| table(schema.pointer(pointer).unwrap_or(&Json::Null));
    let named = [
        ("server", "/properties/server"),
        ("tls", "/properties/server/properties/tls"),
        ("limits", "/properties/server/properties/limits"),
        ("retention", "/properties/server/properties/retention"),
        ("agent", "/properties/agent"),
        ("local", "/properties/agent/properties/local"),
        ("defaults", "/properties/defaults"),
        ("access", "/properties/access"),
        ("role", "/properties/access/properties/roles/items"),
        ("token", "/properties/access/properties/tokens/items"),
        ("service", "/$defs/service"),
        ("process", "/$defs/service/properties/unit/anyOf/3"),
        ("heartbeat", "/$defs/service/properties/heartbeat"),
        ("chen", "/$defs/service/properties/heartbeat/properties/detector/anyOf/1/properties/chen"),
        ("phi", "/$defs/service/properties/heartbeat/properties/detector/anyOf/2/properties/phi"),
        ("job", "/$defs/service/properties/job"),
        ("calendar", "/$defs/service/properties/job/properties/calendar"),
        ("restart", "/$defs/service/properties/restart"),
        ("rule", "/$defs/rule"),
        ("route", "/$defs/route"),
        ("log", "/properties/log"),
        ("heartbeats", "/properties/heartbeats"),
        ("peers", "/properties/peers"),
        ("listening", "/properties/peers/properties/statsd"),
        ("peer names", "/$defs/service/properties/peers"),
        ("gatus", "/$defs/service/properties/peers/properties/gatus"),
        ("zabbix", "/$defs/service/properties/peers/properties/zabbix"),
        ("discover", "/properties/discover"),
    ];
    let mut blocks: Vec<(String, String)> =
        named.into_iter().map(|(name, pointer)| (name.to_owned(), at(pointer))).collect();
    blocks.push(("check".to_owned(), table(&CheckKeys::schema())));
    blocks.push(("receiver".to_owned(), table(&crate::alerting::ReceiverKeys::schema())));
    blocks.push(("values".to_owned(), values()));
    for kind in &kinds.checks {
        blocks.push((format!("check {}", kind.name), table(&(kind.schema)())));
    }
    for kind in &kinds.receivers {
        blocks.push((format!("receiver {}", kind.name), table(&(kind.schema)())));
    }
    blocks
}

/// The guide with every known block made anew; blocks of other names stay as they are.
///
/// # Errors
/// Names a block that is not closed.
pub fn refresh<C, R>(guide: &str, kinds: &Kinds<C, R>) -> Result<String, String> {
    const OPEN: &str = "<!-- generated: ";
    const CLOSE: &str = "<!-- end -->";
    let blocks = blocks(kinds);
    let mut fresh = String::with_capacity(guide.len());
    let mut rest = guide;
    while let Some(at) = rest.find(OPEN) {
        let (before, block) = rest.split_at(at);
        let name = block[OPEN.len()..].split(" -->").next().unwrap_or_default();
        let end =
            block.find(CLOSE).ok_or_else(|| format!("the block `{name}` of the guide has no `{CLOSE}`"))?;
        fresh.push_str(before);
        match blocks.iter().find(|(known, _)| known == name) {
            Some((_, table)) => fresh.push_str(&format!("{OPEN}{name} -->\n\n{table}\n{CLOSE}")),
            None => fresh.push_str(&block[..end + CLOSE.len()]),
        }
        rest = &block[end + CLOSE.len()..];
    }
    fresh.push_str(rest);
    Ok(fresh)
}

/// The keys of a record as a table.
fn table(schema: &Json) -> String {
    let mut table = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    for key in schema["x-order"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        let property = &schema["properties"][key];
        let default = match property.get("default") {
            _ if required.contains(&key) => "required".to_owned(),
            Some(default) if default.as_object().is_some_and(serde_json::Map::is_empty) => "–".to_owned(),
            Some(Json::String(text)) => format!("`{text}`"),
            Some(default) => format!("`{default}`"),
            None => "–".to_owned(),
        };
        let meaning = property["description"].as_str().unwrap_or_default();
        table.push_str(&format!(
            "| `{key}` | {} | {default} | {} |\n",
            cell(&type_words(property)),
            cell(meaning)
        ));
    }
    table
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A type in words.
fn type_words(schema: &Json) -> String {
    if let Some(words) = schema["x-type"].as_str() {
        return words.to_owned();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        let name = if DEFINITIONS.iter().any(|definition| definition.name == name) {
            format!("[{}](#values)", name.replace('_', " "))
        } else {
            "map".to_owned()
        };
        return match schema["$comment"].as_str() {
            Some(limits) => format!("{name}, {limits}"),
            None => name,
        };
    }
    if let Some(first) = schema["anyOf"].get(0) {
        return type_words(first);
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match schema["type"].as_str() {
        Some("integer") => match (&schema["minimum"], schema["maximum"].as_u64()) {
            (min, Some(max)) if max < u64::from(u32::MAX) => format!("whole number, {min} to {max}"),
            (min, _) => format!("whole number, from {min}"),
        },
        Some("number") => match (&schema["minimum"], &schema["maximum"]) {
            (Json::Number(min), Json::Number(max)) => format!("number, {min} to {max}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("array") => format!("list of {}", type_words(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", type_words(&schema["additionalProperties"]))
        }
        Some("object") => "map".to_owned(),
        Some("string") => match schema["maxLength"].as_u64() {
            Some(most) => format!("text, at most {most} characters"),
            None => "text".to_owned(),
        },
        _ => "several forms".to_owned(),
    }
}

fn values() -> String {
    let mut table = "| type | example | what it takes |\n|---|---|---|\n".to_owned();
    for definition in DEFINITIONS {
        let name = definition.name.replace('_', " ");
        table.push_str(&format!(
            "| {name} | `{}` | {} |\n",
            definition.example,
            cell(definition.description)
        ));
    }
    table
}

/// The table of one record, for other guides.
pub fn record_table<T: Record>() -> String {
    table(&T::schema())
}
