//! Mounts for one test alone.
//!
//! A test that needs mounts runs its other half, `inside_…`, in a mount namespace of its own, where everybody
//! may mount and nobody else sees it; the mounts go with the namespace, however the test ends.

use std::path::Path;
use std::process::Command;

/// Runs the ignored test of this name in a mount namespace of its own.
#[track_caller]
pub fn run_inside(test: &str) {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .output()
        .expect("unshare is missing: apt install util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// A file system in memory.
#[track_caller]
pub fn tmpfs(at: &Path, size: &str) {
    mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], at);
}

/// From now on nobody can write below `at`, not even root.
#[track_caller]
pub fn make_read_only(at: &Path) {
    mount(&["--bind", at.to_str().unwrap()], at);
    mount(&["-o", "remount,bind,ro"], at);
}

#[track_caller]
fn mount(what: &[&str], at: &Path) {
    let done =
        Command::new("mount").args(what).arg(at).status().expect("mount is missing: apt install mount");
    assert!(done.success(), "mount {what:?} on {} failed", at.display());
}
