//! The OS service or supervised process of a service: `unit`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::decode::Decode;
use crate::fields::{Cx, Fields};
use crate::node::{Node, Value};
use crate::quantity::Bytes;
use crate::record;
use crate::record::Record;
use crate::secret::Quiet;

/// Longest name of a systemd unit (systemd's own limit) or of a Windows service, in characters.
const MAX_NAME: usize = 255;

/// What the OS runs for a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// A systemd unit, with its ending.
    Systemd(String),
    /// A service of the Windows service control manager.
    Scm(String),
    /// A process that lifesign itself starts and watches.
    Process(Process),
}

record! {
    /// A process that lifesign itself starts, watches and stops.
    pub struct Process {
        /// The program and its arguments. A program with a `/` in it starts at the folder of this file, one without is looked for in `PATH`; `${self}` is the running lifesign.
        process: Vec<Quiet> [1..=1000],
        /// The folder it runs in; the folder of this file where unset.
        cwd: PathBuf = ".",
        /// Environment variables beside those of lifesign.
        env: BTreeMap<String, Quiet> = {},
        /// How long it may take to stop by itself before it is killed.
        stop_timeout: Duration [Duration::from_millis(100)..=Duration::from_secs(3600)] = "10s",
        /// How much of its last output is kept.
        output: Bytes [1024..=16_777_216] = "64KiB",
    }
    check Process::check
}

impl Process {
    /// The program and its arguments, `${self}` replaced by the path of the running executable.
    pub fn argv(&self, executable: &Path) -> Vec<String> {
        let executable = executable.to_string_lossy();
        self.process.iter().map(|argument| argument.expose().replace("${self}", &executable)).collect()
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let argv = node.get("process");
        let Some(Value::List(items)) = argv.map(|argv| &argv.value) else { return };
        if self.process.first().is_some_and(|program| program.expose().is_empty())
            && let Some(first) = items.first()
        {
            cx.expected(first, "the name of a program");
        }
        for (item, argument) in items.iter().zip(&self.process) {
            if argument.expose().contains('\0') {
                cx.error(item.span, "an argument cannot hold a NUL character");
            }
        }
        if let Some(Value::Map(entries)) = node.get("env").map(|env| &env.value) {
            for entry in entries {
                if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                    cx.error(entry.key_span, "this cannot be the name of an environment variable");
                }
            }
        }
    }
}

impl Unit {
    /// The unit in words: `systemd orders.service`, `process ./orders`.
    pub fn words(&self) -> String {
        match self {
            Self::Systemd(name) => format!("systemd {name}"),
            Self::Scm(name) => format!("scm {name}"),
            Self::Process(process) => {
                let program = process.process.first().map(Quiet::shown).unwrap_or_default();
                let second = process.process.get(1).filter(|_| program == "${self}").map(Quiet::shown);
                let third = process.process.get(2).filter(|_| program == "${self}").map(Quiet::shown);
                let program = if program == "${self}" { "lifesign" } else { program };
                [Some("process"), Some(program), second, third]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        }
    }
}

/// The name of a unit. systemd units without an ending are services, as for `systemctl`, and have `\x2d` for
/// letters that a name cannot have; Windows allows no `\`.
fn name(node: &Node, is_scm: bool, cx: &mut Cx) -> Option<String> {
    let text = node.text().filter(|text| {
        !text.is_empty()
            && text.chars().count() <= MAX_NAME
            && !text.chars().any(|c| c.is_control() || c == '/' || (is_scm && c == '\\'))
    });
    if text.is_none() {
        cx.expected(node, "the name of a unit such as `orders.service`");
    }
    text.map(str::to_owned)
}

fn systemd(name: String) -> Unit {
    Unit::Systemd(if name.contains('.') { name } else { format!("{name}.service") })
}

impl Decode for Unit {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if let Value::Text(_) = node.value {
            // A bare name is a service of the machine the file is read on.
            let is_scm = std::env::consts::OS == "windows";
            let name = name(node, is_scm, cx)?;
            return Some(if is_scm { Self::Scm(name) } else { systemd(name) });
        }
        let mut fields = Fields::of(node, &Self::what(), cx)?;
        let kinds = ["systemd", "scm", "process"];
        let named: Vec<_> = kinds.into_iter().filter(|kind| node.get(kind).is_some()).collect();
        let unit = match named.as_slice() {
            ["process"] => {
                Process::from_fields(&mut fields, cx).map(|process| Self::Process(process.at_home(cx)))
            }
            [kind] => {
                let entry = fields.take(kind)?;
                let name = name(&entry.node, *kind == "scm", cx);
                if *kind == "scm" { name.map(Self::Scm) } else { name.map(systemd) }
            }
            [] => {
                for kind in kinds {
                    fields.take(kind);
                }
                if node.value == Value::Map(Vec::new()) {
                    cx.error(node.span, "this unit does not say what it is")
                        .hint("`systemd`, `scm` or `process`");
                }
                None
            }
            [_, second, ..] => {
                let span = node.entry(second).map_or(node.span, |entry| entry.key_span);
                cx.error(span, "a unit is one of `systemd`, `scm`, `process`, not several");
                return None;
            }
        };
        fields.finish(cx);
        unit
    }

    fn what() -> String {
        "a unit such as `orders.service`, `{ scm: Orders }` or `{ process: [./orders] }`".to_owned()
    }

    fn schema() -> Json {
        let mut process = Process::schema();
        process["description"] = json!("A process that lifesign itself starts, watches and stops.");
        let named = |kind: &str, what: &str| {
            json!({
                "type": "object",
                "description": what,
                "properties": { kind: { "type": "string", "minLength": 1, "maxLength": MAX_NAME } },
                "required": [kind],
                "additionalProperties": false,
            })
        };
        json!({ "x-type": "[unit](#units)", "anyOf": [
            { "type": "string", "minLength": 1, "maxLength": MAX_NAME },
            named("systemd", "A systemd unit."),
            named("scm", "A service of the Windows service control manager."),
            process,
        ] })
    }
}

impl Process {
    /// A relative program starts at the folder of the configuration file.
    fn at_home(mut self, cx: &Cx) -> Self {
        if let Some(program) = self.process.first_mut() {
            let text = program.expose();
            if text.contains(['/', '\\']) && !text.contains("${self}") {
                *program = program.with(cx.resolve(text).to_string_lossy().into_owned());
            }
        }
        self
    }
}
