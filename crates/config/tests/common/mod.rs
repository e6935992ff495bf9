//! Kinds of checks and receivers for the tests, and a way to load a text with them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;

use lifesign_config::{
    Cx, Decode, Fields, HostPort, Kind, Kinds, Loaded, Outside, Record, Report, Secret, Target, Url,
    load_text, record,
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Probe {
    Tcp(HostPort),
    Http(Http),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    Webhook(Webhook),
    Email(Email),
}

record! {
    /// A TCP connection.
    pub struct Tcp {
        /// Where to connect.
        address: Option<HostPort>,
        /// Where to connect, several places.
        addresses: Vec<HostPort> = [],
    }
}

record! {
    /// An HTTP request.
    pub struct Http {
        /// What to ask for.
        url: Url,
        /// Values of the JSON answer, by path.
        json: BTreeMap<String, String> = {},
    }
}

record! {
    /// A POST of JSON.
    pub struct Webhook {
        /// Where to.
        url: Url,
        /// Sent as `Authorization: Bearer`.
        token: Option<Secret>,
    }
}

record! {
    /// A mail.
    pub struct Email {
        /// To whom.
        to: Vec<String> [1..=50],
        /// The mail server.
        smtp: String,
    }
}

pub(crate) fn kinds() -> Kinds<Probe, Way> {
    Kinds {
        checks: vec![
            Kind {
                name: "tcp",
                decode: |fields: &mut Fields<'_>, cx: &mut Cx| {
                    let tcp = Tcp::from_fields(fields, cx)?;
                    let targets = tcp.address.into_iter().chain(tcp.addresses);
                    Some(
                        targets
                            .map(|target| Target { label: target.to_string(), probe: Probe::Tcp(target) })
                            .collect(),
                    )
                },
                schema: Tcp::schema,
            },
            Kind {
                name: "http",
                decode: |fields: &mut Fields<'_>, cx: &mut Cx| {
                    let http = Http::from_fields(fields, cx)?;
                    Some(vec![Target { label: http.url.to_string(), probe: Probe::Http(http) }])
                },
                schema: Http::schema,
            },
        ],
        receivers: vec![
            Kind {
                name: "webhook",
                decode: |fields, cx| Webhook::from_fields(fields, cx).map(Way::Webhook),
                schema: Webhook::schema,
            },
            Kind {
                name: "email",
                decode: |fields, cx| Email::from_fields(fields, cx).map(Way::Email),
                schema: Email::schema,
            },
        ],
    }
}

/// Environment variables of the tests.
pub(crate) fn variable(name: &str) -> Option<String> {
    match name {
        "LIFESIGN_TOKEN" => Some("from-the-environment".to_owned()),
        "PORT" => Some("7".to_owned()),
        "BAD" => Some("very secret and no number".to_owned()),
        _ => None,
    }
}

pub(crate) fn load(name: &str, text: &str) -> Result<Loaded<Probe, Way>, Report> {
    load_bytes(name, text.as_bytes())
}

pub(crate) fn load_bytes(name: &str, bytes: &[u8]) -> Result<Loaded<Probe, Way>, Report> {
    load_text(name, Path::new("/etc/lifesign"), bytes, &kinds(), &Outside { variable: &variable })
}
