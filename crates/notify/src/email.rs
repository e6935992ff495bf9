//! `email`: a short message by SMTP.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lifesign_config::{Cx, Decode, Fields, Host, Kind, Node, Record, Secret, record, words};
use lifesign_core::effect::{Notification, NotifyReason};
use serde_json::json;

use crate::answer::Hidden;
use crate::delivery::{Context, Delivery};
use crate::receiver::{Channel, Receiver, Sending};
use crate::smtp::{self, Outcome, Protection, Said, Server};
use crate::text::text;
use crate::trust::Authorities;

/// For how many attempts a recipient who is refused for now holds the message back from the others.
///
/// Some half a minute with our back-off: long enough for a mail server's restart, short enough for an alert.
const PATIENCE: u32 = 5;

record! {
    /// Sends a short mail, in plain text and HTML. Delivered means that the server took the message (250
    /// after DATA) for at least one recipient; those it refused are named in the answer.
    pub struct Written {
        /// Who gets it.
        to: Vec<Address> [1..=50],
        /// Who it is from; by default `lifesign` in the domain of the first recipient.
        from: Option<Address>,
        /// The server: `smtp://host[:port]`, or `smtps://host[:port]` for TLS from the first byte.
        smtp: SmtpUrl,
        /// With `smtp://`, whether to go on encrypted. `auto`: not on this machine itself; elsewhere when
        /// the server offers it, and always when there is a password. `always`. `never`.
        starttls: StartTls = "auto",
        /// The user to log in as, together with `password`.
        username: Option<String>,
        /// That user's password.
        password: Option<Secret>,
        /// A PEM file with the authority of the server's certificate, beside the public authorities.
        ca_file: Option<Authorities>,
        /// The name lifesign greets the server with; by default the domain of `from`.
        hello: Option<String> [1..=253],
        /// Time for one attempt.
        timeout: Duration [Duration::from_millis(100)..=Duration::from_secs(300)] = "30s",
    }
    check Written::check
}

impl Written {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.username.is_some() != self.password.is_some() {
            cx.error(node.at("username"), "`username` and `password` go together; one of them is missing");
        }
        let hello = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
        if !self.hello.as_ref().is_none_or(hello) {
            cx.error(node.at("hello"), "expected the name of a host: letters, digits, '.' and '-'");
        }
        let readable = !self.smtp.tls && self.starttls == StartTls::Never && !self.smtp.host.is_loopback();
        if self.password.is_some() && readable {
            let error =
                cx.error(node.at("starttls"), "this would send the password readably over the network");
            error.hint("leave `starttls` out, or use smtps://");
        }
        if self.smtp.tls && self.starttls == StartTls::Always {
            cx.error(node.at("starttls"), "smtps:// is encrypted from the first byte; leave `starttls` out");
        }
    }

    fn protection(&self) -> Protection {
        match (self.smtp.tls, self.starttls) {
            (true, _) => Protection::Tls,
            (false, StartTls::Always) => Protection::StartTls,
            (false, StartTls::Never) => Protection::Plain,
            (false, StartTls::Auto) if self.smtp.host.is_loopback() => Protection::Plain,
            (false, StartTls::Auto) if self.password.is_some() => Protection::StartTls,
            (false, StartTls::Auto) => Protection::StartTlsIfOffered,
        }
    }
}

/// `email`, for [`crate::kinds`].
pub(crate) const KIND: Kind<Receiver> = Kind { name: "email", decode, schema: Written::schema };

fn decode(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Receiver> {
    let span = fields.node().span;
    let written = Written::from_fields(fields, cx)?;
    match Email::new(&written) {
        Some(email) => Some(Receiver::new(KIND.name, email)),
        None => {
            cx.error(span, "no address to send from; write `from`");
            None
        }
    }
}

/// Mail ready to be written.
struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
    hidden: Hidden,
}

