//! Passive results of Nagios: `POST /nagios/commands` with lines as they go into its command file, and Icinga 2's
//! `POST /v1/actions/process-check-result`. Their token is one that may write, as a bearer or as the password of Basic.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use lifesign_proto::peer::nagios::{
    MAX_LINES, Passive, action_taken, action_unknown, answer as lines_taken, read_action, read_commands,
};

use super::{answer, hand_in, may_write, not_reached, unauthorised};
use crate::AppState;
use crate::api::extract;

/// Most refusals that are repeated to the sender.
const MOST_SAID: usize = 20;

/// Takes command lines.
pub(super) async fn commands(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Response {
    if !may_write(&state, &headers) {
        return unauthorised();
    }
    let body = match extract::Body::read(body, &state.limits).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let mut refused = Vec::new();
    let mut logged = 0;
    let mut beats = Vec::with_capacity(body.len().min(MAX_LINES));
    for line in read_commands(&body) {
        match line.and_then(|passive| find(&state, &passive).map(|service| (service, passive.report))) {
            Ok((service, report)) => match report.beat(service, &state.limits.heartbeats) {
                Some(beat) => beats.push(beat),
                // UNKNOWN is read and says nothing.
                None => logged += 1,
            },
            Err(why) => refused.push(why),
        }
    }
    state.refuse_beats("invalid", refused.len());
    let taken = match state.take_beats(beats).await {
        Ok(taken) => taken,
        Err(unreached) => return not_reached(unreached),
    };
    let counted = taken.iter().filter(|taken| taken.is_ok()).count() + logged;
    refused.extend(taken.into_iter().filter_map(|taken| taken.err().map(|why| why.to_string())));
    refused.truncate(MOST_SAID);
    answer(lines_taken(counted, &refused))
}

/// Takes one result in Icinga's form.
pub(super) async fn action(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !may_write(&state, &headers) {
        return unauthorised();
    }
    let body = match extract::Body::read(body, &state.limits).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let passive = match read_action(&query.unwrap_or_default(), &body) {
        Ok(passive) => passive,
        Err(refused) => return answer(refused),
    };
    match find(&state, &passive) {
        Ok(service) => {
            let taken = action_taken(&passive);
            hand_in(&state, &service, passive.report, taken, action_unknown()).await
        }
        Err(_) => answer(action_unknown()),
    }
}

fn find(state: &AppState, passive: &Passive) -> Result<lifesign_core::model::ServiceId, String> {
    let name = passive.name();
    let found = state.peers.table().nagios.get(&name).cloned();
    found.ok_or_else(|| format!("no service has the name {name:?} in `peers.nagios`"))
}
