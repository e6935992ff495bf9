//! Units of the system that are watched without being named one by one: `discover`.

use lifesign_core::model::ServiceId;

use crate::config::Config;
use crate::decode::Located;
use crate::record;
use crate::service::{Restart, Service};
use crate::unit::Unit;

/// Longest id that is made from the name of a unit, so that a number still fits behind it.
const MAX_ID: usize = 120;

record! {
    /// Units of the system that are watched although no service names them: all that start by themselves, run until they are stopped, and fit a pattern.
    pub struct Discover {
        /// Names of units to watch, `*` for any letters: `nginx*`, `MSSQL$*`, `*` for all. Capitals and small letters are the same; a systemd unit fits with and without its `.service`.
        include: Vec<String> [0..=1000] = [],
        /// Names of units to leave out all the same.
        exclude: Vec<String> [0..=1000] = [],
        /// How they may be restarted; absent: never.
        restart: Option<Restart>,
    }
}

impl Discover {
    /// Whether anything is to be looked for.
    pub fn is_wanted(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether a unit of this name is to be watched.
    pub fn takes(&self, name: &str) -> bool {
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, name));
        fits(&self.include) && !fits(&self.exclude)
    }
}

/// Whether a unit's name fits a pattern.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let short = name.strip_suffix(".service").unwrap_or(&name);
    crate::spec::matches(&pattern, &name) || crate::spec::matches(&pattern, short)
}

/// An id made from the name of a unit: `MSSQL$X` becomes `mssql-x`, `nginx.service` becomes `nginx`. `None` for a
/// name without any letter or digit.
pub fn id_of(unit: &str) -> Option<ServiceId> {
    let short = unit.strip_suffix(".service").unwrap_or(unit).to_ascii_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let id: String = short.chars().map(allowed).take(MAX_ID).collect();
    ServiceId::new(id.trim_matches(|c: char| !c.is_ascii_alphanumeric())).ok()
}

impl<C, R> Config<C, R> {
    /// Watches these units as well, unless a service names them already. Gives the ids they got.
    pub fn watch_units(&mut self, units: impl IntoIterator<Item = Unit>) -> Vec<ServiceId> {
        let mut added = Vec::new();
        for unit in units {
            let (Unit::Systemd(name) | Unit::Scm(name)) = &unit else { continue };
            let is_named = self.services.iter().any(|service| {
                matches!(&service.keys.unit, Some(Unit::Systemd(known) | Unit::Scm(known)) if is_same(known, name))
            });
            let Some(id) = id_of(name).filter(|_| !is_named).and_then(|id| self.free_id(&id)) else {
                continue;
            };
            let mut service = Service { keys: self.discovered.clone(), checks: Vec::new() };
            service.keys.id = Located { value: id.clone(), span: service.keys.id.span };
            service.keys.unit = Some(unit);
            service.keys.restart = self.discover.restart.clone();
            self.services.push(service);
            added.push(id);
        }
        added
    }

    /// This id, or the first like it that no service has.
    fn free_id(&self, id: &ServiceId) -> Option<ServiceId> {
        if self.service(id).is_none() {
            return Some(id.clone());
        }
        let numbered = |number: u32| ServiceId::new(&format!("{id}-{number}")).ok();
        (2..1000).filter_map(numbered).find(|id| self.service(id).is_none())
    }
}

/// Whether two names mean the same unit.
fn is_same(one: &str, other: &str) -> bool {
    let short = |name: &str| name.strip_suffix(".service").unwrap_or(name).to_lowercase();
    short(one) == short(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_names_of_both_systems() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("nginx*", "nginx.service", true),
            ("nginx", "nginx.service", true),
            ("nginx.service", "nginx.service", true),
            ("nginx", "nginx-debug.service", false),
            ("MSSQL$*", "mssql$x", true),
            ("mssql$*", "MSSQLX", false),
            ("*sql*", "postgresql@15-main.service", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let discover = Discover { include: of(&["*"]), exclude: of(&["sys*", "nginx"]), restart: None };
        assert!(
            discover.takes("web.service") && !discover.takes("SysMain") && !discover.takes("nginx.service")
        );
    }

    #[test]
    fn every_name_becomes_a_legal_id() {
        for (name, id) in [
            ("nginx.service", "nginx"),
            ("MSSQL$X", "mssql-x"),
            ("Print Spooler", "print-spooler"),
            ("odd@a\\x2fb-c.service", "odd-a-x2fb-c"),
            ("-.mount", "mount"),
        ] {
            assert_eq!(id_of(name).unwrap().as_str(), id);
        }
        assert_eq!(id_of("$$$"), None);
        assert!(id_of(&"é".repeat(300)).is_none() && id_of(&"x".repeat(300)).is_some());
    }
}
