//! `lifesign up`: server and agent in one process.
//!
//! Order of start: configuration, store, restored state, engine, outbox, API, agent; then it says that it
//! is ready. Stop in reverse. Server and agent know nothing of each other: what one has for the other goes
//! through two channels made here.

pub(crate) mod agent;
mod banner;
mod discovered;
mod enrol;
mod hosts;
pub(crate) mod kinds;
pub(crate) mod local;
mod peers;
mod restart_only;
mod teller;
mod tls;
mod translate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use lifesign_agent::{Agent, Command, Setup};
use lifesign_component::{Board, Component, Supervisor};
use lifesign_config::problem::Level;
use lifesign_config::spec::spec;
use lifesign_core::input::Input;
use lifesign_core::model::HostName;
use lifesign_lang::Lang;
use lifesign_os::service::host::{Host, Reporter, Request};
use lifesign_server::engine::Clock;
use lifesign_server::ping::Pings;
use lifesign_server::reload::{Fresh, Load};
use lifesign_server::{Parts, Server};
use lifesign_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use self::discovered::Found;
use self::hosts::Hosts;
use self::kinds::{Checked, Configuration};
use self::translate::Surroundings;
use crate::cli::Up;
use crate::cli::service::Role;
use crate::command::{load_configuration, problem_lines};
use crate::data;
use crate::failure::Failure;
use crate::service_main::{Hold, take_care};
use crate::{event_id, logging, print};

/// Observations on their way from the agent to the engine. When it is full, observers wait.
const OBSERVATIONS: usize = 4096;
/// Orders on their way from the server to the agent. When it is full, the engine's effects wait.
const ORDERS: usize = 1024;
/// How long one part may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Runs until told to stop.
pub(crate) fn run(up: &Up, role: Role, lang: Lang) -> Result<(), Failure> {
    logging::open_system_log("lifesign");
    run_under(Host::from_environment(), up, role, lang)
}

/// Runs until told to stop, by a service manager or by a person.
pub(crate) fn run_under(host: Host, up: &Up, role: Role, lang: Lang) -> Result<(), Failure> {
    let mut at_work = false;
    let result = work(host, up, role, lang, &mut at_work);
    if let Err(failure) = &result
        && !at_work
    {
        logging::fail(event_id::START_FAILED, &failure.to_string());
    }
    result
}

/// [`run_under`]; `at_work` is set as soon as the start has succeeded.
fn work(host: Host, up: &Up, role: Role, lang: Lang, at_work: &mut bool) -> Result<(), Failure> {
    let file = &up.file;
    let mut loaded = load_configuration(&file.config, file.env.as_deref())?;
    if let Some(data_dir) = &up.data_dir {
        loaded.config.server.data_dir.clone_from(data_dir);
    }
    refuse_remote_agent(&loaded.config)?;
    logging::start(&loaded.config.log);
    let warnings = loaded.warnings.to_string();
    if !warnings.trim().is_empty() {
        print::hint(warnings.trim_end());
    }
    let open_files = lifesign_os::open_files::raise_limit();
    tracing::debug!(?open_files, "Limit of open files");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let source =
        Source { path: file.config.clone(), env: file.env.clone(), data_dir: up.data_dir.clone(), role };
    runtime.block_on(serve(loaded, source, host, lang, at_work)).map_err(Failure::from)
}

/// Where the configuration came from, for reading it again.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    env: Option<String>,
    data_dir: Option<PathBuf>,
    role: Role,
}

