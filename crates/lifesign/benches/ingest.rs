//! `cargo xtask bench ingest`: heartbeats over HTTP through the whole of lifesign (token, parser, rate, engine, answer),
//! side by side with nginx answering an empty 204.
//!
//! The servers run on the first processor, the load on the second, in turns; each figure is the median of the rounds,
//! each ratio the median of the ratios within a round. Processor time counts, not only throughput: on a machine that does
//! other things too it is what stays comparable.
#![cfg_attr(target_os = "linux", expect(clippy::unwrap_used, reason = "a bench fails by panicking"))]
#![expect(clippy::print_stdout, reason = "a program for developers")]

#[cfg(target_os = "linux")]
#[path = "ingest/load.rs"]
mod load;
#[cfg(target_os = "linux")]
#[path = "ingest/nginx.rs"]
mod nginx;
#[cfg(target_os = "linux")]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
fn main() {
    linux::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("heartbeats over HTTP are measured against nginx on Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;
    use std::process::Command;
    use std::time::Duration;

    use lifesign_core::evidence::Beat;
    use lifesign_core::model::ServiceId;
    use lifesign_proto::batch::{HEARTBEATS, Writer};

    use super::load::{self, Load, Target};
    use super::nginx::Nginx;
    use super::support::{Lifesign, free_port};

    const SERVICES: usize = 10_000;
    const CONNECTIONS: usize = 32;
    /// Heartbeats in one array.
    const MANY: usize = 100;
    const ROUNDS: usize = 3;
    /// How long each of them runs in a round, and before the first.
    const LASTING: Duration = Duration::from_secs(4);
    const WARM_UP: Duration = Duration::from_secs(1);

    /// Processor time a request, in that of nginx; throughput, in that of nginx; delay that 99 of 100 keep.
    const TIME: f64 = 1.15;
    const THROUGHPUT: f64 = 0.9;
    const DELAY: Duration = Duration::from_millis(3);
    /// Heartbeats in arrays for each second of processor time, in JSON and in bytes.
    const IN_ARRAYS: f64 = 2e6;
    const IN_BYTES: f64 = 5e6;

    /// One of the servers with what it is sent.
    struct Contender {
        name: &'static str,
        pid: u32,
        target: Target,
        requests: Vec<Vec<u8>>,
        /// Heartbeats in one request.
        beats: usize,
    }

    struct Round {
        load: Load,
        /// Processor time of the server for one request.
        each: Duration,
    }

    impl Contender {
        fn round(&self, lasting: Duration) -> Round {
            let before = processor_time(self.pid);
            let load = load::run(&self.target, &self.requests, CONNECTIONS, lasting);
            let each = (processor_time(self.pid) - before) / load.answered;
            Round { load, each }
        }

        /// Heartbeats for each second of processor time.
        fn beats_a_core(&self, round: &Round) -> f64 {
            f64::from(u32::try_from(self.beats).unwrap()) / round.each.as_secs_f64()
        }
    }

    pub(super) fn run() {
        let dir = tempfile::tempdir().unwrap();
        // What is started now stays on the first processor, all its threads too.
        bind_to(0);
        let nginx = Nginx::start(dir.path());
        let encrypted = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let services: String = (0..SERVICES)
            .map(|index| format!("  - {{ id: {}, heartbeat: {{ interval: 1h }} }}\n", name(index)))
            .collect();
        let configuration = format!(
            "server: {{ listen: \"127.0.0.1:0\", tls: {{ listen: \"127.0.0.1:{}\" }} }}\nheartbeats: {{ rate_per_second: 100000 }}\nservices:\n{services}",
            encrypted.port()
        );
        let lifesign = Lifesign::start(dir.path(), &configuration);
        bind_to(1);

        let address: SocketAddr =
            lifesign.base.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let plain = Target { address, tls: None };
        // Whose certificate it is does not matter here; it is the server's own, made at its start.
        let tls = Target { address: encrypted, tls: Some(lifesign_probe::insecure_tls()) };
        let beats = |target: &Target, requests, beats, name| Contender {
            name,
            pid: lifesign.pid(),
            target: target.clone(),
            requests,
            beats,
        };
        let post_as = |media_type: &str, body: &[u8]| {
            let head = format!(
                "POST /api/v1/heartbeats HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
                lifesign.token,
                body.len()
            );
            [head.as_bytes(), body].concat()
        };
        let post = |body: &str| post_as("application/json", body.as_bytes());
        let singles: Vec<Vec<u8>> = (0..SERVICES).map(|index| post(&beat(index))).collect();
        let of_array = |first: usize| first * MANY..(first + 1) * MANY;
        let arrays = (0..SERVICES / MANY).map(|first| {
            let beats: Vec<String> = of_array(first).map(beat).collect();
            post(&format!("[{}]", beats.join(",")))
        });
        let batches = (0..SERVICES / MANY).map(|first| {
            let mut batch = Writer::default();
            of_array(first).for_each(|index| batch.push(&beat_of(index)).unwrap());
            post_as(HEARTBEATS, batch.as_bytes())
        });
        let contenders = [
            Contender {
                name: "nginx, empty 204",
                pid: nginx.pid(),
                target: Target { address: nginx.address, tls: None },
                requests: vec![format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", nginx.address).into_bytes()],
                beats: 0,
            },
            beats(&plain, singles.clone(), 1, "one heartbeat, JSON"),
            beats(&plain, arrays.collect(), MANY, "array of 100, JSON"),
            beats(&plain, batches.collect(), MANY, "batch of 100, bytes"),
            beats(&tls, singles.clone(), 1, "one heartbeat, JSON, HTTPS"),
            Contender {
                name: "nginx, 204 to the same requests",
                pid: nginx.pid(),
                target: Target { address: nginx.address, tls: None },
                requests: singles,
                beats: 0,
            },
        ];

        for contender in &contenders {
            contender.round(WARM_UP);
        }
        let rounds: Vec<Vec<Round>> = (0..ROUNDS)
            .map(|_| contenders.iter().map(|contender| contender.round(LASTING)).collect())
            .collect();

        println!(
            "| over HTTP, {CONNECTIONS} connections kept | requests/s | heartbeats/s | processor time each | p50 | p99 |"
        );
        println!("|---|---|---|---|---|---|");
        for (at, contender) in contenders.iter().enumerate() {
            let figure = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(|round| of(&round[at])));
            let per_second = figure(&|round| round.load.per_second());
            println!(
                "| {} | {per_second:.0} | {:.0} | {:.2} µs | {:.2} ms | {:.2} ms |",
                contender.name,
                per_second * f64::from(u32::try_from(contender.beats).unwrap()),
                figure(&|round| round.each.as_secs_f64() * 1e6),
                figure(&|round| round.load.within(50).as_secs_f64() * 1e3),
                figure(&|round| round.load.within(99).as_secs_f64() * 1e3),
            );
        }

        let ratio =
            |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(|round| of(&round[1]) / of(&round[0])));
        let time = ratio(&|round| round.each.as_secs_f64());
        verdict(
            time <= TIME,
            &format!("processor time of a single heartbeat: {time:.2} × nginx (at most {TIME})"),
        );
        let throughput = ratio(&|round| round.load.per_second());
        verdict(
            throughput >= THROUGHPUT,
            &format!("single heartbeats a second: {throughput:.2} × nginx (at least {THROUGHPUT})"),
        );
        let delay = median(rounds.iter().map(|round| round[1].load.within(99).as_secs_f64()));
        verdict(
            delay <= DELAY.as_secs_f64(),
            &format!("99 of 100 single heartbeats answered within {:.2} ms (at most {DELAY:?})", delay * 1e3),
        );
        for (at, what, least) in [(2, "JSON arrays", IN_ARRAYS), (3, "batches of bytes", IN_BYTES)] {
            let in_them = median(rounds.iter().map(|round| contenders[at].beats_a_core(&round[at])));
            verdict(
                in_them >= least,
                &format!(
                    "heartbeats in {what} of {MANY} a core: {:.2} million/s (at least {:.0})",
                    in_them / 1e6,
                    least / 1e6
                ),
            );
        }
    }

    fn name(index: usize) -> String {
        format!("service-{index:05}")
    }

    fn beat(index: usize) -> String {
        let metric = index % 100;
        format!(
            "{{\"service_id\":\"{}\",\"status\":\"alive\",\"metrics\":{{\"cpu\":{metric}.5}}}}",
            name(index)
        )
    }

    /// The same, for a batch.
    fn beat_of(index: usize) -> Beat {
        let metric = f64::from(u32::try_from(index % 100).unwrap()) + 0.5;
        Beat { metrics: vec![("cpu".into(), metric)], ..Beat::alive(ServiceId::new(&name(index)).unwrap()) }
    }

    fn verdict(is_met: bool, what: &str) {
        println!("{}  {what}", if is_met { "PASS" } else { "MISS" });
    }

    fn median(figures: impl Iterator<Item = f64>) -> f64 {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    /// Binds this thread, and what it starts from now on, to one processor.
    fn bind_to(processor: u32) {
        let me = std::process::id().to_string();
        let bound = Command::new("taskset")
            .args(["-p", "-c", &processor.to_string(), &me])
            .output()
            .expect("taskset starts (apt-get install util-linux)");
        assert!(
            bound.status.success(),
            "two processors are needed: {}",
            String::from_utf8_lossy(&bound.stderr)
        );
    }

    /// What a process has used, as `/proc/PID/stat` tells it in hundredths of a second (fields 14 and 15).
    fn processor_time(pid: u32) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, after_its_name) = stat.rsplit_once(") ").unwrap();
        let ticks = after_its_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}
