//! A loop that is held up does not make anybody late: news counts from the moment it was queued.

use std::sync::mpsc;
use std::time::Duration;

use lifesign_core::engine::Answer;
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::{ServiceId, State};
use lifesign_core::spec::{HeartbeatSpec, Mode, Spec};
use lifesign_server::engine::EngineHandle;

use crate::house::{Hand, House, Plan, service, wait_for};

const SECOND: u64 = 1000;

/// Holds the loop up until what is returned is dropped.
pub(crate) async fn hold_up(engine: &EngineHandle) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (held, is_held) = tokio::sync::oneshot::channel();
    let engine = engine.clone();
    tokio::spawn(async move {
        engine
            .read(move |_, _| {
                held.send(()).unwrap();
                // An error is the release: the other side has been dropped.
                let _released = released.recv();
            })
            .await
    });
    is_held.await.unwrap();
    release
}

fn plan(hand: &Hand, ids: &[&str]) -> Plan {
    let mut spec = Spec { services: ids.iter().map(|id| service(id)).collect(), ..Spec::default() };
    for service in &mut spec.services {
        service.unit = None;
        service.restart = None;
        service.heartbeat = Some(HeartbeatSpec {
            interval: Duration::from_secs(1),
            mode: Mode::Fixed,
            timeout: Duration::from_secs(3),
            retries: 2,
            ..HeartbeatSpec::never()
        });
    }
    Plan { spec, clock: Some(hand.clock()), ..Plan::default() }
}

fn beat(id: &str) -> Beat {
    Beat::alive(ServiceId::new(id).unwrap())
}

async fn history(house: &House) -> Vec<(String, String)> {
    let list = house.get("/api/v1/incidents").await.json();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|incident| {
            let text = |key: &str| incident[key].as_str().unwrap().to_owned();
            (text("service_id"), text("opened_at"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_loop_held_up_for_longer_than_a_timeout_while_heartbeats_queue_up_kills_nobody() {
    let hand = Hand::new();
    let house = House::build(plan(&hand, &["orders", "local", "silent"])).await;
    let engine = house.state.engine.clone();
    for id in ["orders", "local", "silent"] {
        assert_eq!(engine.beats(vec![beat(id)]).await.unwrap(), [Answer::Beat(State::Up)]);
    }

    let release = hold_up(&engine).await;
    let mut answers = Vec::new();
    for round in 1..=60 {
        hand.advance(SECOND);
        let sender = engine.clone();
        answers.push(tokio::spawn(async move { sender.beats(vec![beat("orders")]).await }));
        // One comes as a request, the other by way of the agent.
        wait_for("the heartbeat to be queued", async || (engine.waiting() == round).then_some(())).await;
        house.agent.send(Input::Beat(beat("local"))).await.unwrap();
        wait_for("the agent's to be taken", async || {
            (house.agent.capacity() == house.agent.max_capacity()).then_some(())
        })
        .await;
    }
    drop(release);

    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap(), [Answer::Beat(State::Up)]);
    }
    house.wait_for_state("silent", "down").await;
    for id in ["orders", "local"] {
        let view = house.get(&format!("/api/v1/services/{id}")).await.json();
        assert_eq!((&view["state"], &view["reason"]), (&"up".into(), &serde_json::Value::Null));
    }
    let opened = history(&house).await;
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0].0, "silent", "the one that was silent is found all the same");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stretch_in_which_nothing_could_be_queued_is_held_against_nobody() {
    let hand = Hand::new();
    let house = House::build(plan(&hand, &["orders"])).await;
    let engine = house.state.engine.clone();
    engine.beats(vec![beat("orders")]).await.unwrap();
    let release = hold_up(&engine).await;
    // As after a suspend: the clock jumps, and nobody has said anything meanwhile.
    hand.advance(3600 * SECOND);
    drop(release);
    let answers = engine.beats(vec![beat("orders")]).await.unwrap();
    assert_eq!(answers, [Answer::Beat(State::Up)]);
    assert!(history(&house).await.is_empty());
    house.stop().await;
}
