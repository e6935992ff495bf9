//! What is written comes back: to the next life, to the outbox, to those who read the past.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::*;
use lifesign_core::effect::{Alert, AlertState, Effect, Incident, Notification, TimelineEntry};
use lifesign_core::model::{IncidentId, State};
use lifesign_store::{IncidentQuery, MAX_TIMELINE, SendState, Store};

#[test]
fn an_empty_store_has_no_past_and_begins_with_incident_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, past) = open(&dir.path().join("made/on/the/way"));
    assert_eq!(past.next_incident, 1);
    assert!(past.memories.is_empty() && past.incidents.is_empty() && past.notified.is_empty());
}

#[test]
fn the_next_life_knows_memories_open_incidents_alerts_and_who_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let first = notification("n1", "hook", "web");
    let second = notification("n2", "hook", "web");
    let other_group = notification("n3", "hook", "db");
    write(
        &store,
        vec![
            Effect::Incident(incident(1, "web", None)),
            line(1, "opened"),
            Effect::Incident(incident(2, "db", Some(at(2000)))),
            line(2, "opened"),
            Effect::Remember(memory("web", Some(1))),
            Effect::Alert(alert("f1", AlertState::Firing)),
            Effect::Alert(alert("f2", AlertState::Firing)),
            Effect::Notify(first.clone()),
            Effect::Notify(second.clone()),
            Effect::Notify(other_group.clone()),
            Effect::Alert(alert("f2", AlertState::Resolved)),
            line(1, "notified"),
        ],
    )
    .unwrap();
    drop(store);

    let (_store, past) = open(dir.path());
    assert_eq!(past.memories, [memory("web", Some(1))]);
    assert_eq!(past.next_incident, 3);
    let [(record, timeline)] = &*past.incidents else { panic!("{:?}", past.incidents) };
    assert_eq!(*record, incident(1, "web", None));
    assert_eq!(timeline.iter().map(|line| &*line.what).collect::<Vec<_>>(), ["opened", "notified"]);
    assert_eq!(past.alerts, [alert("f1", AlertState::Firing)]);
    assert_eq!(past.notified, [second, other_group]);
}

#[test]
fn notifications_are_due_in_order_for_each_receiver_until_they_are_marked() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![notify("a", "hook"), notify("b", "mail"), notify("c", "hook")]).unwrap();
    assert_eq!(due_ids(&store, "hook"), ["a", "c"]);
    assert_eq!(due_ids(&store, "mail"), ["b"]);
    assert_eq!(store.waiting(), [("hook".into(), 2), ("mail".into(), 1)]);

    // A failed attempt holds back those behind it until its time comes.
    block_on(store.begin_attempt("a")).unwrap();
    block_on(store.mark_attempt("a", 1, at(5000), "503")).unwrap();
    assert!(block_on(store.due("hook", at(4000), 9)).unwrap().is_empty());
    assert_eq!(store.next_due("hook", at(4000)), Some(std::time::Duration::from_secs(1)));

    block_on(store.mark_delivered("a", at(5001), "200")).unwrap();
    block_on(store.mark_refused("b", at(5002), "550 no such user")).unwrap();
    assert_eq!(due_ids(&store, "hook"), ["c"]);
    assert_eq!(store.next_due("mail", LATER), None);

    let page = block_on(store.notifications(None, 10)).unwrap();
    let seen: Vec<_> = page
        .items
        .iter()
        .map(|sent| (&*sent.notification.id, sent.state, sent.attempts, sent.last_answer.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("c", SendState::Pending, 0, None),
            ("b", SendState::Refused, 0, Some("550 no such user")),
            ("a", SendState::Delivered, 1, Some("200")),
        ]
    );
}

#[test]
fn a_notification_with_a_known_id_is_not_taken_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![notify("a", "hook")]).unwrap();
    write(&store, vec![notify("a", "hook")]).unwrap();
    assert_eq!(due_ids(&store, "hook"), ["a"]);
    block_on(store.mark_delivered("a", at(2000), "200")).unwrap();
    write(&store, vec![notify("a", "hook")]).unwrap();
    drop(store);

    let (store, _) = open(dir.path());
    write(&store, vec![notify("a", "hook")]).unwrap();
    assert!(due_ids(&store, "hook").is_empty());
    let page = block_on(store.notifications(None, 10)).unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].state, SendState::Delivered);
}

