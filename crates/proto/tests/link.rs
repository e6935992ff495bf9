//! The link: frames from files and at random, and both machines against each other over a network that cuts,
//! stalls and forgets.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus, HostSample, UnitReport, UnitState};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::time::Mono;
use lifesign_proto::link::{
    Beats, Compact, Deed, Downlink, Effect, Event, Frame, FrameError, Framer, Happened, Hello, Item,
    MAX_FRAME, Names, Order, Phase, Refusal, Terms, Uplink, Way, Welcome,
};
use proptest::prelude::*;

fn id(text: &str) -> ServiceId {
    ServiceId::new(text).unwrap()
}

fn hello() -> Hello {
    Hello {
        versions: (1, 1),
        host: "web-01".to_owned(),
        session: 7,
        program: "0.1.0".to_owned(),
        system: "linux".to_owned(),
    }
}

/// One frame of each kind.
fn frames() -> Vec<(&'static str, Frame)> {
    let mut beats = Beats::default();
    beats.push(Compact { service: 0, age: Duration::from_millis(3), status: BeatStatus::Alive });
    beats.push(Compact { service: 1, age: Duration::ZERO, status: BeatStatus::Stopping });
    let unit =
        Input::Unit { service: id("orders"), report: UnitReport::new(UnitState::Running(None), "running") };
    let sample = HostSample { host: "web-01".into(), metrics: vec![("host_cpu".into(), 12.5)] };
    vec![
        ("hello", Frame::Hello(hello())),
        (
            "welcome",
            Frame::Welcome(Welcome {
                version: 1,
                taken: 41,
                ping_millis: 2000,
                silence_millis: 7000,
                window: 64,
            }),
        ),
        ("refuse", Frame::Refuse(Refusal::Forbidden, "not your host".to_owned())),
        (
            "news",
            Frame::News(
                42,
                vec![
                    Item { age_millis: 0, late: false, seen: unit },
                    Item { age_millis: 9000, late: true, seen: Input::Host(sample) },
                ],
            ),
        ),
        ("names", Frame::Names(Names { from: 0, services: vec![id("orders"), id("pay")] })),
        ("beats", Frame::Beats(43, beats)),
        ("ack", Frame::Ack(43)),
        ("ping", Frame::Ping(3, 2)),
        (
            "order",
            Frame::Order("a-1".to_owned(), Order::Restart { service: id("orders"), by: "anna".to_owned() }),
        ),
        ("goodbye", Frame::Goodbye("the agent stops".to_owned())),
    ]
}

/// Files are never written anew for a version that was released: an older agent still speaks so.
#[test]
fn every_frame_of_version_1_is_read_as_it_was_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/link-v1");
    for (name, frame) in frames() {
        let file = folder.join(name);
        let mut bytes = Vec::new();
        frame.write(&mut bytes).unwrap();
        if !file.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &bytes).unwrap();
        }
        let kept = std::fs::read(&file).unwrap();
        let mut framer = Framer::default();
        framer.take(&kept);
        assert_eq!(framer.next_frame().unwrap().unwrap(), frame, "{name}");
        assert_eq!(framer.next_frame(), None);
        assert_eq!(kept, bytes, "{name} is written otherwise than before");
    }
}

