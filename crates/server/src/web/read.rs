//! The pages' handlers: gather the data, hand it to the page.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use lifesign_core::effect::Transition;
use lifesign_core::model::{self, IncidentId};
use serde::Deserialize;

use super::look::own_path;
use super::pages::notifications::Notifications;
use super::pages::overview::{Filter, Overview};
use super::pages::service::{Service, Span};
use super::pages::{about, hosts, incident, incidents, login, notifications, overview, rules, service};
use super::past;
use super::strip::History;
use super::visit::{Visit, html, missing, unreached};
use crate::AppState;

/// The queries of all pages; what a page does not know it does not read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    state: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    span: String,
    #[serde(default)]
    open: String,
    #[serde(default)]
    next: String,
    before: Option<String>,
    failed: Option<String>,
}

/// The longest filter that is looked at, in characters.
const MAX_FILTER: usize = 200;

pub(super) async fn login(visit: Visit, Query(asked): Query<Asked>) -> Response {
    let data = login::Login { failed: asked.failed.is_some(), next: own_path(Some(&asked.next)).to_owned() };
    html(login::draw(&data, &visit.look))
}

pub(super) async fn overview(
    State(state): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let look = visit.look;
    let fail = |error| unreached(error, &look);
    let present = state.engine.read(|engine, now| (engine.counts(), engine.services(now), engine.hosts(now)));
    let (counts, services, hosts) = present.await.map_err(fail)?;
    let span = Span::Hour.length();
    let mut changes: HashMap<String, Vec<Transition>> = HashMap::new();
    for change in past::changes(&state, look.now.back(span)).await.map_err(fail)? {
        changes.entry(change.service.to_string()).or_default().push(change);
    }
    let services = services
        .into_iter()
        .map(|service| {
            let changes = changes.get(service.id.as_str()).map_or(&[][..], Vec::as_slice);
            let history = History::new(changes, service.state, service.since, span, look.now);
            (service, history)
        })
        .collect();
    let filter = Filter {
        state: model::State::parse(&asked.state),
        words: asked.q.chars().take(MAX_FILTER).collect(),
    };
    Ok(html(overview::draw(&Overview { counts, services, hosts, filter }, &look)))
}

pub(super) async fn service(
    State(state): State<AppState>,
    visit: Visit,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let look = visit.look;
    let fail = |error| unreached(error, &look);
    let wanted = id.clone();
    let present =
        state.engine.read(move |engine, now| (engine.service(&wanted, now), engine.explain(&wanted, now)));
    let (Some(service), explanation) = present.await.map_err(fail)? else {
        return Err(missing("ui-no-such-service", &id, &look));
    };
    let span = Span::parse(&asked.span);
    let mut changes = past::changes_of(&state, &id, look.now.back(span.length())).await.map_err(fail)?;
    let history = History::new(&changes, service.state, service.since, span.length(), look.now);
    changes.reverse();
    let incidents = past::incidents_of(&state, &id).await.map_err(fail)?;
    let data = Service { service, explanation, span, history, changes, incidents };
    Ok(html(service::draw(&data, &look)))
}

pub(super) async fn incidents(
    State(state): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let look = visit.look;
    let open_only = asked.open == "true";
    let before = asked.before.and_then(|before| before.parse().ok());
    let incidents =
        past::incidents(&state, open_only, before).await.map_err(|error| unreached(error, &look))?;
    let next = incidents.last().filter(|_| incidents.len() == past::PAGE).map(|last| last.id.to_string());
    Ok(html(incidents::draw(&incidents::Incidents { incidents, open_only, next }, &look)))
}

pub(super) async fn incident(
    State(state): State<AppState>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let look = visit.look;
    let fail = |error| unreached(error, &look);
    let number = id.parse().ok().map(IncidentId);
    let found = match number {
        Some(number) => past::incident(&state, number).await.map_err(fail)?,
        None => None,
    };
    let Some((incident, timeline)) = found else {
        return Err(missing("ui-no-such-incident", &id, &look));
    };
    let sent = past::notifications(&state, number, None).await.map_err(fail)?;
    Ok(html(incident::draw(&incident::Record { incident, timeline, sent }, &look)))
}

pub(super) async fn hosts(State(state): State<AppState>, visit: Visit) -> Result<Response, Response> {
    let found = state.engine.read(lifesign_core::engine::Engine::hosts).await;
    let found = found.map_err(|error| unreached(error, &visit.look))?;
    Ok(html(hosts::draw(&found, &visit.look)))
}

pub(super) async fn rules(State(state): State<AppState>, visit: Visit) -> Result<Response, Response> {
    let found = state.engine.read(|engine, _| engine.rules()).await;
    let found = found.map_err(|error| unreached(error, &visit.look))?;
    Ok(html(rules::draw(&found, &visit.look)))
}

pub(super) async fn notifications(
    State(state): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let found = past::notifications(&state, None, asked.before.as_deref()).await;
    let sent = found.map_err(|error| unreached(error, &visit.look))?;
    let next = sent.last().filter(|_| sent.len() == past::PAGE).map(|last| last.notification.id.to_string());
    Ok(html(notifications::draw(&Notifications { sent, next }, &visit.look)))
}

pub(super) async fn about(State(state): State<AppState>, visit: Visit) -> Response {
    let data = about::About { parts: state.board.read(), followers: state.events.followers() };
    html(about::draw(&data, &visit.look))
}
