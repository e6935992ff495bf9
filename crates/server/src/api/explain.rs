//! Why a service is as it is, or was: the present from the engine, a past moment from the journal.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lifesign_core::engine::Engine;
use lifesign_core::model::{self, ServiceId};
use lifesign_core::time::{Now, Wall};
use lifesign_core::view::replay::{Moment, Standing, Told};
use lifesign_core::view::{self, About, ServiceView};
use lifesign_store::{ReadError, SendState, SentNotification};
use serde::Deserialize;

use super::extract::{Id, Params};
use super::problem::Failure;
use super::shape::Explanation;
use crate::AppState;
use crate::engine::Unreached;

/// The times that may be asked for, in seconds: the years that RFC 3339 can write.
const SECONDS: std::ops::RangeInclusive<f64> = -62_135_596_800.0..=253_402_207_200.0;

/// Which moment.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// A past moment: RFC 3339, or seconds since 1970. Without it: now.
    at: Option<String>,
}

/// Why it is as it is
///
/// Which evidence, deadline and rule led to the present state; why it was or was not restarted; why
/// somebody was or was not told. With `at` the same of a past moment, from the journal: the state and the
/// evidence as of the last change before it, the incident that was open with what had happened in it by
/// then. Also of services that have left the configuration, as far as the journal reaches.
#[utoipa::path(
    get, path = "/api/v1/services/{id}/explain", tag = "services",
    params(("id" = String, Path, description = "The service's id"), When),
    security(("token" = ["read"])),
    responses(
        (status = 200, description = "The explanation", body = Explanation),
        (status = 422, description = "The moment lies in the future", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn explain(
    State(state): State<AppState>,
    Id(id): Id,
    Params(when): Params<When>,
) -> Result<Json<Explanation>, Failure> {
    let explanation: Option<Explanation> = match &when.at {
        None => {
            let wanted = id.clone();
            let explanation = state.engine.read(move |engine, now| present(engine, &wanted, now)).await?;
            explanation.map(Into::into)
        }
        Some(text) => {
            let at = moment(text, state.clock.now().wall)?;
            let explanation = past::<Failure>(&state, &id, at).await?;
            explanation.map(|explanation| Explanation::from(explanation).at(at))
        }
    };
    explanation.map(Json).ok_or_else(|| Failure::no_service(id.as_str()))
}

/// Why a moment cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMoment {
    /// It is no time.
    #[error(
        "{0:?} is no time; write it as 2026-11-22T09:00:00Z (a + in the address is %2B) or in seconds since 1970"
    )]
    NotATime(String),
    /// It is to come.
    #[error("{at} lies in the future, it is {now} now; leave `at` away to explain the present")]
    Future {
        /// The moment.
        at: Wall,
        /// The server's time.
        now: Wall,
    },
}

impl NoMoment {
    /// How HTTP says it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotATime(_) => StatusCode::BAD_REQUEST,
            Self::Future { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl From<NoMoment> for Failure {
    fn from(why: NoMoment) -> Self {
        Self::new(why.status(), why.to_string())
    }
}

/// Reads a past moment: RFC 3339, or seconds since 1970.
pub(crate) fn moment(text: &str, now: Wall) -> Result<Wall, NoMoment> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    let at = if is_number { seconds(text) } else { Wall::parse(text).or_else(|| unescaped(text)) };
    match at {
        None => Err(NoMoment::NotATime(text.chars().take(64).collect())),
        Some(at) if at > now => Err(NoMoment::Future { at, now }),
        Some(at) => Ok(at),
    }
}

fn seconds(text: &str) -> Option<Wall> {
    let seconds: f64 = text.parse().ok().filter(|seconds| SECONDS.contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, reason = "inside the years that RFC 3339 can write")]
    Some(Wall::from_millis((seconds * 1000.0).round() as i64))
}

/// `+08:00` written into an address as it is arrives as ` 08:00`.
fn unescaped(text: &str) -> Option<Wall> {
    let (time, offset) = text.rsplit_once(' ')?;
    Wall::parse(&format!("{time}+{offset}"))
}

/// The explanation of the present, with how soon the death of the service is noticed.
pub(crate) fn present(engine: &Engine, id: &ServiceId, now: Now) -> Option<view::Explanation> {
    let mut explanation = engine.explain(id.as_str(), now)?;
    let detection = engine.service(id.as_str(), now).and_then(|service| service.detection);
    // Of what is down it was noticed already.
    if let Some(detection) = detection.filter(|_| explanation.state != model::State::Down) {
        let place = explanation.facts.iter().position(|fact| fact.about > About::Deadline);
        let place = place.unwrap_or(explanation.facts.len());
        explanation.facts.splice(place..place, detection.facts());
    }
    Some(explanation)
}

/// The explanation of a past moment; `None`: neither engine nor journal know the service.
pub(crate) async fn past<E>(
    state: &AppState,
    service: &ServiceId,
    at: Wall,
) -> Result<Option<view::Explanation>, E>
where
    E: From<Unreached> + From<ReadError>,
{
    let wanted = service.clone();
    let present = state.engine.read(move |engine, now| engine.service(wanted.as_str(), now)).await?;
    let recorded = state.store.moment(service.clone(), at).await?;
    if present.is_none() && !recorded.is_known {
        return Ok(None);
    }
    let moment = Moment {
        service: service.clone(),
        at,
        change: recorded.change,
        first: recorded.first,
        present: present.map(standing),
        incident: recorded.incident,
        told: recorded.sent.into_iter().map(told).collect(),
        kept: state.store.retention().transitions.age,
    };
    Ok(Some(moment.explain()))
}

fn standing(service: ServiceView) -> Standing {
    Standing { state: service.state, reason: service.reason, since: service.since, detail: service.detail }
}

fn told(sent: SentNotification) -> Told {
    let taken = match sent.state {
        SendState::Pending => None,
        SendState::Delivered => Some(true),
        SendState::Refused => Some(false),
    };
    Told { finished: sent.finished_at.zip(taken), notification: sent.notification }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rfc_3339_or_seconds_and_past() {
        let now = Wall::parse("2026-11-22T09:00:00Z").unwrap();
        for text in [
            "2026-11-22T08:59:00Z",
            "2026-11-22T16:59:00+08:00",
            "2026-11-22T16:59:00 08:00",
            "2026-11-22 08:59:00.000Z",
            "1795337940",
            "1795337940.0",
        ] {
            assert_eq!(moment(text, now).map(|at| at.to_string()), Ok("2026-11-22T08:59:00.000Z".to_owned()));
        }
        assert_eq!(moment("0", now), Ok(Wall::from_millis(0)));
        assert_eq!(moment("2026-11-22T09:00:00Z", now), Ok(now));
        for text in
            ["", "yesterday", "2026-11-22", "09:00", "1e9", "NaN", "--1", "99999999999999", "1.2.3", " "]
        {
            assert!(matches!(moment(text, now), Err(NoMoment::NotATime(_))), "{text:?}");
        }
        let future = moment("2026-11-22T09:00:00.001Z", now).unwrap_err();
        assert_eq!(future.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(future.to_string().contains("leave `at` away"), "{future}");
    }
}
