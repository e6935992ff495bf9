//! `lifesign beat`: one heartbeat from a script.

use lifesign_core::model::State;
use lifesign_lang::Lang;
use serde_json::{Map, Value, json};

use crate::cli::BeatStatus;
use crate::failure::Failure;
use crate::print;
use crate::remote::Remote;

pub(super) fn run(
    remote: &Remote,
    id: &str,
    status: BeatStatus,
    metrics: &[(String, f64)],
    message: Option<&str>,
    lang: Lang,
    json: bool,
) -> Result<(), Failure> {
    let status = match status {
        BeatStatus::Alive => "alive",
        BeatStatus::Stopping => "stopping",
        BeatStatus::Fail => "fail",
    };
    let metrics: Map<String, Value> =
        metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut body = json!({ "service_id": id, "status": status, "metrics": metrics });
    if let Some(message) = message {
        body["message"] = message.into();
    }
    let answer = remote.post("/api/v1/heartbeats", &body)?;
    if json {
        print::json(&answer);
        return Ok(());
    }
    let state = answer["acks"][0]["state"].as_str().and_then(State::parse);
    let state = state.map_or_else(|| "-".to_owned(), |state| lang.state(state));
    print::line(lang.text("cli-beat-accepted", &[("id", id.into()), ("state", state.into())]));
    Ok(())
}
