//! `cargo xtask bench local`: for each local way, what a beat costs its program, how many a second get through, and
//! how long one takes to the engine's verdict.
//!
//! The row of HTTP comes from another bench, in the argument `--row=…`: the agent has no part in it. The sender is a
//! thread of its own; between it and the engine lie the same kernel objects, the same agent and the same channel as
//! between two processes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lifesign_agent::{Access, Agent, Assignment, Assignments, Command, LocalSetup, Place, SecretOf, Setup};
use lifesign_client::{Pulse, Way};
use lifesign_component::{Board, Supervisor};
use lifesign_core::engine::Engine;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::spec::{HeartbeatSpec, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};
use tokio::sync::mpsc;

/// Beats whose delay is measured, and the time between them.
const PACED: u64 = 1000;
const PACE: Duration = Duration::from_millis(2);
/// The same for ways of which the newest beat alone is heard: longer than a look takes.
const SLOW_PACE: Duration = Duration::from_millis(30);
/// Beats sent as fast as it goes.
const BURST: u64 = 100_000;

type Send = Box<dyn FnMut(u64) + std::marker::Send>;

struct House {
    inputs: mpsc::Receiver<Input>,
    engine: Engine,
    begun: Instant,
    place: Place,
    udp: std::net::SocketAddr,
    supervisor: Supervisor,
    _commands: mpsc::Sender<Command>,
    _dir: tempfile::TempDir,
}

/// The service that has a notify socket, since it is a process of the agent's own; its beats come from here.
#[cfg(unix)]
fn notified() -> ServiceId {
    ServiceId::new("notified").unwrap()
}

fn orders() -> ServiceId {
    ServiceId::new("orders").unwrap()
}

impl House {
    async fn build(memory_every: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, inputs) = mpsc::channel(4096);
        let (commands, receiver) = mpsc::channel(1);
        let mut setup = Setup::new("here".into(), dir.path(), sender, receiver);
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let name = format!("lifesign-bench-{}", udp.port());
        let place = Place { dir: dir.path().join("l"), name, access: Access::Owner };
        setup.local = Some(LocalSetup {
            place: place.clone(),
            sockets: true,
            pipe: true,
            memory: Some(memory_every),
            registry: cfg!(windows).then(|| format!(r"HKCU\SOFTWARE\{}", place.name)),
            notes: true,
            touched: BTreeMap::new(),
            files_every: Duration::from_millis(500),
            udp: Some(udp),
            strangers: true,
            rate: 1_000_000,
            limits: lifesign_proto::Limits::default(),
            secret: SecretOf(Arc::new(|_| "secret".to_owned())),
        });
        #[cfg_attr(windows, expect(unused_mut, reason = "Windows has no notify sockets"))]
        let mut services = vec![Assignment { id: orders(), unit: None, watchdog: None, checks: Vec::new() }];
        #[cfg(unix)]
        services.push(Assignment {
            id: notified(),
            unit: Some(lifesign_agent::UnitKind::Process(lifesign_agent::ProcessSpec {
                argv: vec!["sleep".to_owned(), "100000".to_owned()],
                cwd: None,
                env: Vec::new(),
                stop_timeout: Duration::from_secs(5),
                log: dir.path().join("notified.log"),
                log_limit: 65536,
            })),
            watchdog: None,
            checks: Vec::new(),
        });
        let ids: Vec<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        setup.assignments = Assignments { services };
        let mut supervisor = Supervisor::new(Board::default());
        supervisor.start(Agent::new(setup).component(), Duration::from_secs(30)).await.unwrap();
        let begun = Instant::now();
        let mut engine = Engine::new();
        let service = |id| {
            ServiceSpec::new(
                id,
                Terms { heartbeat: Some(HeartbeatSpec::never()), ..Terms::on("here".into()) },
            )
        };
        let spec = Spec { services: ids.into_iter().map(service).collect(), ..Spec::default() };
        engine.step(now(begun), Input::Configure(Arc::new(spec)), &mut Vec::new());
        Self { inputs, engine, begun, place, udp, supervisor, _commands: commands, _dir: dir }
    }

    /// Waits for the next beat and lets the engine judge it; gives its progress and the moment after.
    async fn judged(&mut self) -> (u64, Instant) {
        loop {
            let input = self.inputs.recv().await.unwrap();
            let progress = match &input {
                Input::Beat(beat) => beat.progress,
                _ => None,
            };
            self.engine.step(now(self.begun), input, &mut Vec::new());
            if let Some(progress) = progress {
                return (progress, Instant::now());
            }
        }
    }
}

