//! On file systems that are full or read-only.
//!
//! Each test runs its other half, `inside_…`, in a mount namespace of its own, where everybody may mount
//! and nobody else sees it. A read-only mount stands in for missing rights because those do not stop root.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use common::*;
use lifesign_core::effect::{AlertState, Effect};
use lifesign_store::{OpenError, Options, Store};

fn run_inside(test: &str) {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", test])
        .output()
        .expect("unshare is missing: apt install util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn mount(at: &Path, options: &str) {
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "none"])
        .arg(at)
        .status()
        .expect("mount is missing: apt install mount");
    assert!(done.success(), "a tmpfs could not be mounted on {}", at.display());
}

#[test]
fn a_read_only_directory_is_refused_with_the_way_out() {
    run_inside("inside_a_read_only_directory");
}

#[test]
#[ignore = "the other half of a_read_only_directory_is_refused_with_the_way_out"]
fn inside_a_read_only_directory() {
    let dir = tempfile::tempdir().unwrap();
    mount(dir.path(), "ro,size=1m");
    for data in [dir.path().to_owned(), dir.path().join("below")] {
        let error = Store::open(&data, Options::default()).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("server.data_dir"), "{error}");
    }
}

#[test]
fn a_full_disk_defers_writes_and_gets_all_of_them_when_there_is_room() {
    run_inside("inside_a_full_disk");
}

#[test]
#[ignore = "the other half of a_full_disk_defers_writes_and_gets_all_of_them_when_there_is_room"]
fn inside_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    mount(dir.path(), "size=2m");
    let (store, _) = open(dir.path());
    write(&store, vec![Effect::Alert(alert("f", AlertState::Firing)), transition("web", 1)]).unwrap();

    let ballast = dir.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut written = 1;
    // Room that the log already has may take a few more.
    wait_for("the disk is full", || {
        written += 1;
        write(&store, vec![transition("web", written)]).is_err()
    });
    let trouble = store.health().trouble.unwrap();
    assert!(trouble.what.contains("full"), "{}", trouble.what);
    for _ in 0..20 {
        written += 1;
        write(&store, vec![transition("web", written), notify(&written.to_string(), "hook")]).unwrap_err();
    }
    assert_eq!(due(&store, "hook").len(), 20);
    // What was written before can still be read.
    assert!(!block_on(store.transitions(service("web"), at(0), 1)).unwrap().is_empty());

    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    wait_for("the store writes again", || {
        let health = store.health();
        health.trouble.is_none() && health.waiting == 0
    });
    let seen = block_on(store.transitions(service("web"), at(0), 1000)).unwrap();
    assert_eq!(
        seen.iter().map(|t| millis(t.at)).collect::<Vec<_>>(),
        (1..=written).rev().collect::<Vec<_>>()
    );
    assert_eq!(store.figures().dropped, 0);
    drop(store);
    let (store, past) = open(dir.path());
    assert_eq!(past.alerts.len(), 1);
    assert_eq!(due(&store, "hook").len(), 20);
}