#[test]
fn a_newer_side_may_say_more_than_we_know() {
    let mut bytes = b"\x01lifesign\x01\x09".to_vec();
    bytes.extend(br#"{"host":"web-01","session":7,"program":"9","system":"linux","mood":"good"}"#);
    let Frame::Hello(hello) = Frame::read(&bytes).unwrap() else { panic!("no hello") };
    assert_eq!((hello.versions, hello.host.as_str()), ((1, 9), "web-01"));
    // A version of which we know nothing says its name otherwise; that it is newer is still understood.
    let Frame::Hello(hello) = Frame::read(b"\x01lifesign\x40\x41?!").unwrap() else { panic!("no hello") };
    assert_eq!(hello.versions, (0x40, 0x41));
}

#[test]
fn what_is_no_frame_is_refused_with_the_reason() {
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (b"\x01GET / HT", "this is no lifesign link"),
        (b"\x63", "unknown kind 99"),
        (b"\x07\x01", "8 bytes"),
        (b"\x06\0\0\0\0\0\0\0\0\x01", "no whole number of heartbeats"),
        (b"\x06\0\0\0\0\0\0\0\0aaaabbbb\x03\0\0\0", "no status"),
        (b"\x04\0\0\0\0\0\0\0\0[", "EOF"),
    ] {
        let error = Frame::read(bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut framer = Framer::default();
    framer.take(&[0xff; 4]);
    assert_eq!(framer.next_frame(), Some(Err(FrameError::TooLong(u32::MAX as usize))));
    let huge = Frame::Goodbye("x".repeat(MAX_FRAME));
    let mut bytes = vec![1, 2, 3];
    assert_eq!(huge.write(&mut bytes), Err(FrameError::TooLong(MAX_FRAME + 1)));
    assert_eq!(bytes, [1, 2, 3]);
}

#[test]
fn what_fuzzing_found_worth_keeping_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/link");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let mut framer = Framer::default();
        framer.take(&bytes);
        let (mut server, mut deeds) = (Downlink::new(Mono::ZERO), Vec::new());
        while let Some(frame) = framer.next_frame() {
            let is_over = frame.is_err();
            server.step(Mono::ZERO, Happened::Received(frame), &mut deeds);
            server.step(Mono::ZERO, Happened::Admitted { taken: 0 }, &mut deeds);
            if is_over {
                break;
            }
        }
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} in {}", corpus.display());
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_and_what_was_read_is_written_alike(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..12) {
        let bytes = [&[kind], bytes.as_slice()].concat();
        if let Ok(frame) = Frame::read(&bytes) {
            let mut written = Vec::new();
            frame.write(&mut written).unwrap();
            prop_assert_eq!(Frame::read(&written[4..]).unwrap(), frame);
        }
    }

    #[test]
    fn a_stream_is_cut_into_the_same_frames_wherever_the_network_cuts_it(cuts in proptest::collection::vec(1_usize..50, 1..60)) {
        let mut bytes = Vec::new();
        for (_, frame) in frames() {
            frame.write(&mut bytes).unwrap();
        }
        let mut framer = Framer::default();
        let mut read = Vec::new();
        let (mut at, mut cut) = (0, cuts.iter().cycle());
        while at < bytes.len() {
            let end = bytes.len().min(at + cut.next().unwrap());
            framer.take(&bytes[at..end]);
            at = end;
            while let Some(frame) = framer.next_frame() {
                read.push(frame.unwrap());
            }
        }
        prop_assert_eq!(read, frames().into_iter().map(|(_, frame)| frame).collect::<Vec<_>>());
    }
}

#[test]
fn an_agent_cannot_say_what_is_not_evidence() {
    for seen in [Input::Tick, Input::Link { host: "db-01".into(), connected: false }] {
        let (mut server, mut deeds) = (Downlink::new(Mono::ZERO), Vec::new());
        server.step(Mono::ZERO, Happened::Received(Ok(Frame::Hello(hello()))), &mut deeds);
        server.step(Mono::ZERO, Happened::Admitted { taken: 0 }, &mut deeds);
        deeds.clear();
        let news = Frame::News(1, vec![Item { age_millis: 0, late: false, seen }]);
        server.step(Mono::ZERO, Happened::Received(Ok(news)), &mut deeds);
        assert!(matches!(deeds.as_slice(), [Deed::Send(Frame::Goodbye(_)), Deed::Close(_)]), "{deeds:?}");
    }
}

#[test]
fn an_agent_without_a_common_version_is_told_what_to_update() {
    let (mut server, mut deeds) = (Downlink::new(Mono::ZERO), Vec::new());
    let old = Hello { versions: (0, 0), ..hello() };
    server.step(Mono::ZERO, Happened::Received(Ok(Frame::Hello(old))), &mut deeds);
    let [Deed::Send(Frame::Refuse(Refusal::Version, words)), Deed::Close(_)] = deeds.as_slice() else {
        panic!("{deeds:?}")
    };
    assert!(words.contains("update the older one"), "{words}");
}

#[test]
fn waits_double_up_to_the_longest_and_each_attempt_goes_to_the_next_server() {
    let terms = Terms::default();
    let mut uplink = Uplink::new(hello(), 2, terms);
    let (mut now, mut servers, mut waits) = (Mono::ZERO, Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut effects = Vec::new();
        uplink.step(now, 1.0, Event::Tick, &mut effects);
        let [Effect::Connect(server, Way::Direct)] = effects.as_slice() else { panic!("{effects:?}") };
        servers.push(*server);
        uplink.step(now, 1.0, Event::Lost("refused".to_owned()), &mut Vec::new());
        waits.push(uplink.deadline().since(now).as_millis());
        now = uplink.deadline();
    }
    assert_eq!(servers[..4], [0, 1, 0, 1]);
    assert_eq!(waits[..6], [500, 500, 1000, 1000, 2000, 2000]);
    assert_eq!(*waits.last().unwrap(), terms.longest_wait.as_millis());
}

