//! `webhook`: Alertmanager's message, version 4, by HTTP POST.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use lifesign_config::{Cx, Decode, Entry, Fields, Kind, Node, Record, Secret, Url, record};
use lifesign_core::effect::Notification;
use rustls::ClientConfig;

use crate::answer::Hidden;
use crate::delivery::{Context, Delivery};
use crate::http_post::{Reply, post};
use crate::payload::Payload;
use crate::receiver::{Channel, Receiver, Sending};
use crate::trust::{self, Authorities};

/// The header that carries the notification's id: the same for every attempt, so that whoever keeps a list
/// of them takes a repeated message only once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that belong to the message itself.
const OWN: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "upgrade",
];

record! {
    /// Sends Alertmanager's webhook message, version 4, as one line of JSON by HTTP POST. Any 2xx answer
    /// means delivered; no redirect is followed.
    pub struct Written {
        /// Where it is sent. Often a secret itself; `${env:NAME}` keeps it out of the file.
        url: Url,
        /// Sent as `Authorization: Bearer …`.
        token: Option<Secret>,
        /// Further headers. None of their values is ever shown.
        headers: Headers = {},
        /// A PEM file with the authority of the receiver's certificate, beside the public authorities.
        ca_file: Option<Authorities>,
        /// Most alerts in one message; how many were left out is said in `truncatedAlerts`.
        max_alerts: usize [1..=10_000] = 1000,
        /// Time for one attempt. At its end the attempt has failed, whatever the receiver did with it.
        timeout: Duration [Duration::from_millis(100)..=Duration::from_secs(300)] = "10s",
    }
    check Written::check
}

impl Written {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.token.is_some() && self.headers.0.contains_key(AUTHORIZATION) {
            cx.error(
                node.at("token"),
                "`token` and the header `Authorization` say the same; write one of them",
            );
        }
        if self.url.target().parse::<Uri>().is_err() {
            let error =
                cx.error(node.at("url"), "the path of this URL has a character that no request can carry");
            error.hint("write it as % and two hexadecimal digits");
        }
        if let Some(token) = &self.token
            && bearer(token).is_none()
        {
            cx.error(node.at("token"), "a token has no spaces at its ends, no line breaks and only ASCII");
        }
    }
}

/// `webhook`, for [`crate::kinds`].
pub(crate) const KIND: Kind<Receiver> = Kind { name: "webhook", decode, schema: Written::schema };

