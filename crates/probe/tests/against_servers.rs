//! Probes against real servers on loopback, most of them misbehaving.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails where it stands")]

mod servers;

use std::time::Duration;

use lifesign_core::evidence::{CheckOutcome, CheckReport, FailKind, MAX_COMPONENTS, MAX_OUTPUT};
use lifesign_probe::{Probe, kinds};
use servers::{answering, closing, flooding, nobody, resetting, silent, talking, tls};

const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a loaded machine; no test waits it out.
const PATIENCE: Duration = Duration::from_secs(20);

const TIMEOUT: CheckOutcome = CheckOutcome::Fail(FailKind::Timeout);
const REFUSED: CheckOutcome = CheckOutcome::Fail(FailKind::Refused);
const WRONG: CheckOutcome = CheckOutcome::Fail(FailKind::Wrong);

/// The probe that a user's YAML makes.
fn probe(kind: &str, yaml: &str) -> Probe {
    let kinds = kinds();
    let kind = kinds.iter().find(|known| known.name == kind).unwrap();
    let mut targets = kind.read(yaml).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(targets.len(), 1);
    targets.remove(0).probe
}

async fn run(kind: &str, yaml: &str) -> CheckReport {
    let report = probe(kind, yaml).run(PATIENCE).await;
    assert!(report.output.len() <= MAX_OUTPUT && report.components.len() <= MAX_COMPONENTS);
    report
}

fn errors(kind: &str, yaml: &str) -> String {
    let kinds = kinds();
    let kind = kinds.iter().find(|known| known.name == kind).unwrap();
    kind.read(yaml).expect_err(yaml).to_string()
}

#[tokio::test]
async fn a_listening_port_passes_and_a_closed_one_is_refused() {
    let good = run("tcp", &format!("address: {}", silent().await)).await;
    assert_eq!(good.outcome, CheckOutcome::Pass, "{}", good.output);
    assert!(good.output.starts_with("connected in "), "{}", good.output);
    assert!(good.phases.connect.is_some_and(|connect| connect <= good.phases.total));
    assert_eq!((good.phases.dns, good.phases.tls, good.phases.first_byte), (None, None, None));

    let address = nobody();
    let bad = run("tcp", &format!("address: {address}")).await;
    assert_eq!(bad.outcome, REFUSED);
    assert_eq!(bad.output, format!("{address}: connection refused"));
}

