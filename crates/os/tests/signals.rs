//! Signals sent to this very process. A file of its own, since they concern every test in it.
#![cfg(target_os = "linux")]

use std::process::Command;

use lifesign_os::signal::{Signal, Signals};

#[tokio::test]
async fn signals_ask_for_a_stop_or_a_reload_and_no_longer_end_the_process() {
    let mut signals = Signals::new().unwrap();
    for (name, expected) in [("HUP", Signal::Reload), ("TERM", Signal::Stop), ("INT", Signal::Stop)] {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
        assert_eq!(signals.next().await, expected, "SIG{name}");
    }
}
