//! Gatus: its YAML file, with `endpoints` and `external-endpoints`.
//!
//! Conditions on the status, the body, the connection and the response time have counterparts; others are named. A
//! placeholder `${NAME}` becomes ours, `${env:NAME}`.

use lifesign_config::time::{parse_duration, write_duration};
use serde_json::{Map, Value, json};

use super::{Imported, Service, Why, text};

pub(super) fn read(file: &str) -> Result<Imported, String> {
    let expected = "expected a configuration of Gatus, with `endpoints` or `external-endpoints`";
    let mut yaml: Value = serde_saphyr::from_str(file).map_err(|why| format!("{expected}: {why}"))?;
    placeholders(&mut yaml);
    let list = |key: &str| yaml.get(key).and_then(Value::as_array);
    if list("endpoints").is_none() && list("external-endpoints").is_none() {
        return Err(expected.to_owned());
    }
    let mut imported = Imported::default();
    for (endpoint, is_external) in list("endpoints")
        .into_iter()
        .flatten()
        .map(|endpoint| (endpoint, false))
        .chain(list("external-endpoints").into_iter().flatten().map(|endpoint| (endpoint, true)))
    {
        let name = text(endpoint, "name").unwrap_or("endpoint");
        let full = text(endpoint, "group").map_or_else(|| name.to_owned(), |group| format!("{group} {name}"));
        let mut service = Service::new(&full);
        let made =
            if is_external { heard(endpoint, name, &mut service) } else { probed(endpoint, &mut service) };
        if let Err(why) = made {
            imported.left_out.push((full, why));
            continue;
        }
        if endpoint.get("enabled") == Some(&json!(false)) {
            service.lose("cli-import-paused", "");
        }
        imported.services.push(service);
    }
    Ok(imported)
}

/// Gatus reads `${NAME}` and `$NAME` from its environment; the second form could be any text, and is left.
fn placeholders(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("${") => *text = text.replace("${", "${env:"),
        Value::Array(list) => list.iter_mut().for_each(placeholders),
        Value::Object(map) => map.values_mut().for_each(placeholders),
        _ => {}
    }
}

/// An external endpoint: it reports by itself.
fn heard(endpoint: &Value, name: &str, service: &mut Service) -> Result<(), Why> {
    let interval = endpoint.pointer("/heartbeat/interval").and_then(Value::as_str);
    match interval.and_then(parse_duration) {
        Some(interval) => service.set("heartbeat", json!({ "interval": write_duration(interval) })),
        // Without one Gatus never misses a report.
        None => return Err(Why::new("cli-import-no-interval", interval.unwrap_or_default())),
    }
    let key = format!("{}_{}", sanitized(text(endpoint, "group").unwrap_or_default()), sanitized(name));
    let mut peer = Map::from_iter([("key".to_owned(), json!(key))]);
    if let Some(token) = text(endpoint, "token") {
        peer.insert("token".to_owned(), json!(token));
    }
    service.set("peers", json!({ "gatus": peer }));
    Ok(())
}

/// As `config/key/key.go` of Gatus makes keys.
fn sanitized(text: &str) -> String {
    text.trim().to_lowercase().replace(['/', '_', '.', ',', ' ', '#', '+', '&'], "-")
}

