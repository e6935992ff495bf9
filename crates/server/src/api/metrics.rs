//! `GET /metrics` in the OpenMetrics text format: what the server counts, and the services as they stand.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use http::{HeaderName, StatusCode, header};
use lifesign_core::effect::AlertState;
use lifesign_core::model;
use lifesign_core::time::Now;
use lifesign_core::view::ServiceView;
use lifesign_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::problem::Failure;
use crate::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    service: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCheck {
    service: String,
    kind: &'static str,
    check: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stands {
    state: &'static str,
}

/// Metrics for Prometheus
///
/// In the OpenMetrics text format. Needs `read` unless the configuration opens it.
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(("token" = ["read"])),
    responses((status = 200, description = "The metrics", content_type = "application/openmetrics-text", body = String))
)]
pub(super) async fn show(
    State(state): State<AppState>,
) -> Result<([(HeaderName, &'static str); 1], String), Failure> {
    let seen = state
        .engine
        .read(|engine, now| (now, engine.services(now), engine.open_incidents().len(), engine.alerts()))
        .await?;
    let (now, services, incidents, alerts) = seen;

    // Built anew for each request: services come and go, and theirs must go with them.
    let mut registry = Registry::with_prefix("lifesign");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The running lifesign", build);
    register_services(&mut registry, now, &services);
    gauge(&mut registry, "incidents_open", "Open incidents", incidents);
    let stands = Family::<Stands, Gauge>::default();
    for (word, which) in [("pending", AlertState::Pending), ("firing", AlertState::Firing)] {
        let count = alerts.iter().filter(|alert| alert.state == which).count();
        stands.get_or_create(&Stands { state: word }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("alerts", "Alerts that are not resolved", stands);
    gauge(
        &mut registry,
        "engine_requests_waiting",
        "Requests that wait for the engine",
        state.engine.waiting(),
    );
    gauge(&mut registry, "event_followers", "Clients that follow the live events", state.events.followers());
    register_store(&mut registry, &state.store);
    state.figures.register(&mut registry);

    let mut text = String::with_capacity(64 * 1024);
    encode_registry(&mut text, &registry)
        .and_then(|()| encode_eof(&mut text))
        .map_err(|_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

fn register_services(registry: &mut Registry, now: Now, services: &[ServiceView]) {
    let states = Family::<InState, Gauge>::default();
    let ages = Family::<OfService, Seconds>::default();
    let durations = Family::<OfCheck, Seconds>::default();
    let paused = Family::<OfService, Gauge>::default();
    for service in services {
        let id = || service.id.as_str().to_owned();
        for state in model::State::ALL {
            let labels = InState { service: id(), state: state.as_str() };
            states.get_or_create(&labels).set(i64::from(service.state == *state));
        }
        paused.get_or_create(&OfService { service: id() }).set(i64::from(service.paused));
        if let Some(heard) = service.last_heartbeat_at {
            ages.get_or_create(&OfService { service: id() }).set(now.wall.since(heard).as_secs_f64());
        }
        for check in &service.checks {
            if let Some(phases) = check.phases {
                let labels =
                    OfCheck { service: id(), kind: check.kind.as_str(), check: Arc::clone(&check.name) };
                durations.get_or_create(&labels).set(phases.total.as_secs_f64());
            }
        }
    }
    registry.register("service_state", "1 for the state the service is in, else 0", states);
    registry.register("service_paused", "1 while alerts and restarts are held", paused);
    registry.register("heartbeat_age_seconds", "Time since the last heartbeat", ages);
    registry.register("check_duration_seconds", "How long the last look took", durations);
}

fn register_store(registry: &mut Registry, store: &Store) {
    let healthy = usize::from(store.health().trouble.is_none());
    gauge(registry, "store_healthy", "1 while the disk takes what is written", healthy);
    let figures = store.figures();
    gauge(registry, "store_waiting", "Records that wait for the disk", figures.backlog);
    gauge(registry, "notifications_pending", "Notifications that wait to be sent", figures.pending);
    counter(registry, "store_commits", "Transactions committed", figures.commits);
    counter(registry, "store_records", "Records in them", figures.effects);
    counter(
        registry,
        "store_dropped",
        "History given up because the disk refused for too long",
        figures.dropped,
    );
    counter(registry, "store_rejected", "Records that the database does not accept", figures.rejected);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