impl Email {
    fn new(written: &Written) -> Option<Self> {
        let to: Vec<Mailbox> = written.to.iter().map(|address| address.0.clone()).collect();
        let from = match &written.from {
            Some(from) => from.0.clone(),
            None => {
                let address = lettre::Address::new("lifesign", to.first()?.email.domain()).ok()?;
                Mailbox::new(Some("lifesign".to_owned()), address)
            }
        };
        let mut hidden = Hidden::default();
        let login = written.username.as_ref().zip(written.password.as_ref());
        if let Some((user, password)) = login {
            hidden.add(password.expose());
            // The two forms in which it is sent (AUTH LOGIN, AUTH PLAIN): a server may repeat the command.
            hidden.add(&BASE64_STANDARD.encode(password.expose()));
            hidden.add(&BASE64_STANDARD.encode(format!("\0{user}\0{}", password.expose())));
        }
        let server = Server {
            host: written.smtp.host.clone(),
            port: written.smtp.port,
            protection: written.protection(),
            credentials: login
                .map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned())),
            authorities: written.ca_file.clone(),
            hello: written.hello.clone().unwrap_or_else(|| from.email.domain().to_owned()),
        };
        Some(Self { server, from, to, timeout: written.timeout, hidden })
    }

    /// The mail for a notification. The same, byte for byte, for every attempt.
    ///
    /// The `Message-ID` is the notification's id, so that a mail sent twice is shown once. All mails about
    /// one group refer to the same thread, so that the all-clear stands below the alarm.
    fn message(&self, notification: &Notification, context: &Context<'_>) -> Result<Message, String> {
        let text = text(notification, context);
        let domain = self.from.email.domain();
        let thread = thread(notification, domain);
        let at = u64::try_from(notification.at.as_millis()).unwrap_or(0);
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(text.subject.as_str())
            .date(UNIX_EPOCH + Duration::from_millis(at))
            .message_id(Some(format!("<{}@{domain}>", atom(&notification.id))))
            .references(thread.clone())
            // RFC 3834: keeps holiday notices from answering.
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Lifesign-Receiver", &atom(&notification.receiver)));
        if notification.reason != NotifyReason::FirstFiring {
            builder = builder.in_reply_to(thread);
        }
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let parts = MultiPart::alternative()
            .boundary(format!("lifesign-{}", atom(&notification.id)))
            .singlepart(SinglePart::plain(text.plain()))
            .singlepart(SinglePart::html(text.html(context.lang)));
        builder.multipart(parts).map_err(|error| error.to_string())
    }
}

/// One thread for all that is told about a group: named after its oldest alert.
fn thread(notification: &Notification, domain: &str) -> String {
    let oldest = notification.alerts.iter().min_by_key(|alert| (alert.starts_at, &alert.fingerprint));
    let name = oldest.map_or_else(String::new, |alert| {
        format!("{}.{}", atom(&alert.fingerprint), alert.starts_at.as_millis())
    });
    format!("<thread.{name}@{domain}>")
}

/// `text` with only the characters that an id or a boundary may have.
fn atom(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(64).collect()
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

impl Channel for Email {
    fn timeout(&self) -> Duration {
        // The attempt keeps its own deadline; the farewell comes after it.
        self.timeout + Duration::from_secs(2)
    }

    fn send<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Sending<'a> {
        Box::pin(async move {
            let message = match self.message(notification, context) {
                Ok(message) => message,
                Err(why) => {
                    return Delivery::refused(format!("cannot write the mail: {why}"), context.attempt);
                }
            };
            let patient = context.attempt < PATIENCE;
            let bytes = message.formatted();
            let outcome =
                smtp::hand_over(&self.server, message.envelope(), &bytes, patient, self.timeout).await;
            judge(&outcome, context.attempt, &self.hidden)
        })
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        f.debug_struct("Email")
            .field("to", &to)
            .field("from", &self.from.to_string())
            .field("server", &format_args!("{}:{}", self.server.host, self.server.port))
            .field("protection", &self.server.protection)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What an outcome means.
///
/// Delivered is the server's 2yz after the message itself. Refused is a 5yz about this message or all of
/// its recipients, heard on [`crate::REFUSED_AFTER`] attempts. Everything else is tried again: 4yz, no
/// connection, and a refused login, which somebody will put right.
fn judge(outcome: &Outcome, attempt: u32, hidden: &Hidden) -> Delivery {
    let told = |said: &Said| format!("{} {}", said.code, said.text);
    let each = |refused: &[(String, Said)]| {
        refused.iter().map(|(to, said)| format!("{to}: {}", told(said))).collect::<Vec<_>>().join("; ")
    };
    match outcome {
        Outcome::Taken { said, missed } if missed.is_empty() => {
            Delivery::Delivered { answer: hidden.clean(&told(said)) }
        }
        Outcome::Taken { said, missed } => Delivery::Delivered {
            answer: hidden.clean(&format!("{}, but not for {}", told(said), each(missed))),
        },
        Outcome::No { step, said } => {
            let why = hidden.clean(&format!("{step}: {}", told(said)));
            let ours_to_repair =
                matches!(*step, "connecting" | "logging in") || matches!(said.code, 530 | 534 | 535 | 538);
            if said.code >= 500 && !ours_to_repair {
                Delivery::refused(why, attempt)
            } else {
                Delivery::retry(why)
            }
        }
        Outcome::NoRecipient { refused } => {
            let why = hidden.clean(&each(refused));
            if refused.iter().all(|(_, said)| said.code >= 500) {
                Delivery::refused(why, attempt)
            } else {
                Delivery::retry(why)
            }
        }
        Outcome::Broken(why) => Delivery::retry(hidden.clean(why)),
    }
}

/// A mail address, with or without a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Address(Mailbox);

impl Decode for Address {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let mailbox = node.text().and_then(|text| text.parse::<Mailbox>().ok());
        if mailbox.is_none() {
            cx.expected(node, &Self::what());
        }
        mailbox.map(Self)
    }

    fn what() -> String {
        "a mail address such as `ops@example.com` or `Ops <ops@example.com>`".to_owned()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 3 })
    }
}