fn probed(endpoint: &Value, service: &mut Service) -> Result<(), Why> {
    let url = text(endpoint, "url").ok_or_else(|| Why::new("cli-import-no-target", ""))?;
    if endpoint.get("dns").is_some() || endpoint.get("ssh").is_some() {
        return Err(Why::new("cli-import-kind", url));
    }
    let (kind, mut check) = match url.split_once("://") {
        Some(("http" | "https", _)) => ("http", http(endpoint, url, service)),
        Some(("tcp", address)) => ("tcp", Map::from_iter([("address".to_owned(), json!(address))])),
        _ => return Err(Why::new("cli-import-kind", url)),
    };
    let interval = match text(endpoint, "interval") {
        Some(written) => {
            parse_duration(written).ok_or_else(|| Why::new("cli-import-no-interval", written))?
        }
        // Its default.
        None => std::time::Duration::from_secs(60),
    };
    check.insert("interval".to_owned(), json!(write_duration(interval)));
    let mut timeout = endpoint.pointer("/client/timeout").and_then(Value::as_str).and_then(parse_duration);
    for condition in endpoint.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let condition = condition.as_str().unwrap_or_default();
        match met(condition) {
            Some(Met::Always) => {}
            Some(Met::Within(most)) => timeout = Some(timeout.map_or(most, |timeout| timeout.min(most))),
            Some(Met::Status(status)) if kind == "http" => {
                check.insert("status".to_owned(), status);
            }
            Some(Met::Body(text)) if kind == "http" => {
                check.insert("contains".to_owned(), json!(text));
            }
            Some(Met::Json(path, value)) if kind == "http" => {
                let json = check.entry("json").or_insert_with(|| json!({}));
                json[path] = value;
            }
            _ => service.lose("cli-import-condition", condition),
        }
    }
    if let Some(timeout) = timeout.filter(|timeout| *timeout < interval) {
        check.insert("timeout".to_owned(), json!(write_duration(timeout)));
    }
    let alert = endpoint.pointer("/alerts/0");
    for (theirs, ours) in [("failure-threshold", "fall"), ("success-threshold", "rise")] {
        if let Some(count) = alert.and_then(|alert| alert.get(theirs)).and_then(Value::as_u64) {
            check.insert(ours.to_owned(), json!(count.clamp(1, 100)));
        }
    }
    service.set("checks", json!([{ kind: check }]));
    Ok(())
}

fn http(endpoint: &Value, url: &str, service: &mut Service) -> Map<String, Value> {
    let mut check = Map::from_iter([("url".to_owned(), json!(url))]);
    if let Some(method) = text(endpoint, "method").filter(|method| *method != "GET") {
        check.insert("method".to_owned(), json!(method));
    }
    if let Some(headers) = endpoint.get("headers").filter(|headers| headers.is_object()) {
        check.insert("headers".to_owned(), headers.clone());
    }
    if let Some(body) = text(endpoint, "body") {
        check.insert("body".to_owned(), json!(body));
    }
    let client = endpoint.get("client");
    if client.and_then(|client| client.get("insecure")) == Some(&json!(true)) {
        check.insert("insecure".to_owned(), json!(true));
    }
    // Gatus follows redirects unless told not to.
    if client.and_then(|client| client.get("ignore-redirect")) != Some(&json!(true)) {
        check.insert("follow_redirects".to_owned(), json!(true));
    }
    for key in ["oauth2", "identity-aware-proxy", "proxy-url", "tls"] {
        if client.is_some_and(|client| client.get(key).is_some()) {
            service.lose("cli-import-lost", format!("client.{key}"));
        }
    }
    check
}

/// What a condition asks for, in our words.
enum Met {
    /// A check asks for it anyway.
    Always,
    Within(std::time::Duration),
    Status(Value),
    Body(String),
    Json(String, Value),
}

fn met(condition: &str) -> Option<Met> {
    let mut parts = condition.splitn(3, ' ');
    let (left, operator, right) = (parts.next()?, parts.next()?, parts.next()?.trim());
    match (left, operator) {
        ("[CONNECTED]", "==") if right == "true" => Some(Met::Always),
        ("[RESPONSE_TIME]", "<" | "<=") => {
            let millis = right.trim_end_matches("ms").parse().ok()?;
            Some(Met::Within(std::time::Duration::from_millis(millis)))
        }
        ("[STATUS]", "==") => match right.strip_prefix("any(").and_then(|list| list.strip_suffix(')')) {
            Some(list) => {
                let list: Option<Vec<u16>> = list.split(',').map(|one| one.trim().parse().ok()).collect();
                Some(Met::Status(json!(list?)))
            }
            None => Some(Met::Status(json!(right.parse::<u16>().ok()?))),
        },
        ("[STATUS]", "<") => {
            Some(Met::Status(json!(format!("100..{}", right.parse::<u16>().ok()?.checked_sub(1)?))))
        }
        ("[STATUS]", "<=") => Some(Met::Status(json!(format!("100..{}", right.parse::<u16>().ok()?)))),
        ("[BODY]", "==") => {
            let pattern = right.strip_prefix("pat(*")?.strip_suffix("*)")?;
            (!pattern.contains('*')).then(|| Met::Body(pattern.to_owned()))
        }
        (body, "==") => {
            let path = body.strip_prefix("[BODY].")?;
            if right.contains('(') {
                return None; // pat, any, len and has have no counterpart here.
            }
            Some(Met::Json(format!("$.{path}"), serde_json::from_str(right).unwrap_or_else(|_| json!(right))))
        }
        _ => None,
    }
}
