//! The OpenAPI document is a promise: it is kept beside the code and changes only on purpose.

use std::path::Path;
use std::sync::Arc;

use lifesign_core::evidence::{Exit, UnitState};
use lifesign_server::api;
use serde_json::Value;

use crate::house::{Hook, House, Plan, told, wait_for};

/// Writes the document anew with `UPDATE_GOLDEN=1`, and compares it without.
#[test]
fn the_openapi_document_is_the_one_in_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut now = serde_json::to_string_pretty(&api::document()).unwrap();
    now.push('\n');
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        kept == now,
        "docs/openapi.json is not what the server says; if the change is wanted: \
         UPDATE_GOLDEN=1 cargo nextest run -p lifesign-server the_openapi_document"
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = api::document();
    let text = document.to_string();
    let mut seen = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} references");
}

/// What `value` has or lacks against `schema`: the few words of JSON Schema that the document uses.
fn differences(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return differences(document, target, value, place, found);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &Value| {
            let mut wrong = Vec::new();
            differences(document, choice, value, place, &mut wrong);
            wrong.is_empty()
        };
        if !choices.iter().any(fits) {
            found.push(format!("{place}: none of the choices"));
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is_kind),
        Value::Null => true,
        one => is_kind(one),
    };
    if !fits {
        found.push(format!("{place}: {kind}, not {}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{place}: {value} is not one of the words"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        differences(document, &schema["items"], item, &format!("{place}/{index}"), found);
    }
    let Some(object) = value.as_object() else { return };
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    found.extend(
        required.filter(|key| !object.contains_key(*key)).map(|key| format!("{place}/{key}: missing")),
    );
    for (key, value) in object {
        let place = format!("{place}/{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if schema["properties"].is_null() => {}
            (Value::Null, Value::Null) => found.push(format!("{place}: not in the document")),
            (Value::Null, schema) | (schema, _) => differences(document, schema, value, &place, found),
        }
    }
}

#[tokio::test]
async fn every_answer_looks_as_the_document_says() {
    let hook = Arc::new(Hook::default());
    let plan = Plan {
        spec: told(&["orders"], &["hook"]),
        recipients: vec![hook.recipient("hook")],
        ..Plan::default()
    };
    let house = House::build(plan).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders","metrics":{"cpu":1.5}}"#).await;
    house.see_unit("orders", UnitState::Stopped { ordered: false, exit: Exit::Code(1) }).await;
    house.wait_for_state("orders", "down").await;
    wait_for("the notification to be delivered", async || {
        let list = house.get("/api/v1/notifications").await.json();
        (list["items"][0]["status"] == "delivered").then_some(())
    })
    .await;
    house.post("/api/v1/services/orders/pause", "").await;

    let document = api::document();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        // The answers to clients of other monitors are tried in `peers`.
        if schema.is_null() || path == "/api/v1/openapi.json" || item["get"]["tags"][0] == "peers" {
            continue;
        }
        let id = if path.contains("incidents") { "1" } else { "orders" };
        let reply = house.get(&path.replace("{id}", id)).await;
        assert_eq!(reply.status, 200, "{path}");
        let answer = reply.json();
        if let Some(items) = answer["items"].as_array() {
            assert!(!items.is_empty() || path.ends_with("/rules"), "{path} shows nothing");
        }
        let mut found = Vec::new();
        differences(&document, schema, &answer, "", &mut found);
        assert!(found.is_empty(), "{path}: {found:#?}\n{answer:#}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}