fn decode(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Receiver> {
    let span = fields.node().span;
    // The path of a webhook's address is often its only secret: no excerpt of the file shows it, whatever
    // else is wrong on its line.
    if let Some(url) = fields.node().get("url") {
        cx.mask(url.span);
    }
    let written = Written::from_fields(fields, cx)?;
    match Webhook::new(written) {
        Ok(webhook) => Some(Receiver::new(KIND.name, webhook)),
        Err(why) => {
            cx.error(span, why);
            None
        }
    }
}

/// A webhook ready to send.
struct Webhook {
    written: Written,
    tls: Arc<ClientConfig>,
    hidden: Hidden,
}

impl Webhook {
    fn new(written: Written) -> Result<Self, String> {
        let tls = trust::client(written.ca_file.as_ref())?;
        let mut hidden = Hidden::default();
        hidden.add(&written.url.expose());
        // Chat services put their token into the path or the query.
        hidden.add(written.url.target());
        for part in written.url.target().split(['/', '?', '&', '=']).filter(|part| part.len() >= 8) {
            hidden.add(part);
        }
        written.token.iter().for_each(|token| hidden.add(token.expose()));
        written
            .headers
            .0
            .values()
            .filter_map(|value| value.to_str().ok())
            .for_each(|value| hidden.add(value));
        Ok(Self { written, tls, hidden })
    }

    /// The request for a notification. The same for every attempt.
    fn request(&self, notification: &Notification, context: &Context<'_>) -> Request<String> {
        let body = Payload::new(notification, context.external_url, self.written.max_alerts).to_json();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.written.url.target().parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lifesign/", env!("CARGO_PKG_VERSION"))));
        headers.extend(self.written.headers.0.clone());
        headers.extend(HeaderValue::from_str(&self.written.url.authority()).ok().map(|host| (HOST, host)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.extend(HeaderValue::from_str(&notification.id).ok().map(|id| (IDEMPOTENCY_KEY, id)));
        headers.extend(self.written.token.as_ref().and_then(bearer).map(|token| (AUTHORIZATION, token)));
        request
    }
}

impl Channel for Webhook {
    fn timeout(&self) -> Duration {
        // The attempt keeps its own deadline; reading the rest of a late answer may take a little longer.
        self.written.timeout + Duration::from_secs(2)
    }

    fn send<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Sending<'a> {
        Box::pin(async move {
            let request = self.request(notification, context);
            let reply = post(&self.written.url, request, &self.tls, self.written.timeout).await;
            judge(&reply, context.attempt, &self.hidden)
        })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.written.url;
        f.debug_struct("Webhook")
            .field(
                "url",
                &format_args!("{}://{}/***", if url.tls { "https" } else { "http" }, url.authority()),
            )
            .field("headers", &self.written.headers)
            .field("timeout", &self.written.timeout)
            .finish_non_exhaustive()
    }
}

/// What an answer means.
///
/// Delivered is 2xx and nothing else. Refused is what the receiver says about *this message* (400, 413,
/// 415, 422) or about itself for good (410), once it has said so on [`crate::REFUSED_AFTER`] attempts: a
/// message that nobody will ever take must not hold back the ones behind it. All else is tried again for
/// as long as the outbox keeps it: no answer, 5xx, 408, 425, 429, and also 401, 403, 404 and redirects,
/// because those are about an address or a credential, which somebody will put right.
fn judge(reply: &Result<Reply, String>, attempt: u32, hidden: &Hidden) -> Delivery {
    let reply = match reply {
        Ok(reply) => reply,
        Err(why) => return Delivery::retry(hidden.clean(why)),
    };
    let reason = StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
    let status = format!("{} {}", reply.status, reason.unwrap_or_default());
    let text = hidden.clean(&format!("{} {}", status.trim_end(), reply.body));
    match reply.status {
        200..=299 => Delivery::Delivered { answer: text },
        300..=399 => Delivery::retry(hidden.clean(&format!(
            "{}: redirects are not followed; write the final address into `url`",
            status.trim_end()
        ))),
        400 | 410 | 413 | 415 | 422 => Delivery::refused(text, attempt),
        _ => Delivery::Retry { why: text, after: asked_wait(reply) },
    }
}

/// The wait a `Retry-After` asks for (RFC 9110 §10.2.3). A date counts from the answer's own `Date`, so
/// that neither clock needs to be right.
fn asked_wait(reply: &Reply) -> Option<Duration> {
    let asked = reply.retry_after.as_deref()?.trim();
    if let Ok(seconds) = asked.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text.trim()).ok();
    let until = date(asked)?.timestamp().duration_since(date(reply.date.as_deref()?)?.timestamp());
    Duration::try_from(until).ok()
}

/// `Bearer` and the token, marked so that no library logs it.
fn bearer(token: &Secret) -> Option<HeaderValue> {
    let token = token.expose();
    if token.is_empty() || token.trim() != token || !token.is_ascii() {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Request headers as written. Shows its names only.
#[derive(Clone, PartialEq)]
pub(crate) struct Headers(HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys().map(HeaderName::as_str)).finish()
    }
}

impl Headers {
    fn header(entry: &Entry, cx: &mut Cx) -> Option<(HeaderName, HeaderValue)> {
        // A name that sounds like a credential is warned about when it stands in the file readably.
        let value = if lifesign_config::problem::sounds_secret(&entry.key) {
            Secret::decode(&entry.node, cx)?.expose().to_owned()
        } else {
            cx.mask(entry.node.span);
            String::decode(&entry.node, cx)?
        };
        let Ok(name) = entry.key.parse::<HeaderName>() else {
            cx.error(entry.key_span, "this is no name of a header").hint("letters, digits and '-'");
            return None;
        };
        if OWN.contains(&name.as_str()) {
            cx.error(entry.key_span, format!("the header `{name}` is set by lifesign"));
            return None;
        }
        let Ok(mut value) = HeaderValue::from_str(&value) else {
            cx.error(entry.node.span, "this is no value of a header").hint("ASCII on one line");
            return None;
        };
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// Most headers of one receiver.
const MAX_HEADERS: usize = 50;

impl Decode for Headers {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let mut fields = Fields::of(node, &Self::what(), cx)?;
        let entries: Vec<&Entry> = fields.rest().collect();
        if entries.len() > MAX_HEADERS {
            cx.error(node.span, format!("{} headers, at most {MAX_HEADERS}", entries.len()));
            return None;
        }
        let headers: Vec<Option<_>> = entries.into_iter().map(|entry| Self::header(entry, cx)).collect();
        let headers: Option<Vec<_>> = headers.into_iter().collect();
        headers.map(|headers| Self(headers.into_iter().collect()))
    }

    fn what() -> String {
        "a map of header names and values such as `{ X-Team: ops }`".to_owned()
    }

    fn schema() -> serde_json::Value {
        BTreeMap::<String, String>::schema()
    }
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::*;
    use crate::REFUSED_AFTER;
    use crate::samples;

    const CONTEXT: Context<'_> =
        Context { attempt: 1, external_url: "https://lifesign.example.com", lang: Lang::En };

    fn webhook(text: &str) -> Webhook {
        Webhook::new(lifesign_config::kind::read::<Written>(text).unwrap()).unwrap()
    }

    fn reply(status: u16, body: &str) -> Result<Reply, String> {
        Ok(Reply { status, body: body.to_owned(), ..Reply::default() })
    }

    #[test]
    fn the_body_is_alertmanagers_message_on_one_line() {
        let webhook = webhook("{ url: 'http://127.0.0.1:9000/x' }");
        for (name, notification) in
            [("opening", samples::opening()), ("closing", samples::closing()), ("mixed", samples::mixed())]
        {
            let request = webhook.request(&notification, &CONTEXT);
            assert_eq!(request.body().lines().count(), 1);
            crate::golden::compare(&format!("webhook-{name}.json"), request.body());
        }
    }

    #[test]
    fn the_head_names_id_type_sender_and_credentials() {
        let webhook = webhook(
            "{ url: 'https://hooks.example.com:8443/a/b?c=d', token: t0ken-t0ken, headers: { X-Team: ops, X-Api-Key: k3y-k3y } }",
        );
        let request = webhook.request(&samples::opening(), &CONTEXT);
        assert_eq!((request.method(), request.uri().to_string()), (&Method::POST, "/a/b?c=d".to_owned()));
        let head: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            head,
            [
                concat!("user-agent: lifesign/", env!("CARGO_PKG_VERSION")),
                "x-team: ops",
                "x-api-key: k3y-k3y",
                "host: hooks.example.com:8443",
                "content-type: application/json",
                "connection: close",
                "idempotency-key: 9f86d081884c7d65",
                "authorization: Bearer t0ken-t0ken",
            ]
        );
    }

    #[test]
    fn too_many_alerts_are_cut_and_counted() {
        let webhook = webhook("{ url: 'http://127.0.0.1/', max_alerts: 1 }");
        let request = webhook.request(&samples::mixed(), &CONTEXT);
        let body: serde_json::Value = serde_json::from_str(request.body()).unwrap();
        assert_eq!(body["alerts"].as_array().unwrap().len(), 1);
        assert_eq!(body["truncatedAlerts"], 1);
    }

    #[test]
    fn only_2xx_is_delivered_and_only_a_repeated_no_to_the_message_is_given_up() {
        let hidden = Hidden::default();
        for status in 100..=599 {
            let first = judge(&reply(status, "x"), 1, &hidden);
            let last = judge(&reply(status, "x"), REFUSED_AFTER, &hidden);
            match status {
                200..=299 => assert!(first.is_delivered() && last.is_delivered(), "{status}"),
                400 | 410 | 413 | 415 | 422 => {
                    assert!(matches!(first, Delivery::Retry { .. }), "{status}");
                    assert!(matches!(last, Delivery::Refused { .. }), "{status}");
                }
                _ => {
                    assert!(matches!(first, Delivery::Retry { .. }), "{status}");
                    assert!(matches!(last, Delivery::Retry { .. }), "{status}");
                }
            }
        }
        assert!(matches!(judge(&Err("reset".into()), 1000, &hidden), Delivery::Retry { .. }));
        assert_eq!(judge(&reply(200, "ok\n"), 1, &hidden).text(), "200 OK ok");
        assert_eq!(judge(&reply(299, ""), 1, &hidden).text(), "299");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_by_the_receivers_own_clock() {
        let asked = |retry_after: &str, date: Option<&str>| {
            asked_wait(&Reply {
                status: 429,
                retry_after: Some(retry_after.to_owned()),
                date: date.map(str::to_owned),
                body: String::new(),
            })
        };
        let date = Some("Sun, 22 Nov 2026 09:00:00 GMT");
        assert_eq!(asked("120", None), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 22 Nov 2026 09:00:30 GMT", date), Some(Duration::from_secs(30)));
        assert_eq!(asked("Sun, 22 Nov 2026 08:59:00 GMT", date), None);
        assert_eq!(asked("Sun, 22 Nov 2026 09:00:30 GMT", None), None);
        for nonsense in ["", "-1", "soon", "1e9", "99999999999999999999999"] {
            assert_eq!(asked(nonsense, date), None, "{nonsense}");
        }
    }

    #[test]
    fn no_secret_is_in_debug_or_in_an_answer_that_repeats_it() {
        let webhook = webhook(
            "{ url: 'https://chat.example.com/hook/T0PSECRET?key=AAAABBBB', token: bearer-1, headers: { X-Api-Key: sesame-1 } }",
        );
        let echo =
            "you sent /hook/T0PSECRET?key=AAAABBBB with Bearer bearer-1, sesame-1 (AAAABBBB, T0PSECRET)";
        let shown = format!(
            "{webhook:?} {:?} {:?}",
            judge(&reply(500, echo), 1, &webhook.hidden),
            judge(&Err(echo.to_owned()), 1, &webhook.hidden)
        );
        for secret in ["T0PSECRET", "AAAABBBB", "bearer-1", "sesame-1"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains("chat.example.com"));
    }

    #[test]
    fn what_is_written_wrong_is_said_at_its_place() {
        let refused = |text: &str| KIND.read(text).unwrap_err().to_string();
        for (text, part) in [
            ("{}", "the key `url` is missing"),
            ("{ url: 'http://a', tocken: x }", "did you mean `token`?"),
            ("{ url: 'http://u:p@a/' }", "user and password do not belong into a URL"),
            ("{ url: 'http://a', headers: { Content-Type: text/plain } }", "is set by lifesign"),
            ("{ url: 'http://a', headers: { 'a b': c } }", "no name of a header"),
            ("{ url: 'http://a', headers: { X-A: \"a\\nb\" } }", "no value of a header"),
            ("{ url: 'http://a', token: ' x ' }", "a token has no spaces"),
            ("{ url: 'http://a', token: x, headers: { Authorization: y } }", "say the same"),
            ("{ url: 'http://a', timeout: 10ms }", "must be between 100ms and 5m"),
            ("{ url: 'http://a', ca_file: /nowhere/ca.pem }", "cannot use the certificates in"),
        ] {
            let said = refused(text);
            assert!(said.contains(part), "{text}\n{said}");
        }
        assert!(!refused("{ url: 'http://u:p4ssw0rd@a/' }").contains("p4ssw0rd"));
    }
}
