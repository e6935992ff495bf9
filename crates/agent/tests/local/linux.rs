//! The ways that Linux has.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use lifesign_agent::{Access, ProcessSpec, UnitKind, Way};
use lifesign_client::Pulse;
use lifesign_core::evidence::{BeatStatus, UnitState};
use lifesign_core::input::Input;

use super::house::{House, Plan, id, program, run, start};

/// Each way, as the sender and as the agent call it.
const WAYS: [(&str, Way); 5] = [
    ("memory", Way::Memory),
    ("socket", Way::Stream),
    ("datagram", Way::Datagram),
    ("file", Way::File),
    ("udp", Way::Udp),
];

/// The same command as `nobody`.
fn as_nobody(command: Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    // Its target folder may be closed to others.
    let copy = std::env::temp_dir().join(format!("lifesign-sender-{}", std::process::id()));
    if !copy.exists() {
        std::fs::copy(program(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    other.arg(copy).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

fn supervised(plan: &Plan, argv: &[&str], env: &[(&str, String)]) -> UnitKind {
    UnitKind::Process(ProcessSpec {
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        cwd: None,
        env: env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        stop_timeout: Duration::from_secs(5),
        log: plan.dir.path().join("orders.log"),
        log_limit: 65536,
    })
}

/// The same with a log of its own.
fn named(unit: UnitKind, name: &str, plan: &Plan) -> UnitKind {
    match unit {
        UnitKind::Process(spec) => {
            UnitKind::Process(ProcessSpec { log: plan.dir.path().join(format!("{name}.log")), ..spec })
        }
        other => other,
    }
}

#[tokio::test]
async fn every_way_brings_what_another_process_says() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    for (name, way) in WAYS {
        let sent = run(plan.sender(name, "orders", 1, 0)).await;
        assert!(sent.status.success(), "{name}: {}", String::from_utf8_lossy(&sent.stderr));
        let beat = house.beat().await;
        assert_eq!((beat.service.as_str(), beat.status), ("orders", BeatStatus::Alive), "{name}");
        assert_eq!(beat.progress, Some(1), "{name}");
        assert_eq!(beat.metrics, [("queue".into(), 12.5)], "{name}");
        if matches!(way, Way::Memory | Way::Stream) {
            assert_eq!(beat.message.as_deref(), Some("all is well"), "{name}");
        }
        assert_eq!(house.tally.of(way).heard, 1, "{name}");
    }
    assert_eq!(house.tally.all().malformed, 0);
}

#[tokio::test]
async fn a_supervised_program_is_heard_as_systemd_hears_it() {
    let mut plan = Plan::new();
    let socket = plan.place("notify", "orders");
    let program = program();
    let argv = [program.to_str().unwrap(), "notify", "orders", "1000", "20"];
    let unit = supervised(&plan, &argv, &[("NOTIFY_SOCKET", socket.clone())]);
    plan.units.insert(id("orders"), unit);
    let mut house = plan.build().await;
    let ready = house.beat().await;
    assert_eq!((ready.status, ready.message.as_deref()), (BeatStatus::Alive, Some("all is well")));
    assert_eq!(house.beat().await.progress, Some(1));
    // Somebody else of the same user speaks into its socket: that is no sign of its life.
    let mut other = start(plan.sender("notify", "orders", 1, 20_000));
    house.figures(|tally| tally.of(Way::Notify).strangers == 2).await;
    other.kill().unwrap();
    other.wait().unwrap();
    house.stop().await;
    assert!(!std::path::Path::new(&socket).exists(), "the socket goes with its service");
}

#[tokio::test]
async fn another_user_is_refused_by_the_system_on_every_way_and_a_group_is_let_in() {
    let plan = Plan::new();
    let house = plan.build().await;
    for (name, _) in WAYS.into_iter().filter(|(name, _)| *name != "udp") {
        let sent = run(as_nobody(plan.sender(name, "orders", 1, 0))).await;
        let words = String::from_utf8_lossy(&sent.stderr).into_owned();
        assert!(!sent.status.success() && words.contains("ermission denied"), "{name}: {words}");
    }
    // UDP has no rights; who does not know the secret is nobody.
    let mut wrong = Command::new(program());
    wrong.args(["udp", "orders", "1", "0", &plan.setup.udp.unwrap().port().to_string(), "guessed"]);
    assert!(run(wrong).await.status.success());
    let mut house = house;
    house.figures(|tally| tally.of(Way::Udp).refused == 1).await;
    assert_eq!(house.tally.all().heard, 0);
    house.stop().await;

    let mut plan = Plan::new();
    plan.setup.place.access = Access::Group("65534".to_owned());
    let mut house = plan.build().await;
    for (name, way) in WAYS.into_iter().filter(|(name, _)| !matches!(*name, "udp" | "file")) {
        let sent = run(as_nobody(plan.sender(name, "orders", 1, 0))).await;
        assert!(sent.status.success(), "{name}: {}", String::from_utf8_lossy(&sent.stderr));
        assert_eq!(house.beat().await.service, id("orders"));
        assert_eq!(house.tally.of(way).heard, 1, "{name}");
    }
}

#[tokio::test]
async fn a_heartbeat_from_outside_of_the_unit_is_counted_and_does_not_count() {
    let mut plan = Plan::new();
    plan.units.insert(id("orders"), supervised(&plan, &["sleep", "1000"], &[]));
    let mut house = plan.build().await;
    house
        .until(|input| match input {
            Input::Unit { report, .. } => matches!(report.state, UnitState::Running(Some(_))).then_some(()),
            _ => None,
        })
        .await;
    for (name, way) in [("memory", Way::Memory), ("socket", Way::Stream), ("datagram", Way::Datagram)] {
        // It stays, so that the system can still tell what it is.
        let mut sender = start(plan.sender(name, "orders", 1, 20_000));
        house.figures(|tally| tally.of(way).strangers == 1).await;
        assert_eq!(house.tally.of(way).heard, 0, "{name}");
        sender.kill().unwrap();
        sender.wait().unwrap();
    }
    house.stop().await;

    plan.setup.strangers = true;
    let mut house = plan.build().await;
    house
        .until(|input| match input {
            Input::Unit { report, .. } => matches!(report.state, UnitState::Running(Some(_))).then_some(()),
            _ => None,
        })
        .await;
    let mut sender = start(plan.sender("socket", "orders", 1, 20_000));
    assert_eq!(house.beat().await.service, id("orders"));
    let sums = house.tally.of(Way::Stream);
    assert_eq!((sums.strangers, sums.heard), (1, 1), "taken, and told all the same");
    sender.kill().unwrap();
    sender.wait().unwrap();
    house.stop().await;
}

/// Hears every one of `count` beats of `victim` in their order.
async fn all_of_the_victim(house: &mut House, count: u64) {
    let mut next = 1;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service.as_str() == "victim"
            {
                assert_eq!(beat.progress, Some(next), "a beat of the victim was lost");
                next += 1;
            }
            (next > count).then_some(())
        })
        .await;
}

#[tokio::test]
async fn junk_and_floods_on_one_way_cost_nobody_else_a_beat() {
    const BEATS: u64 = 60;
    let plan = Plan::new();
    let mut house = plan.build().await;
    for (victim, way, floods) in [
        ("socket", Way::Stream, vec!["junk-stream", "crowd", "socket"]),
        ("datagram", Way::Datagram, vec!["junk-datagram", "datagram"]),
    ] {
        let before = house.tally.of(way);
        let mut senders: Vec<_> = floods
            .iter()
            .map(|flood| match *flood {
                "crowd" => start(plan.sender("crowd", "orders", 200, 500)),
                junk if junk.starts_with("junk") => start(plan.sender(junk, "orders", 20_000, 0)),
                good => start(plan.sender(good, "orders", 20_000, 0)),
            })
            .collect();
        senders.push(start(plan.sender(victim, "victim", BEATS, 10)));
        all_of_the_victim(&mut house, BEATS).await;
        house
            .figures(|tally| {
                let now = tally.of(way);
                let junk = now.malformed > before.malformed || now.refused > before.refused;
                junk && now.held_back > before.held_back
            })
            .await;
        for mut sender in senders {
            // One that still floods has done its part.
            let _ = sender.kill();
            sender.wait().unwrap();
        }
    }
}

#[tokio::test]
async fn a_flood_by_udp_is_counted_and_does_not_silence_the_others() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    let mut junk = start(plan.sender("junk-udp", "orders", 300_000, 0));
    let mut flood = start(plan.sender("udp", "orders", 300_000, 0));
    let mut victim = start(plan.sender("udp", "victim", 100, 10));
    // What the kernel has no room for is lost without a word: that is UDP. A service needs one beat of many.
    let mut heard = 0;
    house
        .until(|input| {
            if let Input::Beat(beat) = input {
                heard += u32::from(beat.service.as_str() == "victim");
            }
            (heard >= 20).then_some(())
        })
        .await;
    house.figures(|tally| tally.of(Way::Udp).refused > 0 && tally.of(Way::Udp).held_back > 0).await;
    for sender in [&mut junk, &mut flood, &mut victim] {
        // One that still floods has done its part.
        let _ = sender.kill();
        sender.wait().unwrap();
    }
}