/// Under `up` the agent is in the same process and needs neither address nor token.
pub(crate) fn refuse_remote_agent(config: &Configuration) -> Result<(), Failure> {
    if config.agent.server.is_some() || config.agent.token.is_some() {
        return Err(Failure::Configuration(
            "error: `agent.server` and `agent.token` are for `lifesign agent`; under `up` take them out"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn serve(
    mut loaded: Checked,
    source: Source,
    service: Host,
    lang: Lang,
    at_work: &mut bool,
) -> anyhow::Result<()> {
    // Requests first: one that comes during the start is not lost.
    let mut requests = service.requests().context("failed to listen for signals")?;
    let reporter = service.reporter;
    reporter.starting("Opening the store");
    let (discover, found) = watch::channel(discovered::add(&mut loaded.config).await);
    let config = &loaded.config;
    let data_dir = config.server.data_dir.clone();
    let (store, past) = Store::open(&data_dir, translate::store_options(config))?;
    let listener = bind(config.server.listen, "server.listen").await?;
    let listening = listener.local_addr().context("the listening socket has no address")?;
    let clock = Clock::new(lifesign_os::clock::now);
    let port = enrol::port(config.server.tls.as_ref(), source.role == Role::Server);
    let enrolment = enrol::open(&data_dir, port.as_deref(), clock.clone())?;
    let tls = match &port {
        Some(tls) => Some((
            bind(tls.listen, "server.tls.listen").await?,
            enrol::ways(enrolment.clone(), tls, &host_name(config))?,
        )),
        None => None,
    };
    let hosts = Hosts::open(&data_dir, host_name(config))?;
    let admin = data::admin_token(&data_dir)?;
    let around = Arc::new(Surroundings {
        host: host_name(config),
        executable: std::env::current_exe().context("failed to find lifesign's own path")?,
        listening: Some(listening),
        admin_token: admin.token.clone(),
        supervised_token: data::supervised_token(&data_dir)?.token,
        pings: Pings::default(),
        data_dir,
    });

    let (inputs, observations) = mpsc::channel(OBSERVATIONS);
    let (commands, orders) = mpsc::channel(ORDERS);
    let (work, work_given) = mpsc::channel(ORDERS);
    let board = Board::default();
    let spec = Arc::new(spec(config, &around.host, &hosts.known()));
    hosts.place(&spec);
    let Server { components, state } = Server::new(Parts {
        listener,
        tls,
        enrolment,
        host: Arc::clone(&around.host),
        new_host: hosts.take_in(),
        clock,
        store: store.clone(),
        past,
        spec: Arc::clone(&spec),
        recipients: translate::recipients(config),
        access: translate::access(config, &around)?,
        peers: peers::table(config),
        sockets: peers::open(config).await?,
        inputs: observations,
        work,
        load: load_again(
            source,
            Arc::new(loaded.config.clone()),
            Arc::clone(&around),
            commands.clone(),
            discover,
            hosts.clone(),
        ),
        board: board.clone(),
        limits: translate::limits(config),
        is_metrics_open: config.server.open_metrics,
        trusted_proxies: translate::trusted_proxies(config),
        external_url: around.local_url().map(Into::into),
        pings: around.pings.clone(),
    })?;
    hosts.begin(state.desk.clone(), state.reloader.clone());
    hosts.assign(&loaded);
    // This host has its agent in this very process: what falls silent here is never the host's silence.
    inputs.send(Input::Link { host: Arc::clone(&around.host), connected: true }).await?;
    let mut setup = Setup::new(Arc::clone(&around.host), &around.data_dir, inputs.clone(), orders);
    setup.assignments = translate::assignments(config, &around, &hosts.known());
    around.pings.replace(local::checks(config, &around, &hosts.known()));
    setup.local = Some(local::setup(config, &around));
    let agent = Agent::new(setup).component();

    let mut supervisor = Supervisor::new(board);
    reporter.starting("Starting engine, API and agent");
    let started = start(
        &mut supervisor,
        components.into_iter().chain([hosts.link(work_given, commands, inputs.clone()), agent]),
    )
    .await;
    if let Err(error) = started {
        supervisor.stop().await;
        return Err(error);
    }
    let hold = Hold::new(&state, &around.data_dir);
    // One that died while it was paused is running again, as its manager sees it.
    hold.resume().await?;
    data::remember_server(&listening.to_string(), &around.data_dir);
    // A service has no reader, and its output is kept: the token must not come to stand there.
    if !reporter.is_heard() && !logging::is_in_system_log() {
        banner::show(lang, &spec, &around, &admin);
    }
    let ready = format!("Watching {} services", spec.services.len());
    reporter.ready(&ready);
    let care = tokio::spawn(take_care(reporter.clone(), state.clone()));
    tracing::info!(
        event_id = event_id::READY, %listening, services = spec.services.len(), host = %around.host,
        "Lifesign is ready"
    );
    *at_work = true;

    // A service that appears later is watched, too.
    let _following = discovered::follow(found, state.reloader.clone());
    let ended = loop {
        let request = tokio::select! {
            request = requests.next() => request,
            fatal = supervisor.fatal() => break Err(anyhow!(fatal)),
        };
        match request {
            Request::Stop => break Ok(()),
            Request::Reload => {
                reporter.reloading();
                // The result is logged and audited by the reloader.
                drop(state.reloader.reload("SIGHUP".into()).await);
                if hold.is_paused() {
                    pause(&hold, &reporter).await;
                } else {
                    reporter.ready(&ready);
                }
            }
            Request::Pause => {
                reporter.pausing();
                pause(&hold, &reporter).await;
            }
            Request::Continue => {
                reporter.continuing();
                match hold.resume().await {
                    Ok(services) => {
                        tracing::info!(event_id = event_id::CONTINUED, services, "Alerts and restarts go on");
                        reporter.ready(&ready);
                    }
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "Could not end the pause");
                        reporter.paused("Paused: it could not be ended");
                    }
                }
            }
            // The engine's clock sees the gap by itself and moves every deadline.
            Request::Sleep => tracing::info!(event_id = event_id::SLEEP, "The machine goes to sleep"),
            Request::Wake => tracing::info!(event_id = event_id::WAKE, "The machine has woken"),
        }
    };
    care.abort();
    reporter.stopping("Stopping");
    if ended.is_ok() {
        print::line(lang.word("cli-stopping"));
    }
    match &ended {
        Ok(()) => tracing::info!(event_id = event_id::STOPPING, "Lifesign is stopping"),
        Err(error) => tracing::error!(event_id = event_id::FAILED, %error, "Lifesign is stopping"),
    }
    supervisor.stop().await;
    reporter.stopping("Closing the store");
    store.close().await;
    ended
}

/// Holds alerts and restarts of all services, and says so.
async fn pause(hold: &Hold, reporter: &Reporter) {
    match hold.pause().await {
        Ok(services) => {
            tracing::warn!(event_id = event_id::PAUSED, services, "Paused: alerts and restarts are held");
            reporter.paused("Paused: alerts and restarts are held");
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "Could not pause");
            reporter.ready("Running: it could not be paused");
        }
    }
}

async fn start(
    supervisor: &mut Supervisor,
    components: impl Iterator<Item = Component>,
) -> anyhow::Result<()> {
    for component in components {
        supervisor.start(component, READY_WITHIN).await?;
    }
    Ok(())
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("failed to listen on {address}; is another lifesign running? Choose another `{key}`")
    })
}