/// `smtp://` or `smtps://`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SmtpUrl {
    tls: bool,
    host: Host,
    port: u16,
}

impl SmtpUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            Some(("smtp", rest)) => (false, rest),
            Some(("smtps", rest)) => (true, rest),
            _ => return Err("it starts with smtp:// or smtps://"),
        };
        if rest.contains('@') {
            return Err("user and password stand beside it, as `username` and `password`");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let colon = rest.rfind(':').filter(|colon| !rest[*colon..].contains(']'));
        let (host, port) = match colon {
            Some(colon) => (&rest[..colon], rest[colon + 1..].parse().ok().filter(|port| *port > 0)),
            None => (rest, Some(if tls { 465 } else { 25 })),
        };
        let host =
            Host::parse(host).ok_or("the host is a name, an IPv4 address or an IPv6 address in [ ]")?;
        Ok(Self { tls, host, port: port.ok_or("the port is a number from 1 to 65535")? })
    }
}

impl Decode for SmtpUrl {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match node.text().map(Self::parse) {
            Some(Ok(server)) => Some(server),
            Some(Err(hint)) if node.text().is_some_and(|text| text.contains('@')) => {
                cx.mask(node.span);
                cx.error(node.span, format!("expected {}", Self::what())).hint(hint);
                None
            }
            Some(Err(hint)) => {
                cx.expected(node, &Self::what()).hint(hint);
                None
            }
            None => {
                cx.expected(node, &Self::what());
                None
            }
        }
    }

    fn what() -> String {
        "a mail server such as `smtp://127.0.0.1:25` or `smtps://mail.example.com`".to_owned()
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^(smtps?://|\\$\\{)" })
    }
}

/// When to use STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTls {
    Auto,
    Always,
    Never,
}

