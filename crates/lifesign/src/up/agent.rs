//! `lifesign agent`: the agent alone. What it watches comes from its server, over the link; the last it heard is kept,
//! so that it watches the same after a start without a server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use lifesign_agent::enrol::{Enrolled, Identity};
use lifesign_agent::road::{Proxies, Proxy, Road};
use lifesign_agent::{Agent, Assignments, Command, LinkSetup, ServerAddress, Setup, Told, link};
use lifesign_component::{Board, Component, Supervisor};
use lifesign_config::Url;
use lifesign_config::placeholder::Outside;
use lifesign_config::problem::Level;
use lifesign_core::effect::{Action, Verb};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::ServiceId;
use lifesign_core::spec::Spec;
use lifesign_lang::Lang;
use lifesign_os::service::host::{Host, Request};
use lifesign_proto::link::Order;
use lifesign_server::ping::Pings;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::kinds::{Checked, Configuration};
use super::teller::Teller;
use super::translate::{self, Surroundings};
use super::{OBSERVATIONS, ORDERS, host_name, kinds, local, start, tls};
use crate::cli::Up;
use crate::command::{load_configuration, problem_lines};
use crate::failure::Failure;
use crate::service_main::take_care_of_agent;
use crate::{data, event_id, logging, print};

/// So long after the start everything has been looked at once, and the slow poll has come once.
const SETTLED: Duration = Duration::from_secs(40);

/// Orders that waited for the link come this soon after it.
const FIRST_WORDS: Duration = Duration::from_secs(5);

/// What the server last said is to be watched. It holds secrets of checks.
const ASSIGNED: &str = "assigned.json";

/// Runs until told to stop.
pub(crate) fn run(up: &Up, lang: Lang) -> Result<(), Failure> {
    lifesign_os::memory::stay_small();
    logging::open_system_log("lifesign-agent");
    run_under(Host::from_environment(), up, lang)
}

/// Runs until told to stop, by a service manager or by a person.
pub(crate) fn run_under(host: Host, up: &Up, lang: Lang) -> Result<(), Failure> {
    let mut at_work = false;
    let result = work(host, up, lang, &mut at_work);
    if let Err(failure) = &result
        && !at_work
    {
        logging::fail(event_id::START_FAILED, &failure.to_string());
    }
    result
}

/// What an agent alone needs, and what it cannot do. `data_dir`: where it keeps its certificate, if it was enrolled.
pub(crate) fn check(config: &Configuration, data_dir: &Path) -> Result<Option<Identity>, Failure> {
    let wrong = |what: &str| Err(Failure::Configuration(format!("error: {what}")));
    let identity =
        Identity::load(data_dir).map_err(|error| Failure::Configuration(format!("error: {error}")))?;
    match &identity {
        Some(identity) => {
            let host = host_name(config);
            if *identity.host != *host {
                return wrong(&format!(
                    "this host was enrolled as {0} and is called {host} now; set `agent.host` to {0}, or enrol it anew \
                     with another --data-dir",
                    identity.host
                ));
            }
            if config.agent.server.iter().chain(&config.agent.fallbacks).any(|server| !server.tls) {
                return wrong(
                    "an enrolled agent speaks TLS; write `agent.server` and `agent.fallbacks` with https://",
                );
            }
        }
        None if config.agent.server.is_none() => {
            return wrong(
                "an agent needs a server: enrol it (lifesign agent enroll --server https://HOST:7701 --token ONE-TIME), \
                 or write `agent: { server: \"https://…\", token: … }`",
            );
        }
        None if config.agent.token.is_none() => {
            return wrong(
                "an agent needs a certificate or a token of its server: lifesign agent enroll --server https://HOST:7701 \
                 --token ONE-TIME, or `agent: { token: \"${file:…}\" }`",
            );
        }
        None => {}
    }
    if !config.services.is_empty() {
        return wrong(
            "an agent's own `services` are not available yet; write them into the server's file, with `hosts`",
        );
    }
    Ok(identity)
}

