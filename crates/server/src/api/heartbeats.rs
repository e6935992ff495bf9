//! `POST /api/v1/heartbeats`.

use axum::Json;
use axum::extract::State;
use lifesign_core::evidence::Beat;
use lifesign_proto::{Ack, Acks, ItemError, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type};

use super::extract::Body;
use super::problem::Failure;
use super::shape::time;
use crate::AppState;
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
/// with one stands in its acknowledgement.
#[utoipa::path(
    post, path = "/api/v1/heartbeats", tag = "heartbeats", request_body = Heartbeats,
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "One acknowledgement for each heartbeat, in the same order", body = Acks),
        (status = 400, description = "The body is not JSON; says where", body = Problem),
        (status = 404, description = "The service of a lone heartbeat does not exist", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "JSON, but no heartbeat; says what is wrong", body = Problem),
        (status = 429, description = "More than the configured rate; Retry-After says when", body = Problem),
    )
)]
pub(super) async fn post(State(state): State<AppState>, Body(body): Body) -> Result<Json<Acks>, Failure> {
    let sent = lifesign_proto::read(&body, &state.limits.heartbeats).map_err(|error| {
        state.refuse_beats("invalid", 1);
        Failure::from(error.problem())
    })?;
    let read: Vec<Beat> = sent.beats.iter().filter_map(|beat| beat.as_ref().ok().cloned()).collect();
    let mut taken = state.take_beats(read).await?.into_iter();
    let mut acks = Vec::with_capacity(sent.beats.len());
    for beat in sent.beats {
        let ack = match beat {
            // There is one answer for each heartbeat that could be read.
            Ok(beat) => match taken.next() {
                Some(Ok(now)) => Ok(Ack::accepted(beat.service, now)),
                Some(Err(not_taken)) => Err(Refused::NotTaken(not_taken)),
                None => Err(Refused::NotTaken(NotTaken::Unknown(beat.service))),
            },
            Err(error) => {
                state.refuse_beats("invalid", 1);
                Err(Refused::Invalid(error))
            }
        };
        match ack {
            Ok(ack) => acks.push(ack),
            Err(refused) if sent.array => acks.push(refused.into_ack()),
            Err(refused) => return Err(refused.into_failure()),
        }
    }
    Ok(Json(Acks { acks }))
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
