//! Sections of the file that concern the server and the agent as programs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lifesign_core::spec::Profile;
use serde_json::{Value as Json, json};

use crate::address::Url;
use crate::decode::{Decode, word, word_schema};
use crate::fields::{Cx, Timing};
use crate::heartbeat::{Confirmation, Detector, check_defaults};
use crate::local::Local;
use crate::node::Node;
use crate::quantity::Bytes;
use crate::secret::Secret;
use crate::time::write_duration;
use crate::{record, words};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

record! {
    /// The server: where it listens, where it keeps its data, and its limits.
    pub struct Server {
        /// Address and port of the API and the dashboard.
        listen: SocketAddr = "127.0.0.1:7700",
        /// Folder of the database and of lifesign's own token. Made when it is missing, readable by its owner only.
        data_dir: PathBuf = "./data",
        /// The same by TLS on a port of its own: for agents of other hosts, and for everybody else. `lifesign server` opens it unasked, with a certificate of its own; `lifesign up` only where this is written (`tls: {}` is enough).
        tls: Option<Tls>,
        /// Whether `/metrics` answers without a token.
        open_metrics: bool = false,
        /// Limits of the server.
        limits: Limits = {},
        /// How long the past is kept.
        retention: Retention = {},
    }
}

record! {
    /// The port with TLS.
    pub struct Tls {
        /// Address and port.
        listen: SocketAddr = "0.0.0.0:7701",
        /// The server's certificate, then those of its authorities up to the root; PEM. Where unset: one of the server's own authority, which is made at the first start. Agents that are enrolled are shown that one in either case.
        certificate: Option<PathBuf>,
        /// The certificate's private key; PEM, readable by lifesign alone.
        key: Option<PathBuf>,
        /// Further names and IP addresses for the certificate of the server's own authority, beside this host's and `listen`'s: those by which browsers and programs call the server.
        names: Vec<String> [0..=64] = [],
        /// How long a certificate of an enrolled agent holds. It is renewed by itself after two thirds.
        agents_for: Duration [SECOND..=YEAR] = "30d",
    }
    check Tls::check
}

impl Default for Tls {
    /// What holds where nothing is written.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7701)),
            certificate: None,
            key: None,
            names: Vec::new(),
            agents_for: DAY * 30,
        }
    }
}

impl Tls {
    fn check(&self, node: &Node, cx: &mut Cx) {
        let alone = match (&self.certificate, &self.key) {
            (Some(_), None) => ("certificate", "key"),
            (None, Some(_)) => ("key", "certificate"),
            (Some(_), Some(_)) | (None, None) => return,
        };
        cx.error(node.at(alone.0), format!("`{}` is of no use without `{}`", alone.0, alone.1))
            .hint("write both, or neither: then the server has a certificate of its own authority");
    }
}

record! {
    /// Limits of the server, each with what happens at it.
    pub struct Limits {
        /// Services. More are an error when the configuration is read; heartbeats create no more.
        services: u32 [1..=2_000_000] = 10_000,
        /// Open connections. Further ones get 503 and are closed.
        connections: u32 [1..=65_536] = 1024,
        /// Size of a request's line and headers together; more is answered with 431.
        header_size: Bytes [1024..=1_048_576] = "16KiB",
        /// Number of headers; more is answered with 431.
        headers: u32 [8..=1024] = 64,
        /// A request's line and headers must arrive within this, else the connection is closed.
        headers_within: Duration [SECOND..=HOUR] = "10s",
        /// Size of a body; more is answered with 413.
        body_size: Bytes [1024..=16_777_216] = "64KiB",
        /// A body must arrive within this; else 408.
        body_within: Duration [SECOND..=HOUR] = "10s",
        /// A client that takes no byte of an answer for this long is cut off.
        stalled_within: Duration [SECOND..=HOUR] = "30s",
        /// Followers of the live events; further ones get 503.
        followers: u32 [1..=10_000] = 256,
        /// Heartbeats in one array; more is answered with 422.
        array_entries: u32 [1..=10_000] = 1000,
        /// Metrics of one heartbeat; more is answered with 422.
        metrics: u32 [1..=256] = 100,
        /// Bytes of a metric's name; more is answered with 422.
        metric_name: u32 [8..=1024] = 128,
        /// Bytes of a heartbeat's message; more is answered with 422.
        message: u32 [0..=65_536] = 1024,
        /// Checks asked a second because a heart is late, all services together; beyond that the detectors judge alone, at their limits. 0: none is asked.
        confirmations: u32 [0..=100_000] = 200,
    }
}

record! {
    /// How long the past is kept. What is older is deleted once an hour.
    pub struct Retention {
        /// Closed incidents with their timelines and notifications.
        incidents: Duration [DAY..=crate::time::MAX_DURATION] = "365d",
        /// Changes of state.
        history: Duration [DAY..=crate::time::MAX_DURATION] = "90d",
        /// The audit log.
        audit: Duration [DAY..=crate::time::MAX_DURATION] = "365d",
    }
}

record! {
    /// The agent: the role on a host.
    pub struct Agent {
        /// The host's name in the API and on screens. The machine's own name where unset.
        host: Option<String> [1..=255],
        /// The server the agent reports to. Not under `up`, where both are one process.
        server: Option<Url>,
        /// Further servers, tried in this order when the one before does not answer.
        fallbacks: Vec<Url> [0..=16] = [],
        /// Certificates of authorities (PEM) that the agent trusts beside the public ones: that of a server of your own.
        ca: Option<PathBuf>,
        /// The HTTP proxy by which the servers are reached. Where unset, those of the environment: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        proxy: Option<Proxy>,
        /// Bytes on disk for what cannot be sent while no server answers; the oldest gives way.
        spool: Bytes [65_536..=68_719_476_736] = "64MiB",
        /// The agent's token at that server. Not under `up`, and not needed where the host was enrolled: `lifesign agent enroll`.
        token: Option<Secret>,
        /// How programs on this host are heard.
        local: Local = {},
    }
}

