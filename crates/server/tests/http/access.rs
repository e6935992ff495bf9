//! Who gets in: every operation of the OpenAPI document is tried with no, a wrong and a weak token.

use std::sync::{Arc, Mutex};

use http::{Method, Request};
use lifesign_server::auth::{AccessTable, Digest, Privilege, Role, Token};
use serde_json::Value;

use crate::house::{ADMIN, GUEST, House, Reply};

/// Every operation with what it needs: a privilege, or nothing.
async fn operations(house: &House) -> Vec<(Method, String, Option<String>)> {
    let document = house.send(Method::GET, "/api/v1/openapi.json", None, "").await.json();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().expect("every operation says what it needs");
            let need = security[0]["token"][0].as_str().map(str::to_owned);
            let path = path.replace("{id}", "1");
            operations.push((method.to_uppercase().parse().unwrap(), path, need));
        }
    }
    operations
}

#[tokio::test]
async fn every_operation_refuses_no_token_a_wrong_one_and_one_that_may_not() {
    let house = House::new().await;
    let roles: Vec<Role> = Privilege::ALL
        .iter()
        .map(|lacking| Role {
            name: format!("no-{lacking}").into(),
            privileges: Privilege::ALL.into_iter().filter(|privilege| privilege != lacking).collect(),
        })
        .collect();
    let tokens: Vec<Token> = roles
        .iter()
        .map(|role| Token {
            name: role.name.clone(),
            role: role.name.clone(),
            digest: Digest::of(&role.name),
        })
        .collect();
    house.state.access.exchange(AccessTable::new(&roles, &tokens).unwrap());

    let operations = operations(&house).await;
    let guarded: Vec<_> =
        operations.iter().filter_map(|(method, path, need)| Some((method, path, need.as_ref()?))).collect();
    assert!(guarded.len() >= 18, "{} operations", guarded.len());
    for (method, path, need) in guarded {
        let none = house.send(method.clone(), path, None, "").await;
        none.problem(401);
        assert_eq!(none.header("www-authenticate"), "Bearer realm=\"lifesign\"", "{method} {path}");
        let wrong = house.send(method.clone(), path, Some("guessed"), "").await;
        wrong.problem(401);
        assert!(wrong.header("www-authenticate").contains("invalid_token"), "{method} {path}");
        assert!(!wrong.body.contains("guessed"), "{wrong:?}");
        let weak = house.send(method.clone(), path, Some(&format!("no-{need}")), "").await;
        assert!(weak.problem(403).contains(need.as_str()), "{method} {path}: {weak:?}");
    }
}

/// Takes certificates only.
const RENEWAL: &str = "/api/v1/enrolment/renewal";

#[tokio::test]
async fn only_what_the_contract_opens_is_open() {
    let house = House::new().await;
    let mut open: Vec<String> = operations(&house)
        .await
        .into_iter()
        // An enrolled host's next certificate needs its present one.
        .filter(|(_, path, need)| need.is_none() && path != RENEWAL)
        .map(|(_, path, _)| path)
        .collect();
    open.sort();
    // Clients of other monitors show their key or token in their own way.
    let peers = ["/api/push/{token}", "/api/push/{token}", "/api/v1/endpoints/{key}/external"];
    // An enrolment shows its one-time token in the body, an agent in a WebSocket its certificate inside.
    let ours = ["/api/v1/enrolment", "/api/v1/link/websocket", "/api/v1/openapi.json", "/livez", "/readyz"];
    let expected: Vec<&str> = peers.into_iter().chain(ours).collect();
    assert_eq!(open, expected);
}

#[tokio::test]
async fn every_operation_exists_for_those_who_may() {
    let house = House::new().await;
    for (method, path, _) in operations(&house).await {
        if path == "/api/v1/events" {
            continue; // Its answer has no end.
        }
        let reply = house.send(method.clone(), &path, Some(ADMIN), "").await;
        if path == RENEWAL {
            assert!(reply.problem(401).contains("certificate"), "no token takes its place");
            continue;
        }
        assert!(!matches!(reply.status.as_u16(), 401 | 403 | 405 | 500..), "{method} {path}: {reply:?}");
    }
}

async fn log_in(house: &House, token: &str, next: &str) -> Reply {
    let form = Request::builder()
        .method(Method::POST)
        .uri("/login")
        .header("content-type", "application/x-www-form-urlencoded");
    house.request(form, &format!("token={token}&next={next}")).await
}

fn cookie_of(reply: &Reply) -> String {
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn with_cookie(
    house: &House,
    method: Method,
    path: &str,
    cookie: &str,
    extra: &[(&str, &str)],
) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("cookie", cookie);
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    house.request(request, "").await
}

