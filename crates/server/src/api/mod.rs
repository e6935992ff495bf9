//! The HTTP interface: routes, their OpenAPI document, and what is common to all answers.
//!
//! Each route stands in `operations` once; its description, privilege and handler stand together in
//! the file of its subject.

mod enrolment;
mod events;
mod explain;
mod extract;
mod health;
pub(crate) mod heartbeats;
mod incidents;
mod lists;
mod metrics;
mod page;
mod peer;
mod problem;
mod rate;
mod reload;
mod services;
mod shape;

use std::sync::Arc;

use axum::extract::State;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Json, Router};
use http::Method;
use serde_json::Value;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use explain::{moment, past, present};
pub(crate) use extract::Body;
pub(crate) use peer::{beginning, ping_words};
pub(crate) use problem::{Failure, name_instance, no_such_route};
pub(crate) use rate::Rate;

use crate::AppState;
use crate::auth::{Needs, Undeclared, guard_api};

#[derive(OpenApi)]
#[openapi(
    info(title = "lifesign", description = "Heartbeats, health and restarts of services.", license(name = "MIT OR Apache-2.0")),
    modifiers(&Token),
    components(schemas(
        lifesign_proto::Problem,
        lifesign_proto::Fault,
        shape::StateChange,
        events::NotificationEvent,
        events::ActionEvent,
    ))
)]
struct Document;

/// How one authenticates.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of the configuration. An operation names the privilege its role must have.",
            ))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        let description = "The certificate of an enrolled host, shown in the TLS handshake.".to_owned();
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description: Some(description), deprecated: None, extensions: None },
        );
    }
}

/// Every route.
fn operations() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(heartbeats::post))
        .routes(routes!(services::list))
        .routes(routes!(services::show))
        .routes(routes!(explain::explain))
        .routes(routes!(services::restart))
        .routes(routes!(services::pause))
        .routes(routes!(services::resume))
        .routes(routes!(services::forget))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::show))
        .routes(routes!(incidents::acknowledge))
        .routes(routes!(lists::rules))
        .routes(routes!(lists::alerts))
        .routes(routes!(lists::hosts))
        .routes(routes!(lists::notifications))
        .routes(routes!(lists::audit))
        .routes(routes!(events::follow))
        .routes(routes!(crate::link::open))
        .routes(routes!(crate::tunnel::open))
        .routes(routes!(enrolment::list, enrolment::enrol))
        .routes(routes!(enrolment::renew))
        .routes(routes!(enrolment::token))
        .routes(routes!(enrolment::revoke))
        .routes(routes!(reload::post))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::show))
        .routes(routes!(openapi))
}

/// The OpenAPI document, with what is the same in every operation.
pub fn document() -> Value {
    let document = operations().into_openapi();
    // The document is made of texts, numbers and lists only; serialising it cannot fail.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    add_common_answers(&mut document);
    add_peers(&mut document);
    document
}

/// What clients of other monitors call under `/api`. Its answers are those of the other monitors, not problems.
fn add_peers(document: &mut Value) {
    let peers = serde_json::to_value(peer::Document::openapi()).unwrap_or_default();
    let added = peers.get("paths").and_then(Value::as_object).cloned().into_iter().flatten();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        paths.extend(added);
    }
}

/// 401 and 403 belong to every operation that is not open, and every other refusal is a problem too.
fn add_common_answers(document: &mut Value) {
    let problem = |description: &str| {
        serde_json::json!({
            "description": description,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
        })
    };
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (path, item) in paths {
        for operation in item.as_object_mut().into_iter().flatten().map(|(_, operation)| operation) {
            // The stream's one parameter is a header, and a strange one only means a fresh start.
            let has_parameters = operation.get("parameters").is_some() && !path.ends_with("/events");
            let is_guarded = operation.pointer("/security/0/token").is_some();
            let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
                continue;
            };
            for (status, response) in responses.iter_mut() {
                let is_error = status.starts_with('4') || status.starts_with('5');
                let plain = response.pointer("/content/application~1json/schema/$ref").cloned();
                if is_error && plain.is_some_and(|schema| schema == "#/components/schemas/Problem") {
                    let description = response.get("description").and_then(Value::as_str).unwrap_or_default();
                    *response = problem(description);
                }
            }
            if is_guarded {
                responses.entry("401").or_insert_with(|| problem("No token, or a wrong one"));
                responses
                    .entry("403")
                    .or_insert_with(|| problem("The token's role does not have the privilege"));
            }
            if path.contains('{') {
                responses.entry("404").or_insert_with(|| problem("There is no such thing"));
            }
            if has_parameters {
                responses.entry("400").or_insert_with(|| problem("A parameter is wrong; says which"));
            }
        }
    }
}

/// The whole interface behind its guard.
///
/// # Errors
/// When an operation does not declare the privilege it needs.
pub(crate) fn router(state: &AppState, is_metrics_open: bool) -> Result<Router<AppState>, Undeclared> {
    let mut needs = Needs::of(&state.document)?;
    if is_metrics_open {
        needs = needs.open(Method::GET, "/metrics");
    }
    let (router, _document) = operations().split_for_parts();
    Ok(router
        .route_layer(from_fn_with_state((state.clone(), needs), guard_api))
        .merge(peer::router())
        .route("/api/{*rest}", axum::routing::any(no_such_route))
        .layer(from_fn(name_instance)))
}

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "openapi", security(()),
    responses((status = 200, description = "The OpenAPI document of this server", body = Object))
)]
async fn openapi(State(state): State<AppState>) -> Json<Arc<Value>> {
    Json(state.document)
}
