//! While the disk refuses: callers are told at once, everything stays in order, and is written in the end.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;

use common::*;
use lifesign_core::effect::Effect;
use lifesign_core::model::IncidentId;
use lifesign_store::Store;
use rusqlite::Connection;

/// Another program's lock, as a careless `sqlite3` session would hold it.
fn lock(dir: &Path) -> Connection {
    let db = Connection::open(dir.join("lifesign.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    db
}

fn recovered(store: &Store) {
    wait_for("the store writes again", || store.health().trouble.is_none() && store.health().waiting == 0);
}

#[test]
fn a_locked_file_defers_writes_says_so_and_gets_all_of_them_in_order_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![transition("web", 1)]).unwrap();
    let other = lock(dir.path());

    let deferred =
        write(&store, vec![Effect::Incident(incident(1, "web", None)), line(1, "opened")]).unwrap_err();
    assert!(deferred.to_string().contains("lock"), "{deferred}");
    let trouble = store.health().trouble.unwrap();
    assert!(trouble.what.contains("lifesign.db"), "{}", trouble.what);
    for n in 2..=50 {
        // Told at once, without waiting for another attempt.
        write(&store, vec![transition("web", n), line(1, &format!("n{n}"))]).unwrap_err();
    }
    assert_eq!(store.health().trouble.unwrap().since, trouble.since);
    assert_eq!(store.health().waiting, 2 + 49 * 2);

    drop(other);
    recovered(&store);
    let seen = block_on(store.transitions(service("web"), at(0), 100)).unwrap();
    assert_eq!(seen.iter().map(|t| millis(t.at)).collect::<Vec<_>>(), (1..=50).rev().collect::<Vec<_>>());
    let (_, timeline) = block_on(store.incident(IncidentId(1))).unwrap().unwrap();
    let expected: Vec<_> =
        std::iter::once("opened".to_owned()).chain((2..=50).map(|n| format!("n{n}"))).collect();
    assert_eq!(timeline.iter().map(|line| line.what.to_string()).collect::<Vec<_>>(), expected);
    write(&store, vec![transition("web", 51)]).unwrap();
}

#[test]
fn notifications_go_out_while_the_disk_refuses_and_none_is_handed_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![notify("before", "hook")]).unwrap();
    let other = lock(dir.path());

    write(&store, vec![notify("during", "hook")]).unwrap_err();
    assert_eq!(due_ids(&store, "hook"), ["before", "during"]);
    block_on(store.begin_attempt("before")).unwrap_err();
    block_on(store.mark_delivered("before", at(2000), "200")).unwrap_err();
    assert_eq!(due_ids(&store, "hook"), ["during"]);
    block_on(store.mark_delivered("during", at(2001), "200")).unwrap_err();
    write(&store, vec![notify("during", "hook")]).unwrap_err();
    assert!(due_ids(&store, "hook").is_empty());

    drop(other);
    recovered(&store);
    drop(store);
    let (store, _) = open(dir.path());
    assert!(due_ids(&store, "hook").is_empty());
    assert_eq!(block_on(store.notifications(None, 10)).unwrap().items.len(), 2);
}

#[test]
fn a_store_that_is_closed_while_the_disk_refuses_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let other = lock(dir.path());
    write(&store, vec![transition("web", 1)]).unwrap_err();
    drop(store);
    drop(other);
    open(dir.path());
}