/// What a machine wants after this, if that is a connection.
fn connects(uplink: &mut Uplink, now: Mono, event: Event) -> Option<(usize, Way)> {
    let mut effects = Vec::new();
    uplink.step(now, 1.0, event, &mut effects);
    effects.iter().find_map(|effect| match effect {
        Effect::Connect(server, way) => Some((*server, *way)),
        _ => None,
    })
}

#[test]
fn where_the_direct_way_is_barred_a_websocket_is_tried_at_once_and_kept_once_it_carried_the_link() {
    let mut uplink = Uplink::new(hello(), 2, Terms::default());
    let mut now = Mono::ZERO;
    assert_eq!(connects(&mut uplink, now, Event::Tick), Some((0, Way::Direct)));
    let barred = Event::Barred("TLS: another certificate".to_owned());
    assert_eq!(connects(&mut uplink, now, barred), Some((0, Way::WebSocket)), "without a wait");
    // Neither leads there: both reasons are told, and the next server has its turn, directly.
    let mut effects = Vec::new();
    uplink.step(now, 1.0, Event::Lost("502".to_owned()), &mut effects);
    let told = "TLS: another certificate; and through a WebSocket: 502".to_owned();
    assert_eq!(effects, [Effect::Down(told)]);
    now = uplink.deadline();
    assert_eq!(connects(&mut uplink, now, Event::Tick), Some((1, Way::Direct)));
    // Where nobody is there is no use in another way.
    assert_eq!(connects(&mut uplink, now, Event::Lost("refused".to_owned())), None);
    now = uplink.deadline();
    assert_eq!(connects(&mut uplink, now, Event::Tick), Some((0, Way::Direct)));
    let barred = Event::Barred("TLS".to_owned());
    assert_eq!(connects(&mut uplink, now, barred), Some((0, Way::WebSocket)));
    uplink.step(now, 1.0, Event::Connected, &mut Vec::new());
    let welcome = Welcome { version: 1, taken: 0, ping_millis: 2000, silence_millis: 7000, window: 64 };
    uplink.step(now, 1.0, Event::Received(Frame::Welcome(welcome)), &mut Vec::new());
    assert_eq!(uplink.phase(), Phase::Running);
    // What carried the link is the way from now on.
    uplink.step(now, 1.0, Event::Lost("cut".to_owned()), &mut Vec::new());
    let ways: Vec<_> = (0..4)
        .filter_map(|_| {
            now = uplink.deadline();
            let next = connects(&mut uplink, now, Event::Tick);
            uplink.step(now, 1.0, Event::Lost("refused".to_owned()), &mut Vec::new());
            next
        })
        .collect();
    assert_eq!(ways, [(1, Way::Direct), (0, Way::WebSocket), (1, Way::Direct), (0, Way::WebSocket)]);
}

/// What goes wrong in a world, and when.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection breaks, and both sides are told.
    Cut,
    /// What the agent sends vanishes; nobody is told.
    UpVanishes,
    /// What the server sends vanishes; nobody is told.
    DownVanishes,
    /// New connections are refused, for this many ms.
    Refused(u64),
    /// The server starts anew; whether it remembers what it took.
    Restart(bool),
    /// The engine takes nothing for this many ms.
    Slow(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Cut),
        Just(Fault::UpVanishes),
        Just(Fault::DownVanishes),
        (0_u64..20_000).prop_map(Fault::Refused),
        any::<bool>().prop_map(Fault::Restart),
        (0_u64..9_000).prop_map(Fault::Slow),
    ]
}

/// A connection: what is under way each way, with its time of arrival.
struct Wire {
    up: VecDeque<(u64, Frame)>,
    down: VecDeque<(u64, Frame)>,
    up_vanishes: bool,
    down_vanishes: bool,
    server: Downlink,
    /// The server has closed; the agent hears of it.
    closed: bool,
}

struct World {
    uplink: Uplink,
    wire: Option<Wire>,
    /// When a connection that was asked for stands.
    connects: Option<u64>,
    refused_until: u64,
    slow_until: u64,
    /// What the server knows of the session.
    taken: u64,
    to_take: VecDeque<(u64, Vec<Input>)>,
    got: Vec<f64>,
    beats: BTreeMap<ServiceId, usize>,
    done: Vec<String>,
    random: u64,
}

