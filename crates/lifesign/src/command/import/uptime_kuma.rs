//! Uptime Kuma: the JSON file of *Settings → Backup → Export* (version 1), or a list of monitors of the same shape.
//!
//! Version 2 has no export any more; its table `monitor` has the same columns in snake case, so that
//! `sqlite3 -json kuma.db "SELECT * FROM monitor"` is read as well.

use serde_json::{Map, Value, json};

use super::{Imported, Service, Why, seconds, text};

pub(super) fn read(file: &str) -> Result<Imported, String> {
    let expected =
        "expected a backup of Uptime Kuma, an object with `monitorList`, or the list of its monitors";
    let json: Value = serde_json::from_str(file).map_err(|why| format!("{expected}: {why}"))?;
    let list = json
        .get("monitorList")
        .unwrap_or(&json)
        .as_array()
        .filter(|list| json.is_object() || list.iter().any(|monitor| monitor.get("type").is_some()));
    let mut imported = Imported::default();
    for monitor in list.ok_or(expected)? {
        let name = text(monitor, "name").unwrap_or("monitor");
        let mut service = Service::new(name);
        let kind = text(monitor, "type").unwrap_or_default();
        let made = match kind {
            "http" | "keyword" | "json-query" => http(monitor, kind, &mut service),
            "port" => port(monitor, &mut service),
            "push" => push(monitor, &mut service),
            // A group watches nothing itself.
            "group" => continue,
            _ => Err(Why::new("cli-import-kind", kind)),
        };
        if let Err(why) = made {
            imported.left_out.push((name.to_owned(), why));
            continue;
        }
        let is_active =
            field(monitor, "active").is_none_or(|active| active != &json!(false) && active != &json!(0));
        if !is_active {
            service.lose("cli-import-paused", "");
        }
        if is_set(monitor, "upsideDown") {
            imported.left_out.push((name.to_owned(), Why::new("cli-import-kind", "upside down")));
            continue;
        }
        imported.services.push(service);
    }
    Ok(imported)
}

/// A field under the name of the export, or of the column.
fn field<'a>(monitor: &'a Value, name: &str) -> Option<&'a Value> {
    let column = name.chars().fold(String::new(), |mut column, c| {
        if c.is_ascii_uppercase() {
            column.push('_');
        }
        column.push(c.to_ascii_lowercase());
        column
    });
    monitor.get(name).or_else(|| monitor.get(&column)).filter(|value| !value.is_null())
}

fn words<'a>(monitor: &'a Value, name: &str) -> Option<&'a str> {
    field(monitor, name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn is_set(monitor: &Value, name: &str) -> bool {
    field(monitor, name).is_some_and(|value| value == &json!(true) || value == &json!(1))
}

/// What every check has: how often, how long, how many failures.
fn timing(monitor: &Value) -> Map<String, Value> {
    let mut keys = Map::new();
    let number = |name| field(monitor, name).and_then(Value::as_f64).filter(|number| *number >= 1.0);
    let interval = number("interval").unwrap_or(60.0).min(86_400.0);
    keys.insert("interval".to_owned(), seconds(interval as u64));
    if let Some(timeout) = number("timeout").filter(|timeout| *timeout < interval) {
        keys.insert("timeout".to_owned(), seconds(timeout as u64));
    }
    // It is down after so many failures beside the first.
    let retries = number("maxretries").unwrap_or(0.0).min(99.0);
    keys.insert("fall".to_owned(), json!(retries as u64 + 1));
    keys
}

fn http(monitor: &Value, kind: &str, service: &mut Service) -> Result<(), Why> {
    let url = text(monitor, "url")
        .filter(|url| url.starts_with("http"))
        .ok_or_else(|| Why::new("cli-import-no-target", ""))?;
    let mut check = Map::from_iter([("url".to_owned(), json!(url))]);
    if let Some(method) = text(monitor, "method").filter(|method| *method != "GET") {
        check.insert("method".to_owned(), json!(method));
    }
    if let Some(headers) = text(monitor, "headers") {
        match serde_json::from_str::<Map<String, Value>>(headers) {
            Ok(headers) if headers.values().all(Value::is_string) => {
                check.insert("headers".to_owned(), Value::Object(headers));
            }
            Ok(_) | Err(_) => service.lose("cli-import-lost", "headers"),
        }
    }
    if let Some(body) = text(monitor, "body") {
        check.insert("body".to_owned(), json!(body));
    }
    if words(monitor, "basicAuthUser").is_some() || words(monitor, "authMethod").is_some() {
        service.lose("cli-import-login", "");
    }
    statuses(monitor, &mut check, service);
    if kind == "keyword" {
        match text(monitor, "keyword") {
            Some(keyword) if !is_set(monitor, "invertKeyword") => {
                check.insert("contains".to_owned(), json!(keyword));
            }
            keyword => {
                service.lose("cli-import-lost", format!("invertKeyword: {}", keyword.unwrap_or_default()))
            }
        }
    }
    if kind == "json-query" {
        let path = words(monitor, "jsonPath").unwrap_or_default();
        let is_path = path.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) && !path.is_empty();
        match words(monitor, "expectedValue").filter(|_| is_path) {
            Some(value) => {
                let path = format!("$.{path}");
                check.insert("json".to_owned(), json!({ path: value }));
            }
            None => service.lose("cli-import-lost", format!("jsonPath: {path}")),
        }
    }
    if field(monitor, "maxredirects").and_then(Value::as_u64).is_none_or(|most| most > 0) {
        check.insert("follow_redirects".to_owned(), json!(true));
    }
    if is_set(monitor, "ignoreTls") {
        check.insert("insecure".to_owned(), json!(true));
    }
    check.extend(timing(monitor));
    service.set("checks", json!([{ "http": check }]));
    Ok(())
}

