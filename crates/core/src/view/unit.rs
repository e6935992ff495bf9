//! What the service manager knows of a service's unit, in its own words beside ours.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{About, Fact};
use crate::evidence::UnitFacts;

/// Most names of neighbours that one sentence lists.
const MAX_LISTED: usize = 8;

/// The unit of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitView {
    /// Its name, as configured.
    pub name: Arc<str>,
    /// Its state in the OS's words; empty before the first look.
    pub os: String,
    /// What else people should know of it, one English sentence each: holes in the OS's own recovery policy, a
    /// restart of the OS's own that is under way.
    pub notes: Vec<String>,
    /// The rest; `None` while it has not been asked for yet, and of processes that lifesign itself supervises.
    pub facts: Option<UnitFacts>,
}

impl UnitView {
    /// The codes of [`UnitView::facts`], for the translations' test. Variables in the comments.
    pub const CODES: &'static [&'static str] = &[
        "unit-title",       // title
        "unit-says",        // os
        "unit-since",       // since
        "unit-start",       // start, os
        "unit-exit",        // how
        "unit-restarts",    // count
        "unit-needs",       // names
        "unit-needed-by",   // names
        "unit-recovery",    // words
        "unit-no-recovery", //
        "unit-program",     // program
        "unit-account",     // account
        "unit-changed",     // what, at
        "unit-note",        // note
    ];

    /// The same in sentences.
    pub fn sentences(&self) -> Vec<Fact> {
        let mut said = Vec::new();
        let mut say = |code, args: &[(&str, &str)], text: String| said.push(fact(code, args, text));
        if let Some(facts) = &self.facts
            && !facts.title.is_empty()
        {
            say("unit-title", &[("title", &facts.title)], format!("It calls itself \"{}\".", facts.title));
        }
        if !self.os.is_empty() {
            say("unit-says", &[("os", &self.os)], format!("The system says: {}.", self.os));
        }
        if let Some(facts) = &self.facts {
            if let Some(since) = facts.since {
                let since = since.to_string();
                say("unit-since", &[("since", &since)], format!("It has been so since {since}."));
            }
            let text = format!("Start type: {} (the system says {}).", facts.start, facts.start_os);
            say("unit-start", &[("start", &facts.start), ("os", &facts.start_os)], text);
            if let Some(how) = facts.exit.in_words() {
                say("unit-exit", &[("how", &how)], format!("It last ended with {how}."));
            }
            if let Some(count) = facts.restarts.filter(|count| *count > 0) {
                let count = count.to_string();
                let text = format!(
                    "The system itself has restarted it {count} times since somebody last started it."
                );
                say("unit-restarts", &[("count", &count)], text);
            }
            for (code, names, verb) in
                [("unit-needs", &facts.needs, "It needs"), ("unit-needed-by", &facts.needed_by, "Needed by")]
            {
                if !names.is_empty() {
                    let names = listed(names);
                    say(code, &[("names", &names)], format!("{verb} {names}."));
                }
            }
            for (code, value, verb) in
                [("unit-program", &facts.program, "It runs"), ("unit-account", &facts.account, "It runs as")]
            {
                if !value.is_empty() {
                    let name = code.trim_start_matches("unit-");
                    say(code, &[(name, value)], format!("{verb} {value}."));
                }
            }
            match &facts.recovery {
                Some(words) => {
                    say("unit-recovery", &[("words", words)], format!("The system's own recovery: {words}."));
                }
                None => {
                    let text = "The system offers no recovery of its own.".to_owned();
                    say("unit-no-recovery", &[], text);
                }
            }
        }
        for (setting, at) in self.facts.iter().flat_map(|facts| &facts.changed) {
            let (what, at) = (setting.word(), at.to_string());
            let text = format!("Changed while it was watched: {what} (noticed {at}).");
            say("unit-changed", &[("what", what), ("at", &at)], text);
        }
        for note in &self.notes {
            say("unit-note", &[("note", note)], format!("Note: {note}."));
        }
        said
    }
}

/// `a, b, c and 4 more`
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => shown,
        more => format!("{shown} (+{more})"),
    }
}

fn fact(code: &'static str, args: &[(&str, &str)], text: String) -> Fact {
    debug_assert!(UnitView::CODES.contains(&code), "{code} is not in CODES");
    let args = args.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
    Fact { about: About::Unit, code: code.into(), args, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ExitCodes;
    use crate::evidence::Setting;
    use crate::time::Wall;

    #[test]
    fn everything_that_is_known_is_a_sentence_and_nothing_else_is() {
        let bare = UnitView { name: "shop".into(), os: "running".to_owned(), notes: Vec::new(), facts: None };
        let texts = |view: &UnitView| view.sentences().into_iter().map(|fact| fact.text).collect::<Vec<_>>();
        assert_eq!(texts(&bare), ["The system says: running."]);
        let facts = UnitFacts {
            title: "The shop".to_owned(),
            start: "automatic".to_owned(),
            start_os: "enabled".to_owned(),
            since: Some(Wall::from_millis(0)),
            exit: ExitCodes { result: Some("signal".to_owned()), signal: Some(9), ..ExitCodes::default() },
            restarts: Some(2),
            needs: (0..10).map(|n| format!("n{n}")).collect(),
            needed_by: vec!["web.service".to_owned()],
            recovery: Some("Restart=no".to_owned()),
            program: "/opt/shop --port 80".to_owned(),
            account: "shop".to_owned(),
            changed: vec![(Setting::Account, Wall::from_millis(0))],
        };
        let view = UnitView {
            notes: vec!["systemd itself starts it again in 3s".to_owned()],
            facts: Some(facts),
            ..bare
        };
        assert_eq!(
            texts(&view),
            [
                "It calls itself \"The shop\".",
                "The system says: running.",
                "It has been so since 1970-01-01T00:00:00.000Z.",
                "Start type: automatic (the system says enabled).",
                "It last ended with Result=signal, signal 9.",
                "The system itself has restarted it 2 times since somebody last started it.",
                "It needs n0, n1, n2, n3, n4, n5, n6, n7 (+2).",
                "Needed by web.service.",
                "It runs /opt/shop --port 80.",
                "It runs as shop.",
                "The system's own recovery: Restart=no.",
                "Changed while it was watched: account (noticed 1970-01-01T00:00:00.000Z).",
                "Note: systemd itself starts it again in 3s.",
            ]
        );
    }

    #[test]
    fn an_end_is_told_in_the_systems_own_numbers_and_success_not_at_all() {
        let windows = |win32, specific| ExitCodes { win32: Some(win32), specific, ..ExitCodes::default() };
        assert_eq!(windows(0, None).in_words(), None);
        assert_eq!(windows(1077, None).in_words(), None);
        assert_eq!(windows(1067, None).in_words().unwrap(), "Win32 code 1067");
        assert_eq!(windows(1066, Some(42)).in_words().unwrap(), "Win32 code 1066 (service-specific 42)");
        let systemd = |result: &str, status| ExitCodes {
            result: Some(result.to_owned()),
            status,
            ..ExitCodes::default()
        };
        assert_eq!(systemd("success", Some(0)).in_words(), None);
        assert_eq!(systemd("exit-code", Some(3)).in_words().unwrap(), "Result=exit-code, exit code 3");
    }
}
