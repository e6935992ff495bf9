//! Healthchecks: the answer of `GET /api/v3/checks/` (v1 and v2 alike), asked for with a read-write key.
//!
//! A check is a job: its `timeout` is our `every`, its cron expression our `schedule`. A read-only key's answer has
//! no UUIDs, so its checks are known by nothing that a client sends.

use serde_json::{Value, json};

use super::{Imported, Service, Why, seconds, text};

/// Keys that change what a ping means.
const FILTERS: [&str; 6] =
    ["success_kw", "failure_kw", "start_kw", "filter_subject", "filter_body", "filter_http_body"];

pub(super) fn read(file: &str) -> Result<Imported, String> {
    let expected =
        "expected the answer of Healthchecks' `GET /api/v3/checks/`, an object with a list `checks`";
    let json: Value = serde_json::from_str(file).map_err(|why| format!("{expected}: {why}"))?;
    let checks = json.get("checks").and_then(Value::as_array).ok_or(expected)?;
    let mut imported = Imported::default();
    for check in checks {
        let name = text(check, "name").or_else(|| text(check, "slug")).unwrap_or("check");
        let mut service = Service::new(text(check, "slug").unwrap_or(name));
        match schedule(check) {
            Ok(job) => service.set("job", job),
            Err(why) => {
                imported.left_out.push((name.to_owned(), why));
                continue;
            }
        }
        match uuid(check) {
            Some(uuid) => service.set("peers", json!({ "healthchecks": uuid })),
            None => service.lose("cli-import-no-uuid", ""),
        }
        if text(check, "status") == Some("paused") {
            service.lose("cli-import-paused", "");
        }
        if let Some(methods) = text(check, "methods") {
            service.lose("cli-import-lost", format!("methods: {methods}"));
        }
        for key in FILTERS {
            match check.get(key) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::String(text)) if text.is_empty() => {}
                Some(value) => service.lose("cli-import-lost", format!("{key}: {value}")),
            }
        }
        imported.services.push(service);
    }
    Ok(imported)
}

fn schedule(check: &Value) -> Result<Value, Why> {
    let mut job = serde_json::Map::new();
    if let Some(schedule) = text(check, "schedule") {
        // Five fields are cron; what systemd calls a calendar is written in other words.
        if schedule.split_whitespace().count() != 5 || schedule.contains(':') {
            return Err(Why::new("cli-import-calendar", schedule));
        }
        job.insert("schedule".to_owned(), json!(schedule));
        if let Some(zone) = text(check, "tz").filter(|zone| *zone != "UTC") {
            job.insert("timezone".to_owned(), json!(zone));
        }
    } else {
        let timeout = check.get("timeout").and_then(Value::as_u64).filter(|timeout| *timeout > 0);
        let timeout = timeout.ok_or_else(|| Why::new("cli-import-no-schedule", ""))?;
        job.insert("every".to_owned(), seconds(timeout));
    }
    if let Some(grace) = check.get("grace").and_then(Value::as_u64).filter(|grace| *grace > 0) {
        job.insert("grace".to_owned(), seconds(grace));
    }
    Ok(Value::Object(job))
}

/// Its UUID: a field of its own since v3, before that the end of its ping URL.
fn uuid(check: &Value) -> Option<&str> {
    let url = || text(check, "ping_url").and_then(|url| url.trim_end_matches('/').rsplit('/').next());
    let is_uuid = |text: &&str| {
        text.len() == 36
            && text
                .char_indices()
                .all(|(at, c)| if [8, 13, 18, 23].contains(&at) { c == '-' } else { c.is_ascii_hexdigit() })
    };
    text(check, "uuid").or_else(url).filter(is_uuid)
}