#[tokio::test]
async fn junk_and_floods_into_a_notify_socket_harm_its_own_service_alone() {
    let mut plan = Plan::new();
    let program = program();
    for (name, argv) in [
        ("orders", vec![program.to_str().unwrap(), "notify", "orders", "1000", "20"]),
        ("victim", vec![program.to_str().unwrap(), "notify", "victim", "100000", "10"]),
    ] {
        let socket = plan.place("notify", name);
        let unit = supervised(&plan, &argv, &[("NOTIFY_SOCKET", socket)]);
        plan.units.insert(id(name), named(unit, name, &plan));
    }
    plan.setup.strangers = true;
    let mut house = plan.build().await;
    let mut senders = ["junk-notify", "notify"].map(|way| start(plan.sender(way, "orders", 200_000, 0)));
    let mut next = None;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service == id("victim")
                && let Some(progress) = beat.progress
            {
                assert!(next.is_none_or(|next| next == progress), "a beat of the victim was lost");
                next = Some(progress + 1);
            }
            next.is_some_and(|next| next > 60).then_some(())
        })
        .await;
    house.figures(|tally| tally.of(Way::Notify).malformed > 0 && tally.of(Way::Notify).held_back > 0).await;
    for sender in &mut senders {
        // One that still floods has done its part.
        let _ = sender.kill();
        sender.wait().unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_file_is_heard_when_it_is_written_and_junk_in_another_does_not_delay_it() {
    let mut plan = Plan::new();
    // In turns it would be heard once a minute.
    plan.setup.files_every = Duration::from_secs(60);
    let mut house = plan.build().await;
    let mut junk = start(plan.sender("junk-file", "orders", 1_000_000, 0));
    let mut victim = start(plan.sender("file", "victim", 1000, 50));
    let begun = std::time::Instant::now();
    let mut last = 0;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service == id("victim")
            {
                let progress = beat.progress.unwrap();
                assert!(progress > last);
                last = progress;
            }
            (last >= 20).then_some(())
        })
        .await;
    assert!(begun.elapsed() < Duration::from_secs(55), "each was told, none was found by looking");
    house.figures(|tally| tally.of(Way::File).malformed > 0).await;
    for sender in [&mut junk, &mut victim] {
        let _ = sender.kill();
        sender.wait().unwrap();
    }
}

