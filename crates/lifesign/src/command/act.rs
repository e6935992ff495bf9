//! Commands that change something on the server.

use lifesign_lang::Lang;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::print;
use crate::remote::Remote;

/// `restart`, `pause`, `resume` and `forget` of a service.
pub(super) fn service(remote: &Remote, id: &str, verb: &str, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer = remote.post(&format!("/api/v1/services/{id}/{verb}"), &json!({}))?;
    let key = match verb {
        "pause" => "cli-paused-done",
        "resume" => "cli-resumed-done",
        "forget" => "cli-forgotten-done",
        _ => "cli-restart-ordered",
    };
    done(&answer, json, || lang.text(key, &[("id", id.into())]))
}

/// `ack` of an incident.
pub(super) fn acknowledge(remote: &Remote, id: u64, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer = remote.post(&format!("/api/v1/incidents/{id}/ack"), &json!({}))?;
    let by = answer["acknowledged_by"].as_str().unwrap_or("-").to_owned();
    done(&answer, json, || {
        lang.text("cli-acknowledged-done", &[("id", id.to_string().into()), ("by", by.into())])
    })
}

/// `reload` of the configuration.
pub(super) fn reload(remote: &Remote, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer = remote.post("/api/v1/reload", &json!({}))?;
    done(&answer, json, || lang.word("cli-reloaded-done"))
}

fn done(answer: &Value, json: bool, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if json {
        print::json(answer);
    } else {
        print::line(text());
    }
    Ok(())
}