/// [`run_under`]; `at_work` is set as soon as the start has succeeded.
fn work(host: Host, up: &Up, lang: Lang, at_work: &mut bool) -> Result<(), Failure> {
    let file = &up.file;
    let mut loaded = load_configuration(&file.config, file.env.as_deref())?;
    if let Some(data_dir) = &up.data_dir {
        loaded.config.server.data_dir.clone_from(data_dir);
    }
    let identity = check(&loaded.config, &loaded.config.server.data_dir)?;
    logging::start(&loaded.config.log);
    let warnings = loaded.warnings.to_string();
    if !warnings.trim().is_empty() {
        print::hint(warnings.trim_end());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(serve(loaded, identity, file.config.clone(), host, lang, at_work)).map_err(Failure::from)
}

async fn serve(
    loaded: Checked,
    identity: Option<Identity>,
    file: PathBuf,
    service: Host,
    lang: Lang,
    at_work: &mut bool,
) -> anyhow::Result<()> {
    let mut requests = service.requests().context("failed to listen for signals")?;
    let reporter = service.reporter;
    reporter.starting("Starting the agent");
    let config = loaded.config;
    let data_dir = config.server.data_dir.clone();
    std::fs::create_dir_all(&data_dir).with_context(|| format!("failed to make {}", data_dir.display()))?;
    let _lock = lifesign_os::file::lock(&data_dir)?;
    let around = Arc::new(Surroundings {
        host: host_name(&config),
        executable: std::env::current_exe().context("failed to find lifesign's own path")?,
        listening: None,
        admin_token: String::new(),
        supervised_token: data::supervised_token(&data_dir)?.token,
        pings: Pings::default(),
        data_dir,
    });
    let (inputs, observations) = mpsc::channel(OBSERVATIONS);
    let (commands, orders) = mpsc::channel(ORDERS);
    let echo = commands.clone();
    let (told, words) = mpsc::channel(ORDERS);
    let servers = servers(&config, identity.as_ref())?;
    let road = road(&config);
    let enrolled = identity
        .map(|identity| Enrolled::new(identity, &around.data_dir).map_err(|why| anyhow!(why)))
        .transpose()?;
    let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let (spec, judged_by) = watch::channel(Arc::new(Spec::default()));
    let (teller, telling) =
        Teller::new(translate::recipients(&config), names.first().map_or("", String::as_str));
    let mut setup = Setup::new(Arc::clone(&around.host), &around.data_dir, inputs.clone(), orders);
    setup.local = Some(local::setup(&config, &around));
    let post = Post {
        folder: std::path::absolute(&file)?.parent().map(Path::to_owned).unwrap_or_default(),
        around: Arc::clone(&around),
        commands,
        watched: BTreeSet::new(),
        own: config.clone(),
        spec,
        answers: inputs,
        teller,
        restarted: BTreeSet::new(),
        heard_at: None,
    };
    let (link, _figures) = link(LinkSetup {
        servers: servers.clone(),
        host: Arc::clone(&around.host),
        token: enrolled
            .is_none()
            .then(|| config.agent.token.as_ref().map_or("", |token| token.expose()).into()),
        road: road.clone(),
        tls: match &enrolled {
            Some(enrolled) => enrolled.tls(),
            None => tls::agent(config.agent.ca.as_deref())?,
        },
        spool: around.data_dir.join("spool"),
        spool_limit: config.agent.spool.get(),
        clock: lifesign_os::clock::now,
        inputs: observations,
        spec: judged_by,
        told,
    });
    let mut supervisor = Supervisor::new(Board::default());
    let renewal = enrolled.map(|enrolled| enrolled.renewal(road, servers, lifesign_os::clock::now));
    let components = [Agent::new(setup).component(), telling, post.component(words), link];
    if let Err(error) = start(&mut supervisor, components.into_iter().chain(renewal)).await {
        supervisor.stop().await;
        return Err(error);
    }
    let ready = format!("Watching {} for {}", around.host, names.join(", "));
    reporter.ready(&ready);
    if !reporter.is_heard() && !logging::is_in_system_log() {
        let args = [("host", around.host.to_string().into()), ("server", names.join(", ").into())];
        print::line(lang.text("cli-agent-runs", &args));
        print::line(lang.word("cli-stop-hint"));
    }
    tracing::info!(event_id = event_id::READY, host = %around.host, servers = names.join(", "), "The agent is ready");
    let care = tokio::spawn(take_care_of_agent(reporter.clone(), echo));
    *at_work = true;
    let settled = tokio::time::sleep(SETTLED);
    tokio::pin!(settled);
    let ended = loop {
        let request = tokio::select! {
            request = requests.next() => request,
            fatal = supervisor.fatal() => break Err(anyhow!(fatal)),
            () = &mut settled, if !settled.is_elapsed() => {
                lifesign_os::memory::give_back();
                continue;
            }
        };
        match request {
            Request::Stop => break Ok(()),
            // What is watched comes from the server, at once when it changes there.
            Request::Reload => {
                reporter.reloading();
                reporter.ready(&ready);
            }
            // Judging, and so holding alerts, is the server's.
            Request::Pause => reporter.paused("The server judges; the agent goes on"),
            Request::Continue => reporter.ready(&ready),
            Request::Sleep => tracing::info!(event_id = event_id::SLEEP, "The machine goes to sleep"),
            Request::Wake => tracing::info!(event_id = event_id::WAKE, "The machine has woken"),
        }
    };
    care.abort();
    reporter.stopping("Stopping");
    match &ended {
        Ok(()) => tracing::info!(event_id = event_id::STOPPING, "The agent is stopping"),
        Err(error) => tracing::error!(event_id = event_id::FAILED, %error, "The agent is stopping"),
    }
    supervisor.stop().await;
    ended
}

/// The servers of the configuration, or the one that the host was enrolled at.
fn servers(config: &Configuration, identity: Option<&Identity>) -> anyhow::Result<Vec<ServerAddress>> {
    let mut servers: Vec<ServerAddress> =
        config.agent.server.iter().chain(&config.agent.fallbacks).map(address).collect();
    if let (None, Some(identity)) = (&config.agent.server, identity) {
        let url = Url::parse(&identity.server).map_err(|why| {
            anyhow!("the server {:?} that this host was enrolled at: {why}", identity.server)
        })?;
        servers.insert(0, address(&url));
    }
    Ok(servers)
}

/// How servers are reached.
pub(crate) fn road(config: &Configuration) -> Road {
    let proxies = match &config.agent.proxy {
        None => Proxies::of_environment(),
        Some(proxy) => {
            let login = proxy.user.as_deref().zip(proxy.password.as_ref().map(|password| password.expose()));
            Proxies::one(Proxy::new(&proxy.url.host.to_string(), proxy.url.port, login))
        }
    };
    Road::new(proxies)
}

pub(crate) fn address(url: &Url) -> ServerAddress {
    ServerAddress { tls: url.tls, host: url.host.to_string(), port: url.port }
}

/// Turns the server's words into the agent's.
struct Post {
    /// Where relative paths in the server's words start: the folder of the agent's own file.
    folder: PathBuf,
    around: Arc<Surroundings>,
    commands: mpsc::Sender<Command>,
    watched: BTreeSet<ServiceId>,
    /// The agent's own configuration.
    own: Configuration,
    /// What the agent judges by while no server hears it.
    spec: watch::Sender<Arc<Spec>>,
    /// Takes answers that need no agent.
    answers: mpsc::Sender<Input>,
    teller: Teller,
    /// What the agent restarted by itself since the link was lost.
    restarted: BTreeSet<ServiceId>,
    /// Since when a server hears it.
    heard_at: Option<Instant>,
}

impl Post {
    fn component(mut self, mut words: mpsc::Receiver<Told>) -> Component {
        Component::essential("orders", move |mut ready, mut stop| async move {
            self.remember().await;
            ready.tell();
            loop {
                let told = tokio::select! {
                    () = stop.given() => return Ok(()),
                    told = words.recv() => told,
                };
                let Some(told) = told else {
                    stop.given().await;
                    return Ok(());
                };
                if let Told::Order(id, Order::Restart { service, .. }) = &told
                    && self.is_done_already(service)
                {
                    tracing::info!(%service, "The server's restart comes too late: it was restarted here meanwhile");
                    let report = ActionReport {
                        id: Arc::clone(id),
                        service: service.clone(),
                        result: Err("its agent restarted it meanwhile, alone".to_owned()),
                        refused: true,
                    };
                    // The link is gone only while everything stops.
                    let _ = self.answers.send(Input::ActionDone(report)).await;
                    continue;
                }
                for command in self.commands_of(told) {
                    // The agent is gone only while everything stops.
                    if self.commands.send(command).await.is_err() {
                        stop.given().await;
                        return Ok(());
                    }
                }
            }
        })
    }

    /// Watches what the server said in an earlier life of this agent.
    async fn remember(&mut self) {
        let file = self.around.data_dir.join(ASSIGNED);
        let Ok(text) = std::fs::read_to_string(&file) else { return };
        match self.assignments(&text) {
            Ok(assignments) => drop(self.commands.send(Command::Assign(assignments)).await),
            Err(why) => {
                tracing::warn!(why, file = %file.display(), "What the server said last cannot be read")
            }
        }
    }

    fn commands_of(&mut self, told: Told) -> Vec<Command> {
        match told {
            // What happened meanwhile went to the disk; how it stands now is told anew.
            Told::Up => {
                self.heard_at = Some(Instant::now());
                self.watched.iter().cloned().map(Command::LookNow).collect()
            }
            Told::Down => {
                if self.heard_at.take().is_some() {
                    self.restarted.clear();
                }
                Vec::new()
            }
            Told::Look(service) => vec![Command::LookNow(service)],
            Told::Act(action) => {
                self.restarted.insert(action.service.clone());
                vec![Command::Act(action)]
            }
            Told::Tell(notification) => {
                self.teller.tell(notification);
                Vec::new()
            }
            // The link has heard that itself.
            Told::Order(_, Order::Pause { .. }) => Vec::new(),
            Told::Order(_, Order::Look { service }) => vec![Command::LookNow(service)],
            Told::Order(id, Order::Restart { service, by }) => {
                tracing::info!(%service, by, "The server orders a restart");
                vec![Command::Act(Action { id, service, verb: Verb::Restart, by: by.into() })]
            }
            Told::Order(_, Order::Watch { revision, text }) => match self.assignments(&text) {
                Ok(assignments) => {
                    tracing::info!(
                        revision,
                        services = assignments.services.len(),
                        "The server says what to watch"
                    );
                    let file = self.around.data_dir.join(ASSIGNED);
                    if let Err(error) = lifesign_os::file::write_private(&file, text.as_bytes()) {
                        tracing::warn!(%error, "What to watch cannot be kept for the next start");
                    }
                    vec![Command::Assign(assignments)]
                }
                Err(why) => {
                    tracing::error!(
                        why,
                        "What the server wants watched cannot be understood; is this agent older than its server?"
                    );
                    Vec::new()
                }
            },
        }
    }

    /// Whether a restart was ordered of which the server does not know that the agent has made it: the order waited
    /// for the link, and is among the first words of a new one.
    fn is_done_already(&self, service: &ServiceId) -> bool {
        self.restarted.contains(service) && self.heard_at.is_some_and(|at| at.elapsed() < FIRST_WORDS)
    }

    fn assignments(&mut self, text: &str) -> Result<Assignments, String> {
        let outside = Outside { variable: &|_| None };
        let loaded = lifesign_config::load::load_text(
            "the server's words.json",
            &self.folder,
            text.as_bytes(),
            &kinds::all(),
            &outside,
        )
        .map_err(|report| problem_lines(&report, Level::Error).join("; "))?;
        let mut config = loaded.config;
        config.agent.clone_from(&self.own.agent);
        config.receivers.clone_from(&self.own.receivers);
        config.routes.clone_from(&self.own.routes);
        self.spec.send_replace(Arc::new(lifesign_config::spec::spec(&config, &self.around.host, &[])));
        let assignments = translate::assignments(&config, &self.around, &[]);
        self.watched = assignments.services.iter().map(|service| service.id.clone()).collect();
        Ok(assignments)
    }
}
