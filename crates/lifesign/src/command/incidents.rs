//! `lifesign incidents`: what went wrong, and what was done about it.

use lifesign_core::model::{Reason, State};
use lifesign_core::time::Wall;
use lifesign_lang::Lang;
use serde_json::Value;

use crate::failure::Failure;
use crate::print::{self, Colour};
use crate::remote::Remote;

/// Most incidents shown as a table; `--json` has them all.
const MOST: usize = 50;

pub(super) fn all(remote: &Remote, open: bool, lang: Lang, json: bool) -> Result<(), Failure> {
    let path = if open { "/api/v1/incidents?open=true" } else { "/api/v1/incidents" };
    if json {
        let items = remote.list(path)?;
        print::json(&serde_json::json!({ "items": items, "next": null }));
        return Ok(());
    }
    let page: Value = remote.get(path)?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        print::line(lang.word("cli-no-incidents"));
        return Ok(());
    }
    let head: Vec<String> = ["incident", "service", "reason", "opened", "closed", "acknowledged"]
        .iter()
        .map(|column| lang.word(&format!("cli-column-{column}")))
        .collect();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = items
        .iter()
        .take(MOST)
        .map(|item| {
            let closed = match item["closed_at"].as_str() {
                Some(at) => at.to_owned(),
                None => print::coloured(&lang.word("cli-open"), Colour::Red),
            };
            let reason = item["reason"].as_str().and_then(Reason::parse);
            vec![
                item["id"].to_string(),
                text(item, "service_id"),
                reason.map_or_else(|| "-".to_owned(), |reason| lang.reason(reason)),
                text(item, "opened_at"),
                closed,
                text(item, "acknowledged_by"),
            ]
        })
        .collect();
    print::table(&head, &rows);
    Ok(())
}

pub(super) fn one(remote: &Remote, id: u64, lang: Lang, json: bool) -> Result<(), Failure> {
    let incident: Value = remote.get(&format!("/api/v1/incidents/{id}"))?;
    if json {
        print::json(&incident);
        return Ok(());
    }
    let state = incident["state"].as_str().and_then(State::parse).unwrap_or(State::Unknown);
    let reason = incident["reason"].as_str().and_then(Reason::parse);
    print::line(format!(
        "{}  {}  {}  {}",
        print::coloured(&lang.text("cli-incident", &[("id", id.to_string().into())]), Colour::Bold),
        incident["service_id"].as_str().unwrap_or("-"),
        print::state(lang, state, 0),
        reason.map_or_else(String::new, |reason| lang.reason(reason)),
    ));
    print::line("");
    print::line(print::coloured(&lang.word("cli-timeline"), Colour::Bold));
    for entry in incident["timeline"].as_array().into_iter().flatten() {
        let at = entry["at"].as_str().and_then(Wall::parse).map_or_else(String::new, |at| at.to_string());
        let what = lang.timeline(entry["what"].as_str().unwrap_or_default());
        let pad = " ".repeat(22usize.saturating_sub(print::columns(&what)));
        let detail = print::one_line(entry["detail"].as_str().unwrap_or_default(), 200);
        print::line(format!("  {}  {what}{pad}{detail}", print::coloured(&at, Colour::Dim)));
    }
    Ok(())
}
