//! `POST /api/v1/heartbeats`, in JSON and as a batch of bytes.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::batch::{self, Answer, HEARTBEATS};
use lifesign_proto::{Ack, Acks, ItemError, Problem, request};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type};

use super::extract::Body;
use super::problem::Failure;
use super::shape::time;
use crate::AppState;
use crate::engine::Unreached;
use crate::ingest::NotTaken;

/// A heartbeat as it is sent. Only for the OpenAPI document: the body is read by [`lifesign_proto::read`].
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read elsewhere")]
pub(super) struct Heartbeat {
    /// Whose heart beats.
    service_id: String,
    /// The sender's time: seconds since 1970, or RFC 3339. Shown as clock skew, never used for liveness.
    #[schema(schema_with = seconds_or_time, required = false)]
    timestamp: Option<()>,
    /// `alive` when left out.
    #[schema(schema_with = statuses, required = false)]
    status: Option<()>,
    /// Metrics by name; finite numbers.
    #[schema(value_type = Option<BTreeMap<String, f64>>)]
    metrics: Option<()>,
    /// Free text, shown with the service.
    message: Option<String>,
    /// When the next heartbeat is due: seconds, or a duration such as `1m30s`; a millisecond to a year. Counts
    /// where the service's `mode` is `backoff`.
    #[schema(schema_with = seconds_or_duration, required = false)]
    interval: Option<()>,
    /// Whether the previous heartbeat was acknowledged in time. Counts where the service's `mode` is `mutual`.
    hears: Option<bool>,
    /// How far the sender has come with its work: any number that changes while it works.
    progress: Option<u64>,
    /// That this tells of a run of a job. A heartbeat of a job without it is the end of a run.
    #[schema(schema_with = run_phases, required = false)]
    run: Option<()>,
    /// Tells runs apart that overlap: 1 to 64 visible ASCII characters, the same at the beginning and the end.
    run_id: Option<String>,
    /// The exit code of a run that has ended; anything but 0 is a failure.
    exit_code: Option<i64>,
    /// The signal that ended a run, in place of `exit_code`.
    signal: Option<i32>,
    /// Why a run could not be started, in place of `exit_code`.
    start_error: Option<String>,
    /// How long a run took by the clock of its reporter: seconds, or a duration such as `1m30s`.
    #[schema(schema_with = seconds_or_duration, required = false)]
    duration: Option<()>,
    /// The last a run wrote; of more than 4096 bytes the end is kept.
    output: Option<String>,
}

/// One heartbeat, or an array of them.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; it is read elsewhere")]
pub(super) enum Heartbeats {
    /// One.
    One(Heartbeat),
    /// Several; each counts by itself.
    Several(Vec<Heartbeat>),
}

fn seconds_or_time() -> Schema {
    let seconds = ObjectBuilder::new().schema_type(Type::Number).description(Some("seconds since 1970"));
    OneOfBuilder::new()
        .item(seconds)
        .item(time())
        .description(Some("The sender's time: shown as clock skew, never used for liveness"))
        .build()
        .into()
}

fn seconds_or_duration() -> Schema {
    let seconds = ObjectBuilder::new().schema_type(Type::Number).description(Some("seconds"));
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"))
        .examples(["1m30s"]);
    OneOfBuilder::new().item(seconds).item(text).build().into()
}

fn run_phases() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["started", "ended", "noted"]))
        .description(Some("What moment of a run this is; `noted` changes no state"))
        .build()
}

fn statuses() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["alive", "stopping", "fail"]))
        .description(Some("`alive` when left out"))
        .build()
}

/// Send heartbeats
///
/// The answer does not wait for the disk. In an array each heartbeat counts by itself; what is wrong
/// with one stands in its acknowledgement. `application/vnd.lifesign.heartbeats` is the same as bytes
/// (`docs/heartbeats.md`), answered in kind, or in JSON to whoever accepts `application/json`.
#[utoipa::path(
    post, path = "/api/v1/heartbeats", tag = "heartbeats",
    request_body(content(
        (Heartbeats = "application/json"), (Vec<u8> = "application/vnd.lifesign.heartbeats"),
    )),
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "One acknowledgement for each heartbeat, in the same order", content(
            (Acks = "application/json"), (Vec<u8> = "application/vnd.lifesign.heartbeats"),
        )),
        (status = 400, description = "The body is not JSON, or no batch; says where", body = Problem),
        (status = 404, description = "The service of a lone heartbeat does not exist", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "JSON, but no heartbeat; says what is wrong", body = Problem),
        (status = 429, description = "More than the configured rate; Retry-After says when", body = Problem),
    )
)]
pub(super) async fn post(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Failure> {
    let form = Form {
        is_batch: names(&headers, &CONTENT_TYPE, HEARTBEATS),
        accepts_json: names(&headers, &ACCEPT, JSON),
    };
    let (content_type, body) = answer(&state, form, &body).await?;
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}

/// In what form heartbeats came and are answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// As a batch of bytes.
    pub(crate) is_batch: bool,
    /// Whoever sends a batch and accepts this is answered in JSON.
    pub(crate) accepts_json: bool,
}