#[tokio::test]
async fn a_tcp_dialogue_passes_when_the_answer_holds_the_expected_text() {
    let redis = talking(b"PING\r\n", &[b"+PO", b"NG\r\n"]).await;
    let good = run("tcp", &format!(r#"{{ address: "{redis}", send: "PING\r\n", expect: "+PONG" }}"#)).await;
    assert_eq!(good.outcome, CheckOutcome::Pass, "{}", good.output);
    assert!(good.phases.first_byte.is_some());

    let wrong = talking(b"PING\r\n", &[b"-NOAUTH\r\n"]).await;
    let bad = run("tcp", &format!(r#"{{ address: "{wrong}", send: "PING\r\n", expect: "+PONG" }}"#)).await;
    assert_eq!(bad.outcome, WRONG);
    assert!(bad.output.ends_with(r#"answered something else: "-NOAUTH""#), "{}", bad.output);
}

#[tokio::test]
async fn a_tcp_target_that_closes_floods_or_stays_silent_is_told_apart() {
    let yaml = |address| format!(r#"{{ address: "{address}", expect: "220 " }}"#);
    let closed = run("tcp", &yaml(closing().await)).await;
    assert_eq!(closed.outcome, REFUSED, "{}", closed.output);
    let flooded = run("tcp", &yaml(flooding(b"").await)).await;
    assert_eq!(flooded.outcome, WRONG, "{}", flooded.output);
    let mute = probe("tcp", &yaml(silent().await)).run(SECOND / 5).await;
    assert_eq!(mute.outcome, TIMEOUT);
    assert_eq!(mute.output, "no answer within 200ms: gave up while waiting for the first byte");
    assert!(mute.phases.total >= SECOND / 5);
}

#[tokio::test]
async fn a_name_is_resolved_and_its_time_measured() {
    let address = silent().await;
    let good = run("tcp", &format!("address: localhost:{}", address.port())).await;
    assert_eq!(good.outcome, CheckOutcome::Pass, "{}", good.output);
    assert!(good.phases.dns.is_some());
}

#[tokio::test]
async fn a_plain_answer_passes_with_its_phases() {
    let server = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let good = run("http", &format!("url: http://{}/", server.address)).await;
    assert_eq!(good.outcome, CheckOutcome::Pass, "{}", good.output);
    assert!(good.output.starts_with("204 No Content in "), "{}", good.output);
    let phases = good.phases;
    assert!(phases.connect.is_some() && phases.first_byte.is_some() && phases.tls.is_none());
    assert!(phases.connect.unwrap() + phases.first_byte.unwrap() <= phases.total);
}

#[tokio::test]
async fn the_request_is_what_was_written() {
    let server = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let yaml = format!(
        "{{ url: 'http://{}/a?b=c#d', method: POST, body: 'x=1', headers: {{ X-Probe: 'yes' }} }}",
        server.address
    );
    assert_eq!(run("http", &yaml).await.outcome, CheckOutcome::Pass);
    let request = server.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("post /a?b=c http/1.1\r\n"), "{request}");
    for line in
        [&format!("host: {}", server.address), "x-probe: yes", "content-length: 3", "connection: close"]
    {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
    assert!(request.ends_with("\r\n\r\nx=1"), "{request}");
}

#[tokio::test]
async fn a_wrong_status_fails_and_says_what_was_expected() {
    let server = answering("HTTP/1.1 404 Not Found\r\n\r\n").await;
    let bad = run("http", &format!("{{ url: 'http://{}/', status: [200, 2xx] }}", server.address)).await;
    assert_eq!(bad.outcome, WRONG);
    assert_eq!(bad.output, "404 Not Found, expected 200, 200..299");
    let good = run("http", &format!("{{ url: 'http://{}/', status: 404 }}", server.address)).await;
    assert_eq!(good.outcome, CheckOutcome::Pass);
}

#[tokio::test]
async fn spring_health_is_read_with_200_and_with_503() {
    let page = r#"{"status":"UP","details":{"db":{"status":"UP"},"redis":{"status":"DOWN"}}}"#;
    let server = answering(&servers::json("200 OK", page)).await;
    let yaml = format!("{{ url: 'http://{}/', json: {{ '$.status': UP }} }}", server.address);
    let found = run("http", &yaml).await;
    assert_eq!(found.outcome, CheckOutcome::Pass);
    assert!(
        found.output.starts_with("200 OK in ") && found.output.ends_with("; redis DOWN"),
        "{}",
        found.output
    );
    assert_eq!(found.components.len(), 2);

    let page = r#"{"status":"DOWN","components":{"db":{"status":"DOWN"}}}"#;
    let server = answering(&servers::json("503 Service Unavailable", page)).await;
    let found = run("http", &format!("url: 'http://{}/'", server.address)).await;
    assert_eq!(found.outcome, WRONG);
    assert_eq!((found.components.len(), found.components[0].up), (1, false));
    assert!(found.output.ends_with("; db DOWN"), "{}", found.output);
}

#[tokio::test]
async fn a_body_is_searched_up_to_the_limit_and_left_unread_beyond() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let endless = flooding(head).await;
    let found =
        run("http", &format!("{{ url: 'http://{endless}/', contains: xxx, body_limit: 64KiB }}")).await;
    assert_eq!(found.outcome, CheckOutcome::Pass, "{}", found.output);
    let found =
        run("http", &format!("{{ url: 'http://{endless}/', contains: yyy, body_limit: 64KiB }}")).await;
    assert_eq!(found.outcome, WRONG);
    let found =
        run("http", &format!("{{ url: 'http://{endless}/', json: {{ '$.a': 1 }}, body_limit: 64KiB }}"))
            .await;
    assert_eq!(found.output, "200 OK: the body has more than 65536 bytes, too many to read it as JSON");
}

#[tokio::test]
async fn what_is_not_http_is_a_wrong_answer() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "\0\0\0\x06\x04\0\0\0\0\0\0\r\n\r\n",
    ] {
        let server = answering(answer).await;
        let found = run("http", &format!("{{ url: 'http://{}/', contains: x }}", server.address)).await;
        assert_eq!(found.outcome, WRONG, "{answer:?}: {}", found.output);
    }
    let endless_head = flooding(b"HTTP/1.1 200 OK\r\nx: ").await;
    let found = run("http", &format!("url: 'http://{endless_head}/'")).await;
    assert_eq!(found.outcome, WRONG, "{}", found.output);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_wrong_answer() {
    let server = answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let found = run("http", &format!("{{ url: 'http://{}/', contains: x }}", server.address)).await;
    assert_eq!(found.outcome, WRONG);
    assert!(found.output.starts_with("200 OK: the body broke off: "), "{}", found.output);
}

#[tokio::test]
async fn no_answer_at_all_is_refused_reset_or_timed_out() {
    let closed = run("http", &format!("url: 'http://{}/'", closing().await)).await;
    assert_eq!(closed.outcome, REFUSED, "{}", closed.output);
    let reset = run("http", &format!("url: 'http://{}/'", resetting().await)).await;
    assert_eq!(reset.outcome, REFUSED, "{}", reset.output);
    let refused = run("http", &format!("url: 'http://{}/'", nobody())).await;
    assert_eq!(refused.outcome, REFUSED, "{}", refused.output);
    let mute = probe("http", &format!("url: 'http://{}/'", silent().await)).run(SECOND / 5).await;
    assert_eq!(mute.outcome, TIMEOUT);
    assert_eq!(mute.output, "no answer within 200ms: gave up while waiting for the first byte");
}

#[tokio::test]
async fn a_bad_status_stays_known_when_its_body_never_comes() {
    let answer = "HTTP/1.1 500 Oh\r\ncontent-length: 10\r\ncontent-type: application/json\r\n\r\n";
    let server = servers::hanging_after(answer).await;
    let found = probe("http", &format!("url: 'http://{server}/'")).run(SECOND / 2).await;
    assert_eq!(
        (found.outcome, found.output.as_str()),
        (WRONG, "500 Internal Server Error, expected 200..399")
    );
}

#[tokio::test]
async fn redirects_are_followed_only_on_request_and_not_for_ever() {
    let server = answering("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await;
    let stay = run("http", &format!("url: 'http://{}/'", server.address)).await;
    assert_eq!(stay.outcome, CheckOutcome::Pass, "{}", stay.output);
    assert_eq!(server.requests().len(), 1);
    let go = run("http", &format!("{{ url: 'http://{}/', follow_redirects: true }}", server.address)).await;
    assert_eq!((go.outcome, go.output.as_str()), (WRONG, "redirected more than 5 times"));
    let requests = server.requests();
    assert_eq!(requests.len(), 1 + 6);
    assert!(requests[2].starts_with("GET /again "), "{requests:?}");
}

#[tokio::test]
async fn a_secret_goes_to_its_own_origin_only_and_is_never_shown() {
    let echo = r#"{"you_sent":"Bearer hunter2"}"#;
    let other = answering(&servers::json("200 OK", echo)).await;
    let location = format!(
        "HTTP/1.1 307 Go\r\nlocation: http://{}/?t=hunter2\r\ncontent-length: 0\r\n\r\n",
        other.address
    );
    let first = answering(&location).await;
    let yaml = format!(
        "{{ url: 'http://{}/', follow_redirects: true, headers: {{ Authorization: Bearer hunter2, X-Plain: x }}, json: {{ '$.you_sent': me }} }}",
        first.address
    );
    let probe = probe("http", &yaml);
    let found = probe.run(PATIENCE).await;
    assert!(first.requests()[0].contains("authorization: Bearer hunter2\r\n"));
    let request = other.requests().remove(0);
    assert!(!request.contains("authorization") && request.contains("x-plain: x"), "{request}");
    assert_eq!(found.output, r#"200 OK: $.you_sent is "•••", expected "me""#);
    assert!(!format!("{probe:?} {found:?}").contains("hunter2"));
}

#[tokio::test]
async fn https_is_trusted_by_authority_or_not_at_all() {
    let server = tls("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = format!("https://localhost:{}/", server.address.port());
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &server.authority).unwrap();

    let trusted = run("http", &format!("{{ url: '{url}', ca: '{}' }}", ca.display())).await;
    assert_eq!(trusted.outcome, CheckOutcome::Pass, "{}", trusted.output);
    assert!(trusted.phases.tls.is_some());

    let unknown = run("http", &format!("url: '{url}'")).await;
    assert_eq!(unknown.outcome, WRONG);
    assert!(unknown.output.contains("certificate"), "{}", unknown.output);

    let by_number = format!("{{ url: 'https://{}/', ca: '{}' }}", server.address, ca.display());
    assert_eq!(run("http", &by_number).await.outcome, WRONG, "the certificate is for localhost only");

    let blind = run("http", &format!("{{ url: '{url}', insecure: true }}")).await;
    assert_eq!(blind.outcome, CheckOutcome::Pass, "{}", blind.output);

    let not_tls = run("http", &format!("url: 'https://{}/'", flooding(b"SSH-2.0-x\r\n").await)).await;
    assert_eq!(not_tls.outcome, WRONG, "{}", not_tls.output);
    let mute = probe("http", &format!("url: 'https://{}/'", silent().await)).run(SECOND / 5).await;
    assert_eq!(mute.output, "no answer within 200ms: gave up in the TLS handshake");
}

#[test]
fn several_addresses_are_several_targets() {
    let kinds = kinds();
    let tcp = kinds.iter().find(|kind| kind.name == "tcp").unwrap();
    let targets = tcp.read("{ addresses: ['a:1', '[::1]:2'], need: 1 }").unwrap();
    let labels: Vec<_> = targets.iter().map(|target| target.label.as_str()).collect();
    assert_eq!(labels, ["a:1", "[::1]:2"]);
}

#[test]
fn mistakes_in_a_check_are_shown_with_their_place() {
    for (kind, yaml, says) in [
        ("tcp", "{}", "`address` is missing"),
        ("tcp", "{ address: 'a:1', addresses: ['b:1'] }", "exclude each other"),
        ("tcp", "address: localhost", "expected a host and a port"),
        ("tcp", "{ address: 'a:1', port: 1 }", "unknown key `port`"),
        ("http", "{}", "`url` is missing"),
        ("http", "url: 'http://a/', status: 700", "status"),
        ("http", "{ url: 'http://a/', json: { status: UP } }", "starts with '$'"),
        ("http", "{ url: 'http://a/', json: { '$.a': { b: 1 } } }", "expected a text, a number"),
        ("http", "{ url: 'http://a/', method: get }", "`GET`"),
        ("http", "{ url: 'http://a/', headers: { Content-Length: '1' } }", "set by lifesign itself"),
        ("http", "{ url: 'http://a/', headers: { 'a b': '1' } }", "no name of a header"),
        ("http", "{ url: 'http://a/', ca: x.pem }", "about https"),
        ("http", "{ url: 'https://a/', ca: no-such.pem }", "cannot use"),
        ("http", "{ url: 'https://a/', ca: x.pem, insecure: true }", "exclude each other"),
    ] {
        let shown = errors(kind, yaml);
        assert!(shown.contains("test.yaml:1:") && shown.contains(says), "{yaml}: {shown}");
    }
}

#[test]
fn neither_label_nor_debug_shows_what_a_request_carries() {
    let kinds = kinds();
    let http = kinds.iter().find(|kind| kind.name == "http").unwrap();
    let yaml = "{ url: 'http://a/x?token=hunter2', method: POST, body: hunter2, json: { '$.a': hunter2 }, \
                headers: { Cookie: hunter2 }, contains: hunter2 }";
    let target = http.read(yaml).unwrap().remove(0);
    assert_eq!(
        (target.label.as_str(), format!("{:?}", target.probe).as_str()),
        ("http://a/x", "POST http://a/x")
    );
}

#[test]
fn a_password_in_a_url_or_header_is_refused_or_masked_without_repeating_it() {
    let shown =
        errors("http", "{ url: 'http://me:hunter2@a/', headers: { Authorization: 'hunter2', Expect: x } }");
    assert!(!shown.contains("hunter2"), "{shown}");
}