/// `["200-299", "301"]`; the table has it as a text.
fn statuses(monitor: &Value, check: &mut Map<String, Value>, service: &mut Service) {
    let field = monitor.get("accepted_statuscodes").or_else(|| monitor.get("accepted_statuscodes_json"));
    let list = match field {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    let mut good = Vec::new();
    for entry in list.iter().filter_map(Value::as_str) {
        let numbers: Option<Vec<u16>> = entry.split('-').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some([one]) => good.push(json!(one)),
            Some([low, high]) => good.push(json!(format!("{low}..{high}"))),
            _ => service.lose("cli-import-lost", format!("accepted_statuscodes: {entry}")),
        }
    }
    if !good.is_empty() {
        check.insert("status".to_owned(), Value::Array(good));
    }
}

fn port(monitor: &Value, service: &mut Service) -> Result<(), Why> {
    let host = text(monitor, "hostname").ok_or_else(|| Why::new("cli-import-no-target", ""))?;
    let port = field(monitor, "port")
        .and_then(Value::as_u64)
        .ok_or_else(|| Why::new("cli-import-no-target", host))?;
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let mut check = Map::from_iter([("address".to_owned(), json!(format!("{host}:{port}")))]);
    check.extend(timing(monitor));
    service.set("checks", json!([{ "tcp": check }]));
    Ok(())
}

fn push(monitor: &Value, service: &mut Service) -> Result<(), Why> {
    let token = words(monitor, "pushToken").ok_or_else(|| Why::new("cli-import-no-token", ""))?;
    let timing = timing(monitor);
    let retries = timing["fall"].as_u64().unwrap_or(1) - 1;
    service.set("heartbeat", json!({ "interval": timing["interval"], "retries": retries }));
    if (16..=64).contains(&token.len()) {
        service.set("peers", json!({ "uptime_kuma": token }));
    } else {
        service.lose("cli-import-no-token", "");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_version_2_are_read_by_their_columns() {
        let rows = json!([
            {
                "name": "api", "type": "json-query", "url": "https://api.example.org/", "active": 1, "interval": 60, "maxretries": 1,
                "ignore_tls": 1, "upside_down": 0, "maxredirects": 0, "accepted_statuscodes_json": "[\"200-299\"]",
                "json_path": "status", "expected_value": "ok", "invert_keyword": 0, "auth_method": ""
            },
            { "name": "box", "type": "push", "push_token": "NVcM7pRsKbP0YrwFmuZ1qHVxKtkUb8aN", "active": 0, "interval": 60 },
            { "name": "must be down", "type": "port", "hostname": "::1", "port": 23, "upside_down": 1, "interval": 60 }
        ]);
        let imported = read(&rows.to_string()).unwrap();
        let keys: Vec<_> = imported.services.iter().map(|service| json!(service.keys)).collect();
        let check = json!({
            "url": "https://api.example.org/", "interval": "1m", "fall": 2, "insecure": true, "status": ["200..299"],
            "json": { "$.status": "ok" }
        });
        assert_eq!(keys[0], json!({ "checks": [{ "http": check }] }));
        assert_eq!(imported.services[0].lost, []);
        assert_eq!(keys[1]["peers"]["uptime_kuma"], "NVcM7pRsKbP0YrwFmuZ1qHVxKtkUb8aN");
        assert_eq!(imported.services[1].lost, [Why::new("cli-import-paused", "")]);
        assert_eq!(
            imported.left_out,
            [("must be down".to_owned(), Why::new("cli-import-kind", "upside down"))]
        );
    }
}