record! {
    /// An HTTP proxy that takes `CONNECT`.
    pub struct Proxy {
        /// Where it is, such as `http://proxy.example.com:3128`.
        url: Url,
        /// A user that it knows. With a password.
        user: Option<String> [1..=255],
        /// The user's password.
        password: Option<Secret>,
    }
    check Proxy::check
}

impl Proxy {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.url.tls {
            cx.error(node.at("url"), "a proxy is talked to without TLS; what goes through it has its own")
                .hint("write http://");
        }
        let alone = match (&self.user, &self.password) {
            (Some(_), None) => ("user", "password"),
            (None, Some(_)) => ("password", "user"),
            (Some(_), Some(_)) | (None, None) => return,
        };
        cx.error(node.at(alone.0), format!("`{}` is of no use without `{}`", alone.0, alone.1));
    }
}

record! {
    /// What heartbeats and checks get that do not say otherwise.
    pub struct Defaults {
        /// Between two heartbeats or looks. 10s where unset.
        interval: Option<Duration> [Duration::from_millis(100)..=DAY],
        /// Silence after which a service with heartbeats is `suspect`. Written here it makes `fixed` the detector of all services that do not say otherwise.
        timeout: Option<Duration>,
        /// Further intervals without a heartbeat before the service is judged. 2 where unset.
        retries: Option<u32> [0..=1000],
        /// How the moment of suspicion is found. Where unset: `fixed` where there is a `timeout`, else `adaptive`.
        detector: Option<Detector>,
        /// How long the adaptive detector asks around before it judges. `default` where unset.
        profile: Option<Profile>,
        /// Whether the checks are asked at suspicion, and may end it early. Where unset: `on`, for the fixed detector `off`. A service with fewer targets than `K of N` asks for is judged by all it has.
        confirm: Option<Confirmation>,
    }
    check Defaults::check
}

impl Defaults {
    /// As those see it who are given defaults.
    pub(crate) const fn timing(&self) -> Timing {
        Timing {
            interval: self.interval,
            timeout: self.timeout,
            retries: self.retries,
            detector: self.detector,
            profile: self.profile,
            confirm: self.confirm,
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let interval = self.interval.unwrap_or(crate::check::DEFAULT_INTERVAL);
        if let Some(timeout) = self.timeout.filter(|timeout| *timeout < interval) {
            let (timeout, interval) = (write_duration(timeout), write_duration(interval));
            cx.error(
                node.at("timeout"),
                format!("the timeout ({timeout}) is shorter than the interval ({interval})"),
            )
            .hint("a heartbeat that comes in time would be too late");
        }
        check_defaults(&self.timing(), node, cx);
    }
}

record! {
    /// What is done with heartbeats in general.
    pub struct Heartbeats {
        /// Whether a heartbeat of an unknown service creates it; else it is answered with 404. What was created stays, also over a restart of lifesign, until `lifesign forget ID`; at most `server.limits.services` are.
        create_unknown: bool = false,
        /// Heartbeats a second of one service; more is answered with 429. One second's worth may come at once.
        rate_per_second: u32 [1..=100_000] = 100,
        /// Address and port on which heartbeats in datagrams are heard, each with the MAC of a token that may write. None where unset.
        udp: Option<SocketAddr>,
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Plain,
}

impl Decode for LogFormat {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if let Some(later @ ("logstash" | "ecs")) = node.text() {
            cx.error(
                node.span,
                format!("the log format `{later}` is not available yet in this version of lifesign"),
            )
            .hint(format!("expected {}", Self::what()));
            return None;
        }
        word(node, &[("json", Self::Json), ("plain", Self::Plain)], cx)
    }

    fn what() -> String {
        "`json` or `plain`".to_owned()
    }

    fn schema() -> Json {
        word_schema(["json", "plain"])
    }
}

/// The least important lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// lifesign stopped doing something.
    Error,
    /// Somebody may have to look.
    Warn,
    /// What lifesign does, seldom.
    Info,
    /// Decisions.
    Debug,
    /// Everything.
    Trace,
}

words!(LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });

record! {
    /// lifesign's own log: on standard error, or as a service in the system's log, and in a file where one is named.
    pub struct Log {
        /// The form of a line.
        format: LogFormat = "plain",
        /// The least important lines that are written.
        level: LogLevel = "info",
        /// A file for the log as well, such as `/var/log/lifesign/lifesign.log`; made where it is missing, with its folder, readable by its owner only. One that cannot be written is warned of and tried again. None where unset.
        file: Option<PathBuf>,
        /// Size at which the file is turned over: it becomes `FILE.1`, that one `FILE.2`, and so on.
        file_size: Bytes [65_536..=1_073_741_824] = "10MiB",
        /// Most files, the newest included; what is older is removed.
        files: u32 [1..=100] = 5,
    }
}

/// A network of proxies whose `X-Forwarded-*` headers are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// An address of the network.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix: u8,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => longest,
        };
        (prefix <= longest).then_some(Self { address, prefix })
    }
}

impl Decode for Network {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let network = node.text().and_then(Self::parse);
        if network.is_none() {
            cx.expected(node, &Self::what());
        }
        network
    }

    fn what() -> String {
        "a network such as `10.0.0.0/8` or `::1`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/network" })
    }
}