#[test]
fn a_sending_that_was_under_way_at_the_end_is_uncertain_and_its_repeat_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![notify("a", "hook"), notify("b", "hook")]).unwrap();
    block_on(store.begin_attempt("a")).unwrap();
    drop(store);

    let (store, _) = open(dir.path());
    let items = due(&store, "hook");
    assert_eq!(
        items.iter().map(|item| (item.attempts, item.uncertain)).collect::<Vec<_>>(),
        [(1, true), (0, false)]
    );
    block_on(store.begin_attempt("a")).unwrap();
    block_on(store.mark_delivered("a", at(2000), "200")).unwrap();
    block_on(store.begin_attempt("b")).unwrap();
    block_on(store.mark_delivered("b", at(2000), "200")).unwrap();
    assert_eq!(store.figures().repeats, 1);
    let page = block_on(store.notifications(None, 10)).unwrap();
    assert_eq!(
        page.items.iter().map(|sent| (sent.repeats, sent.attempts)).collect::<Vec<_>>(),
        [(0, 1), (1, 2)]
    );
}

#[test]
fn incidents_come_in_pages_newest_first_by_state_and_by_service() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let effects = (1..=25)
        .map(|id| {
            let closed = (id % 5 != 0).then(|| at(9000));
            Effect::Incident(incident(id, if id % 2 == 0 { "web" } else { "db" }, closed))
        })
        .collect();
    write(&store, effects).unwrap();

    assert_eq!(walk(&store, IncidentQuery::default()), (1..=25).rev().collect::<Vec<u64>>());
    let open = IncidentQuery { open: Some(true), service: None };
    assert_eq!(walk(&store, open), [25, 20, 15, 10, 5]);
    let closed_web = IncidentQuery { open: Some(false), service: Some(service("web")) };
    assert_eq!(walk(&store, closed_web), [24, 22, 18, 16, 14, 12, 8, 6, 4, 2]);
}

fn walk(store: &Store, query: IncidentQuery) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = block_on(store.incidents(query.clone(), cursor, 4)).unwrap();
        assert!(page.items.len() <= 4);
        seen.extend(page.items.iter().map(|incident| incident.id.0));
        // A cursor survives its way through a URL.
        cursor = match page.next {
            Some(next) => Some(next.to_string().parse().unwrap()),
            None => return seen,
        };
    }
}

#[test]
fn an_incident_is_found_with_its_timeline_and_a_number_nobody_has_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![Effect::Incident(incident(7, "web", None)), line(7, "opened"), line(7, "closed")])
        .unwrap();
    let (record, timeline) = block_on(store.incident(IncidentId(7))).unwrap().unwrap();
    assert_eq!(record.id, IncidentId(7));
    assert_eq!(timeline.iter().map(|line| &*line.what).collect::<Vec<_>>(), ["opened", "closed"]);
    assert_eq!(block_on(store.incident(IncidentId(8))).unwrap(), None);
    assert!(block_on(store.incident(IncidentId(u64::MAX))).is_err());
}

#[test]
fn the_middle_of_a_very_long_timeline_is_folded_into_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut effects = vec![Effect::Incident(incident(1, "web", None))];
    effects.extend((1..=MAX_TIMELINE + 50).map(|n| line(1, &format!("n{n}"))));
    write(&store, effects).unwrap();
    let (_, timeline) = block_on(store.incident(IncidentId(1))).unwrap().unwrap();
    assert_eq!(timeline.len(), MAX_TIMELINE + 1);
    assert_eq!(&*timeline[199].what, "n200");
    assert_eq!(&*timeline[200].what, "folded");
    assert!(timeline[200].detail.starts_with("50 lines"), "{}", timeline[200].detail);
    assert_eq!(&*timeline[201].what, "n251");
    assert_eq!(*timeline.last().unwrap().what, format!("n{}", MAX_TIMELINE + 50));
}

#[test]
fn transitions_and_the_audit_log_are_read_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(
        &store,
        vec![transition("web", 1), transition("db", 2), transition("web", 3), transition("web", 4)],
    )
    .unwrap();
    let seen = block_on(store.transitions(service("web"), at(3), 10)).unwrap();
    assert_eq!(seen.iter().map(|t| millis(t.at)).collect::<Vec<_>>(), [4, 3]);

    block_on(store.append_audit(audit("pause"))).unwrap();
    block_on(store.append_audit(audit("resume"))).unwrap();
    let page = block_on(store.audit(None, 1)).unwrap();
    assert_eq!(page.items, [audit("resume")]);
    let page = block_on(store.audit(page.next, 1)).unwrap();
    assert_eq!((page.items, page.next), (vec![audit("pause")], None));
}

