//! The pages' forms. Each gives an order and goes back to its page, which says how it went.

use axum::extract::{Path, Query, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use lifesign_core::engine::Answer;
use lifesign_core::input::{Order, Refusal};
use lifesign_core::model::{IncidentId, ServiceId};
use lifesign_lang::Lang;
use serde::Deserialize;

use super::look::{KEYS_COOKIE, LANG_COOKIE, THEME_COOKIE, Theme, own_path};
use super::parts;
use super::visit::{Visit, missing, unavailable};
use crate::AppState;

/// `POST /services/{id}/restart`, `/pause`, `/resume`.
pub(super) async fn service(
    State(state): State<AppState>,
    visit: Visit,
    Path((id, verb)): Path<(String, String)>,
) -> Response {
    let Ok(service) = ServiceId::new(&id) else {
        return missing("ui-no-such-service", &id, &visit.look);
    };
    let order = match verb.as_str() {
        "restart" => Order::Restart(service),
        "pause" => Order::Pause(service),
        "resume" => Order::Resume(service),
        _ => return missing("ui-not-found", "", &visit.look),
    };
    give(&state, &visit, order, &format!("/services/{id}"), &verb).await
}

/// `POST /incidents/{id}/ack`.
pub(super) async fn acknowledge(
    State(state): State<AppState>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let Ok(number) = id.parse() else {
        return missing("ui-no-such-incident", &id, &visit.look);
    };
    let order = Order::Acknowledge(IncidentId(number));
    give(&state, &visit, order, &format!("/incidents/{number}"), "ack").await
}

async fn give(state: &AppState, visit: &Visit, order: Order, page: &str, done: &str) -> Response {
    let query = match state.engine.order(visit.by.clone(), order).await {
        Ok(Answer::Done | Answer::Beat(_) | Answer::Action(_)) => ("done", done),
        Ok(Answer::NoSuchService) => ("refused", "no-service"),
        Ok(Answer::Refused(refusal)) => ("refused", word(&refusal)),
        Err(error) => return unavailable(error, &visit.look),
    };
    Redirect::to(&parts::address(page, &[query])).into_response()
}

/// The refusal as the page's query carries it.
fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchService(_) => "no-service",
        Refusal::NoSuchIncident(_) => "no-incident",
        Refusal::IncidentClosed(_) => "closed",
        Refusal::NoUnit(_) => "no-unit",
        Refusal::RestartRunning(_) => "restart-running",
        Refusal::Paused(_) => "paused",
        Refusal::Configured(_) => "configured",
    }
}

/// What a reader may choose.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    lang: Option<String>,
    theme: Option<String>,
    keys: Option<String>,
    next: Option<String>,
}

/// `GET /preferences?lang=&theme=&keys=&next=`: keeps choices in cookies for a year and goes back. They are
/// links, so that they work without a script and before the login; the worst a foreign link can do is to
/// change the colours.
pub(super) async fn preferences(Query(chosen): Query<Chosen>) -> Response {
    let lang = chosen.lang.as_deref().and_then(Lang::parse).map(Lang::code);
    let theme = chosen.theme.as_deref().and_then(Theme::parse).map(Theme::as_str);
    let keys = chosen.keys.as_deref().filter(|keys| matches!(*keys, "on" | "off"));
    let cookies = [(LANG_COOKIE, lang), (THEME_COOKIE, theme), (KEYS_COOKIE, keys)].into_iter().filter_map(
        |(name, value)| {
            let cookie = format!("{name}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", value?);
            Some((SET_COOKIE, cookie))
        },
    );
    let back = own_path(chosen.next.as_deref());
    (AppendHeaders(cookies.collect::<Vec<_>>()), Redirect::to(back)).into_response()
}

#[cfg(test)]
mod tests {
    use http::header::LOCATION;

    use super::*;

    #[tokio::test]
    async fn a_choice_is_kept_in_a_cookie_and_leads_back_to_the_page() {
        let chosen = Chosen {
            lang: Some("zh-CN".to_owned()),
            theme: Some("dark".to_owned()),
            keys: Some("<script>".to_owned()),
            next: Some("/hosts?x=1".to_owned()),
        };
        let reply = preferences(Query(chosen)).await;
        let cookies: Vec<_> =
            reply.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(cookies.len(), 2);
        assert!(
            cookies[0].starts_with("lifesign_lang=zh;") && cookies[1].starts_with("lifesign_theme=dark;")
        );
        assert_eq!(reply.headers()[LOCATION], "/hosts?x=1");
    }
}
