//! A whole server on a port of its own, and a client that knows HTTP and nothing of lifesign.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use lifesign_component::{Board, Supervisor};
use lifesign_core::evidence::{Process, UnitReport, UnitState};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::spec::{HeartbeatSpec, RestartSpec, RouteSpec, ServiceSpec, Spec, Terms, Unknown};
use lifesign_core::time::{Mono, Now, Wall};
use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery};
use lifesign_server::auth::{AccessTable, Digest, Privilege, Role, Token};
use lifesign_server::engine::{Clock, Work};
use lifesign_server::enrol::Enrolment;
use lifesign_server::limits::Limits;
use lifesign_server::outbox::{Attempting, Deliver, Recipient};
use lifesign_server::peer::{PeerTable, Sockets};
use lifesign_server::ping::Pings;
use lifesign_server::reload::{Fresh, Load};
use lifesign_server::{AppState, Parts, Server};
use lifesign_store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub const ADMIN: &str = "admin-secret";
pub const GUEST: &str = "guest-secret";
/// A role that may write and not read.
pub const SENDER: &str = "sender-secret";

pub const WITHIN: Duration = Duration::from_secs(10);

/// A register of hosts, with one that was revoked.
const ENROLLED: &[u8] = br#"{"hosts": {"web-09": {"certificate": null, "next": null,
    "enrolled_at": "2026-11-22T09:00:00.000Z", "expires_at": "2026-12-22T09:00:00.000Z",
    "revoked_at": "2026-11-23T09:00:00.000Z"}}}"#;

/// How a house is built.
pub struct Plan {
    pub spec: Spec,
    pub limits: Limits,
    pub create_unknown: bool,
    pub is_metrics_open: bool,
    pub recipients: Vec<Recipient>,
    pub dir: Option<TempDir>,
    /// What clients of other monitors call the services.
    pub peers: PeerTable,
    pub sockets: Sockets,
    /// Instead of the machine's.
    pub clock: Option<Clock>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            spec: spec(&["orders", "billing"]),
            limits: Limits { beats_per_second: None, ..Limits::default() },
            create_unknown: false,
            is_metrics_open: false,
            recipients: Vec::new(),
            dir: None,
            peers: PeerTable::default(),
            sockets: Sockets::default(),
            clock: None,
        }
    }
}

/// Services with a unit and heartbeats that are not soon missed.
pub fn spec(ids: &[&str]) -> Spec {
    Spec { services: ids.iter().map(|id| service(id)).collect(), ..Spec::default() }
}

/// The same, with everything about them told to `receivers` at once.
pub fn told(ids: &[&str], receivers: &[&str]) -> Spec {
    Spec {
        receivers: receivers.iter().map(|name| (*name).into()).collect(),
        routes: vec![RouteSpec {
            matches: Vec::new(),
            receivers: receivers.iter().map(|name| (*name).into()).collect(),
            group_by: vec!["service".into()],
            group_wait: Duration::ZERO,
            group_interval: Duration::ZERO,
            repeat_interval: Duration::from_secs(3600),
        }],
        ..spec(ids)
    }
}

pub fn service(id: &str) -> ServiceSpec {
    ServiceSpec::new(
        ServiceId::new(id).unwrap(),
        Terms {
            unit: Some(format!("systemd {id}.service")),
            heartbeat: Some(HeartbeatSpec {
                interval: Duration::from_secs(60),
                timeout: Duration::from_secs(180),
                retries: 2,
                ..HeartbeatSpec::never()
            }),
            restart: Some(believe_at_once()),
            start_grace: Duration::from_secs(60),
            ..Terms::on("web-01".into())
        },
    )
}

/// Restarts so late that no test sees it, and believes a new process at once.
pub fn believe_at_once() -> RestartSpec {
    RestartSpec {
        budget: 1,
        window: Duration::from_secs(600),
        backoff_min: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        prove_for: Duration::ZERO,
    }
}

/// What the next reload finds.
pub type NextConfiguration = Arc<Mutex<Option<Result<Spec, Vec<String>>>>>;

/// A running server.
pub struct House {
    pub address: SocketAddr,
    pub state: AppState,
    pub agent: mpsc::Sender<Input>,
    pub work: mpsc::Receiver<Work>,
    pub next_configuration: NextConfiguration,
    pub pings: Pings,
    pub dir: TempDir,
    supervisor: Supervisor,
}

impl House {
    pub async fn new() -> Self {
        Self::build(Plan::default()).await
    }

    pub async fn build(plan: Plan) -> Self {
        let dir = plan.dir.unwrap_or_else(|| TempDir::new().unwrap());
        let (store, past) = open(&dir);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (agent, inputs) = mpsc::channel(64);
        let (work_sender, work) = mpsc::channel(64);
        let board = Board::default();
        let next_configuration = NextConfiguration::default();
        let pings = Pings::default();
        let clock = plan.clock.unwrap_or_else(clock);
        let server = Server::new(Parts {
            listener,
            tls: None,
            enrolment: Enrolment::new(ENROLLED, None, Box::new(|_| Ok(())), clock.clone(), WITHIN).unwrap(),
            host: "here".into(),
            new_host: Arc::new(|_| {}),
            clock,
            store,
            past,
            spec: Arc::new(Spec {
                unknown: plan.create_unknown.then(|| Unknown { terms: service("template").terms, most: 2 }),
                ..plan.spec
            }),
            recipients: plan.recipients,
            access: access(),
            peers: plan.peers,
            sockets: plan.sockets,
            inputs,
            work: work_sender,
            load: load(Arc::clone(&next_configuration)),
            board: board.clone(),
            limits: plan.limits,
            is_metrics_open: plan.is_metrics_open,
            trusted_proxies: Vec::new(),
            pings: pings.clone(),
            external_url: None,
        })
        .unwrap();
        let mut supervisor = Supervisor::new(board);
        for component in server.components {
            supervisor.start(component, WITHIN).await.unwrap();
        }
        Self { address, state: server.state, agent, work, next_configuration, pings, dir, supervisor }
    }