words! { StartTls { Auto = "auto", Always = "always", Never = "never" } }

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::*;
    use crate::{REFUSED_AFTER, samples};

    fn email(text: &str) -> Email {
        Email::new(&lifesign_config::kind::read::<Written>(text).unwrap_or_else(|report| panic!("{report}")))
            .unwrap()
    }

    fn context(lang: Lang) -> Context<'static> {
        Context { attempt: 1, external_url: "https://lifesign.example.com", lang }
    }

    #[test]
    fn mails_are_written_in_both_languages_with_id_and_thread() {
        let email =
            email("{ to: [ops@example.com, 'Night Watch <night@example.com>'], smtp: 'smtp://127.0.0.1' }");
        for lang in Lang::ALL {
            for (name, notification) in [
                ("opening", samples::opening()),
                ("closing", samples::closing()),
                ("mixed", samples::mixed()),
            ] {
                let message = email.message(&notification, &context(*lang)).unwrap();
                let text = String::from_utf8(message.formatted()).unwrap().replace("\r\n", "\n");
                crate::golden::compare(&format!("email-{name}.{}.eml", lang.code()), &text);
            }
        }
    }

    #[test]
    fn the_all_clear_stands_in_the_thread_of_the_alarm() {
        let email = email("{ to: [ops@example.com], smtp: 'smtp://127.0.0.1' }");
        let header = |notification: &Notification, name: &str| {
            let message = email.message(notification, &context(Lang::En)).unwrap();
            message.headers().get_raw(name).map(str::to_owned)
        };
        let (alarm, clear) = (samples::opening(), samples::closing());
        assert_ne!(header(&alarm, "Message-ID"), header(&clear, "Message-ID"));
        assert_eq!(header(&alarm, "References"), header(&clear, "References"));
        assert_eq!(header(&clear, "In-Reply-To"), header(&alarm, "References"));
        assert_eq!(header(&alarm, "In-Reply-To"), None);
        assert_eq!(header(&alarm, "Auto-Submitted").as_deref(), Some("auto-generated"));
    }

    #[test]
    fn a_password_never_travels_readably_by_default() {
        for (text, protection) in [
            ("smtp: 'smtp://127.0.0.1:25'", Protection::Plain),
            ("smtp: 'smtp://localhost:25', username: u, password: pass", Protection::Plain),
            ("smtp: 'smtp://mail.example.com'", Protection::StartTlsIfOffered),
            ("smtp: 'smtp://mail.example.com', username: u, password: pass", Protection::StartTls),
            ("smtp: 'smtp://127.0.0.1', starttls: always", Protection::StartTls),
            ("smtp: 'smtp://mail.example.com', starttls: never", Protection::Plain),
            ("smtp: 'smtps://mail.example.com', username: u, password: pass", Protection::Tls),
        ] {
            assert_eq!(
                email(&format!("{{ to: [a@b.example], {text} }}")).server.protection,
                protection,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_written_wrong_is_said_at_its_place() {
        for (text, part) in [
            ("{ smtp: 'smtp://a' }", "the key `to` is missing"),
            ("{ to: [], smtp: 'smtp://a' }", "must be 1 to 50 items"),
            ("{ to: [ops], smtp: 'smtp://a' }", "expected a mail address"),
            ("{ to: [a@b.example], smtp: 'http://a' }", "it starts with smtp:// or smtps://"),
            ("{ to: [a@b.example], smtp: 'smtp://a:x' }", "the port is a number"),
            ("{ to: [a@b.example], smtp: 'smtp://u:p4ssw0rd@a' }", "`username` and `password`"),
            ("{ to: [a@b.example], smtp: 'smtp://a', username: u }", "go together"),
            ("{ to: [a@b.example], smtp: 'smtp://a', starttls: no-way }", "expected one of `auto`"),
            (
                "{ to: [a@b.example], smtp: 'smtp://a.example', starttls: never, username: u, password: p }",
                "readably over the network",
            ),
            ("{ to: [a@b.example], smtp: 'smtp://a', hello: 'a b' }", "the name of a host"),
        ] {
            let said = KIND.read(text).unwrap_err().to_string();
            assert!(said.contains(part), "{text}\n{said}");
            assert!(!said.contains("p4ssw0rd"), "{said}");
        }
    }

    #[test]
    fn only_the_servers_word_after_the_message_is_delivered() {
        let said = |code, text: &str| Said { code, text: text.to_owned() };
        let one = |code| vec![("a@b.example".to_owned(), said(code, "x"))];
        let no = |step, code| Outcome::No { step, said: said(code, "x") };
        let mut hidden = Hidden::default();
        hidden.add("pa55word");
        let judge = |outcome: &Outcome, attempt| judge(outcome, attempt, &hidden);

        let taken = Outcome::Taken { said: said(250, "2.0.0 queued"), missed: Vec::new() };
        assert_eq!(judge(&taken, 1), Delivery::Delivered { answer: "250 2.0.0 queued".to_owned() });
        let partly = Outcome::Taken { said: said(250, "ok"), missed: one(550) };
        assert_eq!(judge(&partly, 1).text(), "250 ok, but not for a@b.example: 550 x");

        for (outcome, given_up) in [
            (no("sending", 554), true),
            (no("naming the sender", 550), true),
            (no("naming the sender", 530), false),
            (no("sending", 451), false),
            (no("logging in", 535), false),
            (no("connecting", 554), false),
            (Outcome::NoRecipient { refused: one(550) }, true),
            (Outcome::NoRecipient { refused: one(450) }, false),
            (Outcome::NoRecipient { refused: [one(550), one(450)].concat() }, false),
            (Outcome::Broken("connection refused".to_owned()), false),
        ] {
            assert!(matches!(judge(&outcome, 1), Delivery::Retry { .. }), "{outcome:?}");
            let last = judge(&outcome, REFUSED_AFTER);
            assert_eq!(matches!(last, Delivery::Refused { .. }), given_up, "{outcome:?}");
        }
        let leak = Outcome::No { step: "logging in", said: said(535, "bad password pa55word") };
        assert_eq!(judge(&leak, 1).text(), "logging in: 535 bad password ***");
    }

    #[test]
    fn no_password_is_shown() {
        let email =
            email("{ to: [a@b.example], smtp: 'smtps://a.example', username: u, password: pa55word }");
        let shown = format!("{email:?}");
        assert!(!shown.contains("pa55word") && shown.contains("a.example:465"), "{shown}");
    }
}
