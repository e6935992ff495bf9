//! The pages' handlers: gather the data, hand it to the page.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use lifesign_core::model::{self, IncidentId, ServiceId};
use serde::Deserialize;

use super::look::own_path;
use super::pages::notifications::Notifications;
use super::pages::overview::{Filter, Overview};
use super::pages::service::{Service, Span};
use super::pages::{
    about, explain, hosts, incident, incidents, login, notifications, overview, rules, service,
};
use super::past::{self, Unavailable};
use super::strip::History;
use super::visit::{Visit, html, missing, refused, unavailable};
use crate::{AppState, api};

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
    at: Option<String>,
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
    let present = state.engine.read(|engine, now| (engine.counts(), engine.services(now), engine.hosts(now)));
    let (counts, present, hosts) = present.await.map_err(|error| unavailable(error, &look))?;
    let mut services = Vec::with_capacity(present.len());
    for service in present {
        let span = Span::Hour.length();
        let begin = look.now.back(span);
        // Whoever is in this state for longer than the picture reaches back has not changed in it.
        let changes = if service.since < begin {
            Vec::new()
        } else {
            past::changes(&state, &service.id, begin).await.map_err(|error| unavailable(error, &look))?
        };
        let history = History::new(&changes, (service.state, service.reason), service.since, span, look.now);
        services.push((service, history));
    }
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
    let wanted = id.clone();
    let present = state.engine.read(move |engine, now| {
        let service = engine.service(&wanted, now)?;
        let explanation = api::present(engine, &service.id, now);
        Some((service, explanation))
    });
    let Some((service, explanation)) = present.await.map_err(|error| unavailable(error, &look))? else {
        return Err(missing("ui-no-such-service", &id, &look));
    };
    let span = Span::parse(&asked.span);
    let data = async {
        let mut changes = past::changes(&state, &service.id, look.now.back(span.length())).await?;
        let history =
            History::new(&changes, (service.state, service.reason), service.since, span.length(), look.now);
        changes.reverse();
        let incidents = past::incidents_of(&state, &service.id).await?;
        Ok::<_, Unavailable>(Service { service, explanation, span, history, changes, incidents })
    };
    let data = data.await.map_err(|error| unavailable(error, &look))?;
    Ok(html(service::draw(&data, &look)))
}

pub(super) async fn explain(
    State(state): State<AppState>,
    visit: Visit,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let look = visit.look;
    let no_service = || missing("ui-no-such-service", &id, &look);
    let Some(at) = &asked.at else {
        return Ok(Redirect::to(&format!("/services/{id}")).into_response());
    };
    let service = ServiceId::new(&id).map_err(|_| no_service())?;
    let at = api::moment(at, look.now)
        .map_err(|why| refused(why.status(), "ui-no-such-moment", &why.to_string(), &look))?;
    let found = api::past::<Unavailable>(&state, &service, at).await;
    let explanation = found.map_err(|error| unavailable(error, &look))?.ok_or_else(no_service)?;
    Ok(html(explain::draw(&explain::Past { explanation, at }, &look)))
}

pub(super) async fn incidents(
    State(state): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let open_only = asked.open == "true";
    let found = past::incidents(&state, open_only, asked.before.as_deref()).await;
    let (incidents, next) = found.map_err(|error| unavailable(error, &visit.look))?;
    Ok(html(incidents::draw(&incidents::Incidents { incidents, open_only, next }, &visit.look)))
}

pub(super) async fn incident(
    State(state): State<AppState>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let look = visit.look;
    let Ok(number) = id.parse().map(IncidentId) else {
        return Err(missing("ui-no-such-incident", &id, &look));
    };
    let found = past::incident(&state, number).await.map_err(|error| unavailable(error, &look))?;
    let Some((incident, timeline)) = found else {
        return Err(missing("ui-no-such-incident", &id, &look));
    };
    let sent = past::notifications_of(&state, number).await.map_err(|error| unavailable(error, &look))?;
    Ok(html(incident::draw(&incident::Record { incident, timeline, sent }, &look)))
}

pub(super) async fn hosts(State(state): State<AppState>, visit: Visit) -> Result<Response, Response> {
    let found = state.engine.read(lifesign_core::engine::Engine::hosts).await;
    let found = found.map_err(|error| unavailable(error, &visit.look))?;
    Ok(html(hosts::draw(&found, &visit.look)))
}

pub(super) async fn rules(State(state): State<AppState>, visit: Visit) -> Result<Response, Response> {
    let found = state.engine.read(|engine, _| engine.rules()).await;
    let found = found.map_err(|error| unavailable(error, &visit.look))?;
    Ok(html(rules::draw(&found, &visit.look)))
}

pub(super) async fn notifications(
    State(state): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let found = past::notifications(&state, asked.before.as_deref()).await;
    let (sent, next) = found.map_err(|error| unavailable(error, &visit.look))?;
    Ok(html(notifications::draw(&Notifications { sent, next }, &visit.look)))
}

pub(super) async fn about(State(state): State<AppState>, visit: Visit) -> Response {
    let data = about::About { parts: state.board.read(), followers: state.events.followers() };
    html(about::draw(&data, &visit.look))
}