fn now(begun: Instant) -> Now {
    let passed = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    Now { mono: Mono::from_nanos(passed), wall: Wall::from_millis(0) }
}

/// A sender by the client library.
fn by_pulse(way: Way) -> Send {
    // The agent opens its pages by and by.
    let begun = Instant::now();
    let pulse = loop {
        match Pulse::by(&[way], "orders") {
            Ok(pulse) => break pulse,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Box::new(move |n| {
        pulse.progress(n);
        pulse.beat();
    })
}

#[cfg(unix)]
fn datagram(house: &House) -> Send {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.connect(house.place.dir.join("datagram")).unwrap();
    Box::new(move |n| drop(socket.send(format!("orders alive progress={n}").as_bytes())))
}

#[cfg(unix)]
fn stream(house: &House) -> Send {
    use std::io::Write;
    let mut socket = std::os::unix::net::UnixStream::connect(house.place.dir.join("stream")).unwrap();
    Box::new(move |n| drop(socket.write_all(format!("orders alive progress={n}\n").as_bytes())))
}

#[cfg(unix)]
fn notify(house: &House) -> Send {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.connect(house.place.dir.join("notify").join("notified")).unwrap();
    Box::new(move |n| drop(socket.send(format!("WATCHDOG=1\nX_LIFESIGN_PROGRESS={n}").as_bytes())))
}

/// Writes a number, as a program in any language would.
#[cfg(windows)]
#[expect(unsafe_code, reason = "the registry is a thing of Win32")]
fn registry(house: &House) -> Send {
    use windows_sys::Win32::System::Registry::{HKEY_CURRENT_USER, REG_QWORD, RegSetKeyValueW};
    let wide = |text: &str| text.encode_utf16().chain([0]).collect::<Vec<u16>>();
    let (key, value) = (wide(&format!(r"SOFTWARE\{}", house.place.name)), wide("orders"));
    Box::new(move |n| {
        // SAFETY: both names are NUL-terminated, and the number is as long as said.
        let error = unsafe {
            RegSetKeyValueW(
                HKEY_CURRENT_USER,
                key.as_ptr(),
                value.as_ptr(),
                REG_QWORD,
                (&raw const n).cast(),
                8,
            )
        };
        assert_eq!(error, 0);
    })
}

fn udp(house: &House) -> Send {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = house.udp;
    Box::new(move |n| drop(socket.send_to(format!("secret alive progress={n}").as_bytes(), to)))
}

fn file(house: &House) -> Send {
    let notes = house.place.dir.join("notes");
    Box::new(move |n| {
        std::fs::write(notes.join(".new"), format!("alive progress={n}")).unwrap();
        // Windows refuses it while the file is being read.
        while std::fs::rename(notes.join(".new"), notes.join("orders")).is_err() {
            std::thread::yield_now();
        }
    })
}

struct Row {
    way: &'static str,
    cost: Duration,
    sent_per_second: f64,
    heard_per_second: f64,
    p50: Duration,
    p99: Duration,
}

async fn measure(way: &'static str, house: &mut House, mut send: Send, pace: Duration, burst: u64) -> Row {
    // The slower the way, the fewer; a hundred at least, for the last of a hundred.
    let paced = if pace > PACE { PACED / 10 } else { PACED };
    // Paced: the delay of each.
    let sender = std::thread::spawn(move || {
        let mut at = Vec::new();
        for n in 1..=paced {
            at.push(Instant::now());
            send(n);
            std::thread::sleep(pace);
        }
        (send, at)
    });
    let mut heard = Vec::new();
    loop {
        let (n, at) = house.judged().await;
        // What the way before this one still had to say is passed over.
        if n <= paced {
            heard.push((n, at));
        }
        if n == paced {
            break;
        }
    }
    let (mut send, sent) = sender.join().unwrap();
    let mut delays: Vec<Duration> = heard
        .iter()
        .filter_map(|(n, at)| Some(at.saturating_duration_since(*sent.get(usize::try_from(n - 1).ok()?)?)))
        .collect();
    delays.sort();
    // As fast as it goes; the last is repeated until it is heard, since some ways lose.
    static ROWS: AtomicU64 = AtomicU64::new(0);
    let end = u64::MAX - ROWS.fetch_add(1, Ordering::Relaxed);
    let begun = Instant::now();
    let sender = std::thread::spawn(move || {
        for n in paced + 1..=paced + burst {
            send(n);
        }
        let cost = begun.elapsed();
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            send(end);
        }
        cost
    });
    let mut count = 0_u64;
    let mut last = begun;
    loop {
        let (n, at) = house.judged().await;
        if n == end {
            break;
        }
        if (paced + 1..=paced + burst).contains(&n) {
            count += 1;
            last = at;
        }
    }
    // Nobody waits for the rest of the repeats: they are let go with the house.
    while !sender.is_finished() {
        let _ = tokio::time::timeout(Duration::from_millis(20), house.judged()).await;
    }
    let cost = sender.join().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
    let at = |part: usize| delays.get((delays.len() * part / 100).min(delays.len() - 1)).copied();
    Row {
        way,
        cost: cost / u32::try_from(burst).unwrap(),
        sent_per_second: per_second(burst, cost),
        heard_per_second: per_second(count, last - begun),
        p50: at(50).unwrap_or_default(),
        p99: at(99).unwrap_or_default(),
    }
}

async fn table(more: &[String]) {
    let mut rows = Vec::new();
    for (way, every) in [
        ("memory (looked at every 100 ms)", Duration::from_millis(100)),
        ("memory (every 1 ms)", Duration::from_millis(1)),
    ] {
        let mut house = House::build(every).await;
        set_place(&house);
        let pace = PACE.max(every * 11 / 10);
        rows.push(measure(way, &mut house, by_pulse(Way::Memory), pace, 10_000_000).await);
        house.supervisor.stop().await;
    }
    let mut house = House::build(Duration::from_millis(100)).await;
    set_place(&house);
    #[cfg(unix)]
    {
        let sends = [
            ("Unix stream", stream(&house)),
            ("Unix datagram", datagram(&house)),
            ("sd_notify", notify(&house)),
        ];
        for (way, send) in sends {
            rows.push(measure(way, &mut house, send, PACE, BURST).await);
        }
        let send = by_pulse(Way::Socket);
        rows.push(measure("Unix stream, never waiting", &mut house, send, PACE, BURST).await);
    }
    #[cfg(windows)]
    {
        let send = by_pulse(Way::Pipe);
        rows.push(measure("named pipe", &mut house, send, PACE, BURST / 10).await);
        let send = registry(&house);
        rows.push(measure("registry value", &mut house, send, SLOW_PACE, 1000).await);
    }
    let send = udp(&house);
    rows.push(measure("UDP on loopback", &mut house, send, PACE, BURST).await);
    let send = file(&house);
    rows.push(measure("file, renamed into place", &mut house, send, SLOW_PACE, 1000).await);
    house.supervisor.stop().await;

    println!("| way | a beat costs its program | sent/s | judged/s | beat to verdict p50 | p99 |");
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.1?} | {:.0} | {:.0} | {:.1?} | {:.1?} |",
            row.way, row.cost, row.sent_per_second, row.heard_per_second, row.p50, row.p99
        );
    }
    for row in more {
        println!("{row}");
    }
    println!("\nBy memory, file and registry only the newest of the beats between two looks is judged.");
}

/// The client library finds the ways by the environment.
#[expect(unsafe_code, reason = "the environment is set while no other thread reads it")]
fn set_place(house: &House) {
    // SAFETY: senders are started after this, and the runtime's threads read no environment.
    unsafe { std::env::set_var(Place::VARIABLE, house.place.address()) };
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let more: Vec<String> =
        std::env::args().filter_map(|argument| argument.strip_prefix("--row=").map(str::to_owned)).collect();
    runtime.block_on(table(&more));
}