#[tokio::test]
async fn a_browser_logs_in_with_a_token_and_out_again() {
    let house = House::new().await;
    let wrong = log_in(&house, "guessed", "/services/orders").await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.header("location")),
        (303, "/login?failed=1&next=/services/orders")
    );
    assert_eq!(wrong.header("set-cookie"), "");

    let login = log_in(&house, ADMIN, "/services/orders?x=1").await;
    assert_eq!((login.status.as_u16(), login.header("location")), (303, "/services/orders?x=1"));
    let set = login.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    assert!(!set.contains(ADMIN), "the cookie is not the token");
    let cookie = cookie_of(&login);
    assert_eq!(with_cookie(&house, Method::GET, "/api/v1/services", &cookie, &[]).await.status, 200);

    let foreign = log_in(&house, ADMIN, "//evil.example").await;
    assert_eq!(foreign.header("location"), "/");

    let out = with_cookie(&house, Method::POST, "/logout", &cookie, &[]).await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    with_cookie(&house, Method::GET, "/api/v1/services", &cookie, &[]).await.problem(401);
}

#[tokio::test]
async fn a_page_of_somebody_else_cannot_act_with_the_cookie() {
    let house = House::new().await;
    let cookie = cookie_of(&log_in(&house, ADMIN, "/").await);
    let pause = async |extra: &[(&str, &str)]| {
        with_cookie(&house, Method::POST, "/api/v1/services/orders/pause", &cookie, extra).await
    };
    pause(&[]).await.problem(403);
    pause(&[("sec-fetch-site", "cross-site")]).await.problem(403);
    pause(&[("origin", "http://evil.example")]).await.problem(403);
    assert_eq!(pause(&[("sec-fetch-site", "same-origin")]).await.status, 200);
    let own = format!("http://{}", house.address);
    assert_eq!(pause(&[("origin", &own)]).await.status, 200);
}

#[tokio::test]
async fn a_cookie_may_no_more_than_its_token_and_ends_with_it() {
    let house = House::new().await;
    let cookie = cookie_of(&log_in(&house, GUEST, "/").await);
    let own = [("sec-fetch-site", "same-origin")];
    with_cookie(&house, Method::POST, "/api/v1/services/orders/pause", &cookie, &own).await.problem(403);
    assert_eq!(with_cookie(&house, Method::GET, "/api/v1/services", &cookie, &[]).await.status, 200);
    house.state.access.exchange(AccessTable::default());
    with_cookie(&house, Method::GET, "/api/v1/services", &cookie, &[]).await.problem(401);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_browsers() {
    let house = House::new().await;
    for path in ["/livez", "/api/v1/services", "/nowhere", "/login"] {
        let reply = house.get(path).await;
        for name in
            ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"]
        {
            assert!(!reply.header(name).is_empty(), "{path} without {name}");
        }
    }
    let document: Value = house.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

#[tokio::test]
async fn pages_send_strangers_to_the_login_and_forms_need_write() {
    let house = House::new().await;
    let stranger = house.request(Request::builder().uri("/incidents?x=1"), "").await;
    assert_eq!(
        (stranger.status.as_u16(), stranger.header("location")),
        (303, "/login?next=/incidents%3Fx%3D1")
    );
    let guest = cookie_of(&log_in(&house, GUEST, "/").await);
    assert_eq!(with_cookie(&house, Method::GET, "/", &guest, &[]).await.status, 200);
    let own = [("sec-fetch-site", "same-origin")];
    with_cookie(&house, Method::POST, "/services/orders/pause", &guest, &own).await.problem(403);
    let admin = cookie_of(&log_in(&house, ADMIN, "/").await);
    with_cookie(&house, Method::POST, "/services/orders/pause", &admin, &[]).await.problem(403);
    let paused = with_cookie(&house, Method::POST, "/services/orders/pause", &admin, &own).await;
    assert!(paused.status.is_redirection() || paused.status.is_success(), "{paused:?}");
    assert_eq!(house.get("/api/v1/services/orders").await.json()["paused"], true);
}

/// What is logged in this thread while the guard lives.
fn capture_log() -> (tracing::subscriber::DefaultGuard, Arc<Mutex<Vec<u8>>>) {
    #[derive(Clone)]
    struct Into(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Into {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let into = Into(Arc::clone(&log));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || into.clone())
        .finish();
    (tracing::subscriber::set_default(subscriber), log)
}

#[tokio::test]
async fn a_refusal_is_logged_with_all_that_helps_and_never_with_the_token() {
    let (_capturing, log) = capture_log();
    let house = House::new().await;
    house
        .send(Method::POST, "/api/v1/services/orders/pause?token=query-secret", Some(GUEST), "")
        .await
        .problem(403);
    house.send(Method::GET, "/api/v1/services", Some("guessed-secret"), "").await.problem(401);
    log_in(&house, "guessed-secret", "/").await;
    let cookie = cookie_of(&log_in(&house, ADMIN, "/").await);
    with_cookie(&house, Method::GET, "/api/v1/services", &cookie, &[]).await;
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let refusal = log.lines().find(|line| line.contains("Privilege missing")).expect("the refusal is logged");
    for wanted in
        ["WARN", "role=guest", "token=gustav", "privilege=write", "/api/v1/services/{id}/pause", "127.0.0.1"]
    {
        assert!(refusal.contains(wanted), "{wanted}: {refusal}");
    }
    assert!(log.contains("Token not recognised") && log.contains("Login with an unknown token"), "{log}");
    let session = cookie.split('=').nth(1).unwrap();
    for secret in [ADMIN, GUEST, "guessed-secret", "query-secret", session] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