#[tokio::test]
async fn a_page_full_of_junk_or_cut_short_harms_its_own_service_alone() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    let mut junk = start(plan.sender("junk-memory", "orders", 1000, 20));
    let victim = start(plan.sender("memory", "victim", 40, 20));
    let mut last = 0;
    house
        .until(|input| {
            if let Input::Beat(beat) = input
                && beat.service.as_str() == "victim"
            {
                let progress = beat.progress.unwrap();
                assert!(progress > last);
                last = progress;
            }
            (last == 40).then_some(())
        })
        .await;
    house.figures(|tally| tally.of(Way::Memory).malformed > 0).await;
    let _ = junk.kill();
    junk.wait().unwrap();
    drop(victim);
    // And the page is laid out anew for the next sender.
    let sent = run(plan.sender("memory", "orders", 1, 0)).await;
    if !sent.status.success() {
        // Junk may be the last word: then the page is made anew with the next lifesign.
        house.stop().await;
        house = plan.build().await;
        assert!(run(plan.sender("memory", "orders", 1, 0)).await.status.success());
    }
    house
        .until(|input| match input {
            Input::Beat(beat) => (beat.progress == Some(1) && beat.service == id("orders")).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_page_outlives_lifesign_and_an_old_beat_is_no_sign_of_life() {
    let plan = Plan::new();
    let mut house = plan.build().await;
    assert!(run(plan.sender("memory", "orders", 3, 10)).await.status.success());
    house.beat().await;
    let last = house.stop().await;
    drop(last);
    let mut sender = start(plan.sender("memory", "victim", 2000, 10));
    let mut house = plan.build().await;
    // The sender had the page before this lifesign came.
    assert_eq!(house.beat().await.service, id("victim"));
    for _ in 0..20 {
        assert_eq!(
            house.beat().await.service,
            id("victim"),
            "orders has been silent since the last lifesign"
        );
    }
    // Its folder is emptied, as systemd does with a runtime directory; the sender finds the new page by itself.
    house.stop().await;
    std::fs::remove_dir_all(&plan.setup.place.dir).unwrap();
    let mut house = plan.build().await;
    assert_eq!(house.beat().await.service, id("victim"));
    sender.kill().unwrap();
    sender.wait().unwrap();
}

#[test]
fn a_program_without_lifesign_is_told_what_was_tried() {
    let refused = Pulse::by(&lifesign_client::Way::ALL, "no-such-service-here").unwrap_err().to_string();
    assert!(refused.contains("memory: ") && refused.contains("socket: "), "{refused}");
    assert!(Pulse::by(&lifesign_client::Way::ALL, "No Id").unwrap_err().to_string().contains("no id"));
}