impl World {
    fn new() -> Self {
        Self {
            uplink: Uplink::new(hello(), 1, Terms::default()),
            wire: None,
            connects: None,
            refused_until: 0,
            slow_until: 0,
            taken: 0,
            to_take: VecDeque::new(),
            got: Vec::new(),
            beats: BTreeMap::new(),
            done: Vec::new(),
            random: 1,
        }
    }

    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 40) as f64 / (1_u64 << 24) as f64
    }

    fn tell_agent(&mut self, millis: u64, event: Event) {
        let (mut effects, chance) = (Vec::new(), self.chance());
        self.uplink.step(Mono::from_millis(millis), chance, event, &mut effects);
        self.carry_out(millis, effects);
    }

    fn carry_out(&mut self, millis: u64, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect(..) => self.connects = Some(millis + 20),
                Effect::Send(frame) => {
                    if let Some(wire) = self.wire.as_mut().filter(|wire| !wire.up_vanishes) {
                        wire.up.push_back((millis + 30, frame));
                    }
                }
                Effect::Close(_) => (self.wire, self.connects) = (None, None),
                Effect::Do(id, _) => self.done.push(id),
                Effect::Up | Effect::Down(_) | Effect::Stopped => {}
            }
        }
    }

    fn tell_server(&mut self, millis: u64, happened: Happened) {
        let Some(wire) = &mut self.wire else { return };
        let mut deeds = Vec::new();
        wire.server.step(Mono::from_millis(millis), happened, &mut deeds);
        for deed in deeds {
            match deed {
                Deed::Admit(hello) => {
                    assert_eq!(hello.session, 7);
                    let taken = self.taken;
                    self.tell_server(millis, Happened::Admitted { taken });
                }
                Deed::Send(frame) => {
                    if let Some(wire) = self.wire.as_mut().filter(|wire| !wire.down_vanishes) {
                        wire.down.push_back((millis + 30, frame));
                    }
                }
                Deed::Take(number, inputs) => self.to_take.push_back((number, inputs)),
                Deed::Close(_) => {
                    if let Some(wire) = &mut self.wire {
                        wire.closed = true;
                    }
                }
            }
        }
    }

    fn fail(&mut self, millis: u64, fault: Fault) {
        match fault {
            Fault::Cut => self.break_wire(millis),
            Fault::UpVanishes => {
                if let Some(wire) = &mut self.wire {
                    wire.up_vanishes = true;
                    wire.up.clear();
                }
            }
            Fault::DownVanishes => {
                if let Some(wire) = &mut self.wire {
                    wire.down_vanishes = true;
                    wire.down.clear();
                }
            }
            Fault::Refused(span) => self.refused_until = millis + span,
            Fault::Restart(remembers) => {
                if !remembers {
                    self.taken = 0;
                }
                // What waited for the engine is lost with the server, and nobody acknowledged it.
                self.to_take.clear();
                self.break_wire(millis);
            }
            Fault::Slow(span) => self.slow_until = millis + span,
        }
    }

    fn break_wire(&mut self, millis: u64) {
        if self.wire.take().is_some() {
            // Batches of a connection that is gone are still taken; their numbers are remembered.
            self.tell_agent(millis, Event::Lost("cut".to_owned()));
        }
    }

    /// One hundredth of a second.
    fn turn(&mut self, millis: u64) {
        if self.connects.is_some_and(|at| millis >= at) {
            self.connects = None;
            if millis < self.refused_until {
                self.tell_agent(millis, Event::Lost("refused".to_owned()));
            } else {
                self.wire = Some(Wire {
                    up: VecDeque::new(),
                    down: VecDeque::new(),
                    up_vanishes: false,
                    down_vanishes: false,
                    server: Downlink::new(Mono::from_millis(millis)),
                    closed: false,
                });
                self.tell_agent(millis, Event::Connected);
            }
        }
        while let Some(frame) =
            self.wire.as_mut().and_then(|wire| wire.up.pop_front_if(|(at, _)| *at <= millis))
        {
            self.tell_server(millis, Happened::Received(Ok(frame.1)));
        }
        while millis >= self.slow_until
            && let Some((number, inputs)) = self.to_take.pop_front()
        {
            self.taken = number;
            inputs.into_iter().for_each(|input| self.take(input));
            self.tell_server(millis, Happened::Taken(number));
        }
        while let Some(frame) =
            self.wire.as_mut().and_then(|wire| wire.down.pop_front_if(|(at, _)| *at <= millis))
        {
            self.tell_agent(millis, Event::Received(frame.1));
        }
        if self.wire.as_ref().is_some_and(|wire| wire.closed && wire.down.is_empty() && !wire.down_vanishes) {
            self.break_wire(millis);
        }
        if self.wire.as_ref().is_some_and(|wire| wire.server.deadline() <= Mono::from_millis(millis)) {
            self.tell_server(millis, Happened::Tick);
        }
        if self.uplink.deadline() <= Mono::from_millis(millis) {
            self.tell_agent(millis, Event::Tick);
            assert!(self.uplink.deadline() > Mono::from_millis(millis), "it wants to be woken in the past");
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Late { input, .. } => self.take(*input),
            Input::Host(sample) => self.got.push(sample.metrics[0].1),
            Input::Beat(beat) => *self.beats.entry(beat.service).or_default() += 1,
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Nothing that was offered is lost, whatever happens to connections and servers, as long as there is a
    /// connection in the end; and it comes in the order in which it was seen.
    #[test]
    fn nothing_is_lost_and_no_order_is_carried_out_twice(
        faults in proptest::collection::vec((0_u64..60_000, fault()), 0..8),
    ) {
        let mut world = World::new();
        let mut waiting: VecDeque<(Mono, Input)> = VecDeque::new();
        let (mut count, mut orders) = (0_u32, BTreeSet::new());
        for millis in (0..240_000_u64).step_by(10) {
            for (_, fault) in faults.iter().filter(|(at, _)| at / 10 == millis / 10) {
                world.fail(millis, *fault);
            }
            world.turn(millis);
            let now = Mono::from_millis(millis);
            if millis < 60_000 && millis % 250 == 0 {
                let metrics = vec![("n".into(), f64::from(count))];
                waiting.push_back((now, Input::Host(HostSample { host: "web-01".into(), metrics })));
                waiting.push_back((now, Input::Beat(Beat::alive(id(["a", "b", "c"][count as usize % 3])))));
                count += 1;
            }
            if millis % 1000 == 0 && millis < 60_000 {
                let order = format!("o{millis}");
                orders.insert(order.clone());
                // A server sends an order again while it has no answer.
                for order in &orders {
                    world.tell_server(millis, Happened::Ordered(order.clone(), Order::Look { service: id("a") }));
                }
            }
            if !waiting.is_empty() && world.uplink.has_room() {
                let late = waiting.front().is_some_and(|(at, _)| now.since(*at) > Duration::from_millis(500));
                let batch: Vec<_> = waiting.drain(..waiting.len().min(20)).collect();
                let mut effects = Vec::new();
                prop_assert!(world.uplink.offer(now, late, batch, &mut effects).is_ok());
                world.carry_out(millis, effects);
            }
        }
        prop_assert_eq!(world.uplink.phase(), Phase::Running);
        prop_assert_eq!(world.uplink.waiting(), 0);
        prop_assert!(waiting.is_empty());
        let got: BTreeSet<u32> = world.got.iter().map(|n| *n as u32).collect();
        prop_assert_eq!(got, (0..count).collect::<BTreeSet<_>>());
        prop_assert!(world.beats.values().sum::<usize>() >= count as usize);
        let done: BTreeSet<&String> = world.done.iter().collect();
        prop_assert_eq!(done.len(), world.done.len(), "an order was carried out twice");
    }
}

#[test]
fn without_faults_everything_comes_once_and_in_order_and_an_agent_that_stops_waits_for_it() {
    let mut world = World::new();
    let mut millis = 0;
    while world.uplink.phase() != Phase::Running {
        world.turn(millis);
        millis += 10;
    }
    for n in 0..10 {
        let metrics = vec![("n".into(), f64::from(n))];
        let sample = Input::Host(HostSample { host: "web-01".into(), metrics });
        let mut effects = Vec::new();
        let now = Mono::from_millis(millis);
        world.uplink.offer(now, false, vec![(now, sample)], &mut effects).unwrap();
        world.carry_out(millis, effects);
    }
    assert!(world.uplink.is_heard());
    world.tell_agent(millis, Event::Stop);
    assert_eq!(world.uplink.phase(), Phase::Draining);
    while world.uplink.phase() != Phase::Stopped {
        millis += 10;
        world.turn(millis);
    }
    assert_eq!(world.got, (0..10).map(f64::from).collect::<Vec<_>>());
}