pub(crate) fn host_name(config: &Configuration) -> HostName {
    config.agent.host.clone().unwrap_or_else(lifesign_os::host::name).into()
}

/// Reads the configuration again, for a reload. `started`: with what this process was started.
fn load_again(
    source: Source,
    started: Arc<Configuration>,
    around: Arc<Surroundings>,
    commands: mpsc::Sender<Command>,
    discover: watch::Sender<Found>,
    hosts: Hosts,
) -> Load {
    Arc::new(move || {
        let (source, started, around, commands) =
            (source.clone(), Arc::clone(&started), Arc::clone(&around), commands.clone());
        let (discover, hosts) = (discover.clone(), hosts.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut loaded =
                    lifesign_config::load::load(&source.path, source.env.as_deref(), &kinds::all())
                        .map_err(|report| problem_lines(&report, Level::Error))?;
                if let Some(data_dir) = source.data_dir {
                    loaded.config.server.data_dir = data_dir;
                }
                refuse_remote_agent(&loaded.config).map_err(|failure| vec![failure.to_string()])?;
                Ok::<_, Vec<String>>(loaded)
            });
            let mut loaded = read.await.map_err(|error| vec![error.to_string()])??;
            let found = discovered::add(&mut loaded.config).await;
            let then = move || drop(discover.send_replace(found));
            fresh(loaded, &started, &around, commands, &hosts, then)
                .map_err(|error| vec![format!("{error:#}")])
        })
    })
}

fn fresh(
    mut loaded: Checked,
    started: &Configuration,
    around: &Arc<Surroundings>,
    commands: mpsc::Sender<Command>,
    hosts: &Hosts,
    then: impl FnOnce() + Send + 'static,
) -> anyhow::Result<Fresh> {
    let mut warnings = problem_lines(&loaded.warnings, Level::Warning);
    let late = restart_only::changed(started, &loaded.config);
    if !late.is_empty() {
        let keys = late.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        warnings.push(format!("changed, but taken over only by a new start of lifesign: {keys}"));
    }
    // What supervised programs are told must be what is open.
    loaded.config.agent.local.clone_from(&started.agent.local);
    let config = &loaded.config;
    let others = hosts.known();
    let assignments = translate::assignments(config, around, &others);
    let spec = Arc::new(spec(config, &around.host, &others));
    let (placed, hosts) = (Arc::clone(&spec), hosts.clone());
    let (pings, checks) = (around.pings.clone(), local::checks(config, around, &others));
    Ok(Fresh {
        spec,
        recipients: translate::recipients(config),
        access: translate::access(config, around)?,
        peers: peers::table(config),
        beats_per_second: translate::beats_per_second(config),
        warnings,
        then: Box::new(move || {
            then();
            hosts.place(&placed);
            hosts.assign(&loaded);
            pings.replace(checks);
            // The agent takes its orders one by one; a full queue must not hold up the reload's answer.
            tokio::spawn(async move { commands.send(Command::Assign(assignments)).await });
        }),
    })
}
