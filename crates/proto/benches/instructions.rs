//! The hot path piece by piece, for counting instructions: `cargo xtask instructions` runs this under callgrind.
//!
//! Time on a shared machine says little about a change of a few percent; the number of instructions says the same in
//! every run. Each piece is done a given number of times; counted twice with different numbers, the difference is the
//! piece alone, without what it needs to begin.
//!
//! `instructions` lists the pieces, `instructions PIECE TIMES` does one.
#![expect(clippy::unwrap_used, reason = "a bench stops where something is missing")]
#![expect(clippy::print_stdout, reason = "a program for developers")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::engine::{Answer, Engine};
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::{ServiceId, State};
use lifesign_core::spec::{HeartbeatSpec, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};
use lifesign_proto::batch::{self, Writer};
use lifesign_proto::datagram::{Guard, Key, Sealed, Sealer};
use lifesign_proto::request::{Begun, begun};
use lifesign_proto::{Ack, Acks, Limits, read};

/// Heartbeats in an array, a batch and a step of the engine.
const MANY: usize = 100;
const SERVICES: usize = 1000;

/// Does a piece so many times.
type Do = fn(usize);

const PIECES: &[(&str, Do)] = &[
    ("head-of-a-request", head),
    ("heartbeat-in-json", json),
    ("100-heartbeats-in-json", array),
    ("100-heartbeats-in-bytes", bytes),
    ("100-heartbeats-through-the-engine", engine),
    ("100-acknowledgements", acknowledgements),
    ("datagram-of-one-heartbeat", datagram),
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(wanted) = arguments.next() else {
        for (name, _) in PIECES {
            println!("{name}");
        }
        return;
    };
    let times = arguments.next().and_then(|times| times.parse().ok()).expect("how many times");
    let (_, piece) = PIECES.iter().find(|(name, _)| *name == wanted).expect("one of the pieces listed");
    piece(times);
}

fn name(index: usize) -> String {
    format!("service-{index:05}")
}

fn beat(index: usize) -> Beat {
    let cpu = f64::from(u32::try_from(index % 100).unwrap()) + 0.5;
    Beat { metrics: vec![("cpu".into(), cpu)], ..Beat::alive(ServiceId::new(&name(index)).unwrap()) }
}

fn in_json(index: usize) -> String {
    format!(r#"{{"service_id":"{}","status":"alive","metrics":{{"cpu":{}.5}}}}"#, name(index), index % 100)
}

fn in_bytes(many: usize) -> Vec<u8> {
    let mut batch = Writer::default();
    (0..many).for_each(|index| batch.push(&beat(index)).unwrap());
    batch.into_bytes()
}

fn head(times: usize) {
    let request = "POST /api/v1/heartbeats HTTP/1.1\r\nHost: 127.0.0.1:7700\r\n\
        Authorization: Bearer ls_0123456789abcdef0123456789abcdef\r\nContent-Type: application/json\r\n\
        User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 73\r\n\r\n";
    for _ in 0..times {
        let Begun::Ordinary(found) = begun(black_box(request.as_bytes()), 16 * 1024) else {
            panic!("it is ordinary")
        };
        black_box(found);
    }
}

fn json(times: usize) {
    let (body, limits) = (in_json(7), Limits::default());
    for _ in 0..times {
        drop(black_box(read(black_box(body.as_bytes()), &limits).unwrap()));
    }
}

fn array(times: usize) {
    let beats: Vec<String> = (0..MANY).map(in_json).collect();
    let (body, limits) = (format!("[{}]", beats.join(",")), Limits::default());
    for _ in 0..times {
        drop(black_box(read(black_box(body.as_bytes()), &limits).unwrap()));
    }
}

fn bytes(times: usize) {
    let (body, limits) = (in_bytes(MANY), Limits::default());
    for _ in 0..times {
        drop(black_box(batch::read(black_box(&body), &limits).unwrap()));
    }
}

fn engine(times: usize) {
    let spec = |index| {
        let heartbeat = HeartbeatSpec {
            interval: Duration::from_secs(3600),
            timeout: Duration::from_secs(7200),
            retries: 2,
            ..HeartbeatSpec::never()
        };
        let terms = Terms { heartbeat: Some(heartbeat), ..Terms::on("web-01".into()) };
        ServiceSpec::new(ServiceId::new(&name(index)).unwrap(), terms)
    };
    let spec = Spec { services: (0..SERVICES).map(spec).collect(), ..Spec::default() };
    let now = |nanos: u64| Now {
        mono: Mono::from_nanos(1_000_000_000 + nanos),
        wall: Wall::from_millis(1_763_800_000_000),
    };
    let (mut engine, mut effects) = (Engine::new(), Vec::new());
    engine.step(now(0), Input::Configure(Arc::new(spec)), &mut effects);
    let all: Vec<Beat> = (0..SERVICES).map(beat).collect();
    for (turn, beats) in (0..times).zip(all.chunks(MANY).cycle()) {
        let beats = beats.to_vec();
        effects.clear();
        let at = now(u64::try_from(turn).unwrap() * 1000);
        let answers = engine.step_beats(at, black_box(beats), &mut effects);
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Beat(_))));
    }
}

fn acknowledgements(times: usize) {
    let ids: Vec<ServiceId> = (0..MANY).map(|index| ServiceId::new(&name(index)).unwrap()).collect();
    for _ in 0..times {
        let acks = ids.iter().map(|id| Ack::accepted(id.clone(), State::Up)).collect();
        drop(black_box(Acks { acks }.to_json()));
    }
}

fn datagram(times: usize) {
    let (now, key, body) = (1_763_800_000_000, Key::of("ls_0123456789abcdef"), in_bytes(1));
    let mut sealer = Sealer::new(key.clone(), [7; 8]);
    let mut guard = Guard::new(now - 60_000);
    for _ in 0..times {
        let sealed = sealer.seal(now, &body);
        let opened = Sealed::read(black_box(&sealed)).unwrap().open(&key, &mut guard, now).unwrap();
        drop(black_box(batch::read(opened, &Limits::default()).unwrap()));
    }
}