#[test]
fn the_evidence_of_a_change_comes_back_and_too_much_of_it_is_cut_from_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let long = "界".repeat(10_000);
    let Effect::Transition(mut change) = transition("web", 2) else { unreachable!() };
    change.facts = vec![fact("first"), fact(&long), fact(&long), fact(&long), fact("last")];
    write(&store, vec![judged("web", 1, 3), Effect::Transition(change)]).unwrap();
    let seen = block_on(store.transitions(service("web"), at(0), 10)).unwrap();
    assert_eq!(seen[0].facts, [fact("first"), fact(&long), fact(&long)]);
    assert_eq!(seen[1].facts.len(), 3);
    assert_eq!(seen[1].facts[2], fact("sentence 3 of \"web\""));
}

#[test]
fn a_past_moment_is_known_by_the_change_before_it_its_incident_and_who_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let record = incident(1, "web", None);
    let restart = TimelineEntry { at: at(1500), what: "restart_started".into(), detail: String::new() };
    let mine = Alert {
        labels: vec![("alertname".into(), "ServiceDown".into()), ("service".into(), "web".into())],
        ..alert("f1", AlertState::Firing)
    };
    write(
        &store,
        vec![
            judged("web", 500, 1),
            judged("db", 700, 1),
            judged("web", 1000, 2),
            Effect::Incident(record.clone()),
            line(1, "opened"),
            Effect::Timeline { incident: IncidentId(1), entry: restart },
            Effect::Notify(Notification { alerts: vec![mine], ..notification("n1", "hook", "web") }),
            notify("n2", "hook"),
            judged("web", 2000, 3),
            Effect::Incident(Incident { closed_at: Some(at(2000)), ..record }),
        ],
    )
    .unwrap();
    block_on(store.mark_delivered("n1", at(1600), "200")).unwrap();
    let moment = |name, millis| block_on(store.moment(service(name), at(millis))).unwrap();

    let early = moment("web", 499);
    assert_eq!((early.change, early.incident, early.is_known), (None, None, true));
    assert_eq!(early.first, Some((at(500), State::Up)));

    let bad = moment("web", 1400);
    assert_eq!(bad.change.map(|change| change.facts.len()), Some(2));
    let (record, lines) = bad.incident.unwrap();
    assert_eq!(record.id, IncidentId(1));
    assert_eq!(lines.len(), 1, "the restart had not begun");
    assert_eq!(bad.sent.iter().map(|sent| &*sent.notification.id).collect::<Vec<_>>(), ["n1"]);
    assert_eq!(bad.sent[0].finished_at, Some(at(1600)));

    let over = moment("web", 2000);
    assert_eq!(over.change.map(|change| change.facts.len()), Some(3));
    assert_eq!((over.incident, over.sent.len()), (None, 0));

    let nobody = moment("nobody", 2000);
    assert!(!nobody.is_known && nobody.change.is_none() && nobody.first.is_none());
    write(&store, vec![Effect::Remember(memory("new", None))]).unwrap();
    assert!(moment("new", 2000).is_known);
}

#[test]
fn many_batches_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let waiting: Vec<_> = (0..2000).map(|n| store.write(vec![transition("web", n)])).collect();
    block_on(async {
        for written in waiting {
            written.await.unwrap();
        }
    });
    let figures = store.figures();
    assert_eq!((figures.batches, figures.effects, figures.backlog), (2000, 2000, 0));
    assert!(figures.commits < 1000, "{figures:?}");
}

#[test]
fn a_record_the_database_cannot_hold_is_left_out_and_counted_and_the_rest_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(
        &store,
        vec![Effect::Incident(incident(u64::MAX, "web", None)), Effect::Incident(incident(3, "db", None))],
    )
    .unwrap();
    assert_eq!(store.figures().rejected, 1);
    assert_eq!(walk(&store, IncidentQuery::default()), [3]);
}

#[test]
fn a_closed_store_has_written_all_and_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let last = store.write(vec![Effect::Remember(memory("web", None))]);
    block_on(store.close());
    block_on(last).unwrap();
    assert!(write(&store, vec![transition("web", 1)]).unwrap_err().to_string().contains("closed"));
    // The directory is free although a clone is still around.
    let (_next, past) = open(dir.path());
    assert_eq!(past.memories, [memory("web", None)]);
}