/// The media type of an answer that is no batch.
pub(crate) const JSON: &str = "application/json";

/// Takes the heartbeats in `body`. Returns the answer and its media type.
///
/// # Errors
/// When the body cannot be read, the engine takes nothing now, or a lone heartbeat did not count.
pub(crate) async fn answer(
    state: &AppState,
    form: Form,
    body: &[u8],
) -> Result<(&'static str, Vec<u8>), Failure> {
    let limits = &state.limits.heartbeats;
    let read = if form.is_batch {
        batch::read(body, limits).map_err(|error| error.problem())
    } else {
        lifesign_proto::read(body, limits).map_err(|error| error.problem())
    };
    let sent = read.map_err(|problem| {
        state.refuse_beats("invalid", 1);
        Failure::from(problem)
    })?;
    let is_array = sent.array;
    let judged = take(state, sent.beats).await?;
    if form.is_batch && !form.accepts_json {
        let answers: Vec<Answer> = judged.iter().map(in_kind).collect();
        return Ok((HEARTBEATS, batch::write_answer(&answers)));
    }
    let mut acks = Vec::with_capacity(judged.len());
    for judged in judged {
        match judged {
            Ok((service, now)) => acks.push(Ack::accepted(service, now)),
            Err(refused) if is_array => acks.push(refused.into_ack()),
            Err(refused) => return Err(refused.into_failure()),
        }
    }
    Ok((JSON, Acks { acks }.to_json()))
}

/// Hands on what could be read. There is one answer for each heartbeat.
async fn take(state: &AppState, sent: Vec<Result<Beat, ItemError>>) -> Result<Vec<Judged>, Unreached> {
    let many = sent.len();
    let (mut beats, mut invalid) = (Vec::with_capacity(many), Vec::new());
    for (at, beat) in sent.into_iter().enumerate() {
        match beat {
            Ok(beat) => beats.push(beat),
            Err(error) => invalid.push((at, error)),
        }
    }
    state.refuse_beats("invalid", invalid.len());
    let mut invalid = invalid.into_iter().peekable();
    let mut taken = state.take_beats(beats).await?.into_iter();
    let judged = (0..many).filter_map(|at| match invalid.next_if(|(place, _)| *place == at) {
        Some((_, error)) => Some(Err(Refused::Invalid(error))),
        None => taken.next().map(|taken| taken.map_err(Refused::NotTaken)),
    });
    Ok(judged.collect())
}

/// Whether a header names this media type, parameters aside.
fn names(headers: &HeaderMap, header: &HeaderName, media_type: &str) -> bool {
    let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.into_iter().any(|value| request::names(value, media_type))
}

/// A heartbeat's service and the state of that, or why the heartbeat did not count.
type Judged = Result<(ServiceId, lifesign_core::model::State), Refused>;

/// What became of a heartbeat, in a byte.
fn in_kind(judged: &Judged) -> Answer {
    match judged {
        Ok((_, now)) => Answer::Taken(*now),
        Err(Refused::Invalid(_)) => Answer::Invalid,
        Err(Refused::NotTaken(NotTaken::Unknown(_))) => Answer::Unknown,
        Err(Refused::NotTaken(NotTaken::TooFast(..))) => Answer::TooFast,
    }
}

/// Why a heartbeat did not count.
enum Refused {
    Invalid(ItemError),
    NotTaken(NotTaken),
}

impl Refused {
    fn into_failure(self) -> Failure {
        match self {
            Self::Invalid(error) => error.problem().into(),
            Self::NotTaken(not_taken) => not_taken.into(),
        }
    }

    fn into_ack(self) -> Ack {
        match self {
            Self::Invalid(error) => {
                let text = error.summary();
                Ack::refused(error.service_id.unwrap_or_default(), text)
            }
            Self::NotTaken(not_taken) => {
                let text = not_taken.to_string();
                let (NotTaken::Unknown(service) | NotTaken::TooFast(service, _)) = not_taken;
                Ack::refused(service, text)
            }
        }
    }
}
