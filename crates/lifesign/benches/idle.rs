//! The last rows of `cargo xtask bench local`: what `lifesign agent` itself costs, as a process of its own, while it
//! watches a hundred units in which nothing happens.
//!
//! Needs root and a systemd to start (`scripts/systemd-lab.sh`); on Windows there is nothing to measure, since Wine gives
//! neither figure as Windows would.
#![expect(clippy::print_stdout, reason = "a program for developers")]
#![cfg_attr(target_os = "linux", expect(clippy::unwrap_used, reason = "a bench fails by panicking"))]

#[cfg(target_os = "linux")]
#[path = "../../os/tests/lab/mod.rs"]
#[expect(clippy::print_stderr, reason = "a lab that does not stop says why")]
mod lab;
#[cfg(target_os = "linux")]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
fn main() {
    linux::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("what an idle agent costs is measured on Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::lab::Lab;
    use super::support::{Lifesign, wait_for};

    /// Units on watch.
    const UNITS: usize = 100;
    /// What starting them has left to do, giving back its memory included, is over after this …
    const SETTLED: Duration = Duration::from_secs(45);
    /// … and the idle time is as long as this: two looks of the slow poll.
    const IDLE: Duration = Duration::from_secs(60);
    /// Most memory, in MB (10⁶ bytes), and most of a core, in percent.
    const MEMORY: f64 = 10.0;
    const SHARE: f64 = 0.1;

    struct Agent(Child);

    impl Drop for Agent {
        fn drop(&mut self) {
            // It may have ended already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    pub(super) fn run() {
        let lab = Lab::start();
        lab.write("many@.service", "Restart=no\nExecStart=sleep 100000");
        lab.systemctl(&["daemon-reload"]);
        let names: Vec<String> = (0..UNITS).map(|index| format!("many@{index}.service")).collect();
        lab.systemctl(&["start"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>());

        let dir = tempfile::tempdir().unwrap();
        let services: String = (0..UNITS)
            .map(|index| format!("  - {{ id: many-{index}, hosts: [bench], unit: many@{index}.service }}\n"))
            .collect();
        let configuration = format!(
            "server: {{ listen: \"127.0.0.1:0\" }}\nagent: {{ host: hq }}\naccess: {{ tokens: [ {{ name: agents, \
             role: admin, token: \"${{env:AGENTS_TOKEN}}\" }} ] }}\nservices:\n{services}"
        );
        let server = Lifesign::start_with(dir.path(), &configuration, |command| {
            command.env("AGENTS_TOKEN", "the-agents-own-token");
        });
        let file = dir.path().join("agent.yaml");
        let text = format!(
            "server: {{ data_dir: ./agent }}\nagent: {{ host: bench, server: \"{}\", token: \"${{env:AGENTS_TOKEN}}\" }}\n",
            server.base
        );
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(dir.path().join("agent.log")).unwrap();
        let agent = Agent(
            Command::new(env!("CARGO_BIN_EXE_lifesign"))
                .args(["--lang", "en", "agent", "-c"])
                .arg(&file)
                .env("AGENTS_TOKEN", "the-agents-own-token")
                .env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus())
                .env_remove("LIFESIGN_ENV")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        wait_for("every unit is watched", || {
            let (_, page) = server.get("/api/v1/services?state=up&limit=200");
            (page["items"].as_array().map_or(0, Vec::len) == UNITS).then_some(())
        });
        std::thread::sleep(SETTLED);
        let before = processor_time(agent.0.id());
        std::thread::sleep(IDLE);
        let share = (processor_time(agent.0.id()) - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        let memory = memory(agent.0.id());
        let verdict = |is_met| if is_met { "PASS" } else { "MISS" };
        println!(
            "{}  Linux: `lifesign agent` watching {UNITS} idle units: {memory:.1} MB in memory (under {MEMORY:.0} MB)",
            verdict(memory < MEMORY)
        );
        println!(
            "{}  Linux: the same over {IDLE:?}: {share:.3} % of a core (under {SHARE} %)",
            verdict(share < SHARE)
        );
    }

    /// What a process has used, as `/proc/PID/stat` tells it in hundredths of a second (fields 14 and 15).
    fn processor_time(pid: u32) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, after_its_name) = stat.rsplit_once(") ").unwrap();
        let ticks = after_its_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    fn memory(pid: u32) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}