    /// Stops it in order and gives its data directory for another life.
    pub async fn stop(self) -> TempDir {
        self.supervisor.stop().await;
        let Self { state, dir, .. } = self;
        state.store.close().await;
        dir
    }

    pub async fn send(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.request(request, body).await
    }

    pub async fn request(&self, request: http::request::Builder, body: impl AsRef<[u8]>) -> Reply {
        Reply::of(self.open_stream(request, body).await).await
    }

    /// Sends a request and returns the answer with its body still to come.
    pub async fn open_stream(
        &self,
        request: http::request::Builder,
        body: impl AsRef<[u8]>,
    ) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = request
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::copy_from_slice(body.as_ref())))
            .unwrap();
        sender.send_request(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Some(ADMIN), "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(Method::POST, path, Some(ADMIN), body).await
    }

    /// The agent saw the unit of `service` in `state`.
    pub async fn see_unit(&self, service: &str, state: UnitState) {
        let report = UnitReport::new(state, "as tested");
        let service = ServiceId::new(service).unwrap();
        self.agent.send(Input::Unit { service, report }).await.unwrap();
    }

    pub async fn see_running(&self, service: &str, pid: u32) {
        self.see_unit(service, UnitState::Running(Some(Process { pid, started: u64::from(pid) }))).await;
    }

    pub async fn wait_for_state(&self, service: &str, state: &str) -> Value {
        let path = format!("/api/v1/services/{service}");
        wait_for(&format!("{service} to be {state}"), async || {
            let view = self.get(&path).await.json();
            (view["state"] == state).then_some(view)
        })
        .await
    }
}

/// Asks again and again until there is an answer.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < WITHIN, "waited in vain for {what}");
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub async fn of(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a well-formed problem of that status and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{self:?}");
        assert!(problem["instance"].as_str().unwrap().starts_with('/'), "{self:?}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }
}

fn clock() -> Clock {
    let begun = Instant::now();
    Clock::new(move || {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        Now {
            mono: Mono::from_nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap() + 1_000_000_000_000),
            wall: Wall::from_millis(i64::try_from(wall).unwrap()),
        }
    })
}

/// A clock that stands still until it is moved, in milliseconds.
#[derive(Clone)]
pub struct Hand(Arc<AtomicU64>);

impl Hand {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    pub fn clock(&self) -> Clock {
        let millis = Arc::clone(&self.0);
        Clock::new(move || {
            let millis = millis.load(Ordering::SeqCst);
            Now { mono: Mono::from_millis(millis), wall: Wall::from_millis(millis.cast_signed()) }
        })
    }

    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

pub fn access() -> AccessTable {
    let token = |name: &str, role: &str, secret: &str| Token {
        name: name.into(),
        role: role.into(),
        digest: Digest::of(secret),
    };
    let sender = Role { name: "sender".into(), privileges: vec![Privilege::Write] };
    let tokens =
        [token("anna", "admin", ADMIN), token("gustav", "guest", GUEST), token("sensor", "sender", SENDER)];
    AccessTable::new(&[sender], &tokens).unwrap()
}

fn load(next: NextConfiguration) -> Load {
    Arc::new(move || {
        let next = next.lock().unwrap().take().unwrap_or_else(|| Err(vec!["nothing prepared".to_owned()]));
        Box::pin(async move {
            Ok(Fresh {
                spec: Arc::new(next?),
                recipients: Vec::new(),
                access: access(),
                peers: PeerTable::default(),
                beats_per_second: None,
                warnings: vec!["a secret stands in the file".to_owned()],
                then: Box::new(|| {}),
            })
        })
    })
}

/// A receiver under the test's control.
#[derive(Debug, Default)]
pub struct Hook {
    /// Answers to give, first to last; then everything is delivered.
    pub answers: Mutex<Vec<Delivery>>,
    /// What it was sent: id and attempt.
    pub got: Mutex<Vec<(String, u32)>>,
}

impl Hook {
    pub fn recipient(self: &Arc<Self>, name: &str) -> Recipient {
        Recipient { name: name.into(), lang: Lang::En, how: Arc::clone(self) as Arc<dyn Deliver> }
    }

    pub fn got(&self) -> Vec<(String, u32)> {
        self.got.lock().unwrap().clone()
    }
}

impl Deliver for Hook {
    fn deliver<'a>(
        &'a self,
        notification: &'a lifesign_core::effect::Notification,
        context: &'a Context<'a>,
    ) -> Attempting<'a> {
        Box::pin(async move {
            self.got.lock().unwrap().push((notification.id.to_string(), context.attempt));
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() {
                Delivery::Delivered { answer: "200 OK".to_owned() }
            } else {
                answers.remove(0)
            }
        })
    }
}

fn open(dir: &TempDir) -> (Store, lifesign_core::engine::Past) {
    Store::open(dir.path(), lifesign_store::Options::default()).unwrap()
}
