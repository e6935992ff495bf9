//! systemd over D-Bus: signals for meaning, a pidfd for speed, a slow poll to reconcile.

mod bus;
mod info;
mod journal;
mod meaning;
mod policy;
mod properties;
mod pulse;
mod tracker;
mod watcher;

use std::borrow::Cow;

pub(crate) use bus::{Link, Session, keep};
pub(crate) use info::{info, start_type};
pub(crate) use meaning::{state, words};
pub(crate) use properties::Properties;
pub(crate) use pulse::Pulse;
pub(crate) use watcher::Watcher;

/// The suffixes that systemd knows (`systemd.unit(5)`).
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".target",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".timer",
    ".path",
    ".slice",
    ".scope",
];

/// The full name of a unit: without a suffix a service is meant, as with `systemctl`.
pub(crate) fn full_name(name: &str) -> Cow<'_, str> {
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{name}.service"))
    }
}

/// Whether systemd says that no such unit exists, or could.
pub(crate) fn means_not_found(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::MethodError(name, _, _) => name.as_str() == "org.freedesktop.systemd1.NoSuchUnit",
        // A name that systemd holds for illegal.
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::InvalidArgs(_)),
        _ => false,
    }
}
