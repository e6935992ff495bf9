//! The text of a unit: what runs, when it is started again, and what it may not do.
//!
//! What is left open, and why, stands in the unit itself, where an administrator asks.

use std::path::Path;

use super::super::{Definition, Kind, StartType};
use super::{Account, MARK, default_data_dir};

/// Where systemd makes a folder for a service at each start.
const RUNTIME: &str = "/run";
/// Begins the line that says what `--processes` said.
const PROGRAMS: &str = "# Programs of its own (--processes): ";

/// The service unit. `groups`: of which its user is a member besides.
pub(super) fn unit(definition: &Definition, account: &Account, groups: &[String]) -> String {
    let kind = definition.kind();
    let mut lines = vec![format!("# {MARK}; own changes belong into `systemctl edit {}`.", definition.name)];
    macro_rules! put { ($($args:tt)+) => { lines.push(format!($($args)+)) } }

    put!("[Unit]");
    put!("Description={}", one_line(&definition.display_name));
    put!("# {}", one_line(&definition.description));
    put!("Wants=network-online.target");
    put!("After=network-online.target");
    if definition.start == StartType::Disabled {
        put!("# Disabled: `lifesign service install --start …` enables it again.");
        put!("RefuseManualStart=yes");
    }
    let [limits, restarts] = definition.recovery.of_unit();
    lines.extend(limits);
    put!("");
    put!("[Service]");
    put!("Type=notify");
    put!("NotifyAccess=main");
    if let Some(file) = &definition.environment_file {
        put!("EnvironmentFile={}", one_line(&file.display().to_string()));
    }
    put!("ExecStart={}", definition.argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
    if kind != Kind::Wrapper {
        put!("ExecReload=/bin/kill -HUP $MAINPID");
    }
    lines.extend(restarts);
    if kind != Kind::Wrapper {
        put!("# 2: the configuration is wrong, and starting again does not mend it.");
        put!("RestartPreventExitStatus=2");
    }
    put!("# Fed only while the work itself makes progress.");
    put!("WatchdogSec=30s");
    put!("TimeoutStartSec=90s");
    put!("TimeoutStopSec=60s");
    if let Some(programs) = definition.programs {
        put!("{PROGRAMS}{}", if programs { "yes" } else { "no" });
    }
    if kind != Kind::Monitor {
        put!("# A supervised program outlives a stop of its supervisor, and the next one adopts it.");
        put!("KillMode=process");
    }
    put!("");
    match account {
        Account::Own(user) | Account::Given(user) => put!("User={user}"),
        Account::Dynamic => put!("DynamicUser=yes"),
    }
    if !groups.is_empty() {
        put!("# To read what dying units leave in the journal, and to let the writers of heartbeats in.");
        put!("SupplementaryGroups={}", groups.join(" "));
    }
    if let Some(folder) = runtime_directory(definition) {
        put!("# Sockets and shared memory of heartbeats. lifesign itself lets in whoever may write.");
        put!("RuntimeDirectory={}", quote(&folder));
        put!("RuntimeDirectoryMode=0711");
        put!("RuntimeDirectoryPreserve=restart");
    }
    let data = &definition.data_dir;
    if *data == default_data_dir(&definition.name) {
        put!("StateDirectory={}", definition.name);
        put!("StateDirectoryMode=0700");
    } else {
        put!("ReadWritePaths={}", quote(&data.display().to_string()));
    }
    for folder in &definition.writes {
        // The minus: a folder that is gone costs the log, not the monitor.
        put!("ReadWritePaths=-{}", quote(&folder.display().to_string()));
    }
    put!("UMask=0077");
    put!("LimitNOFILE=65536");
    put!("");
    for sandbox in sandbox(kind) {
        put!("{sandbox}");
    }
    if kind == Kind::Monitor && definition.agent.as_ref().is_some_and(|agent| agent.writers.is_some()) {
        put!(
            "# Its own sockets it gives to the group of writers; without a capability it can give nothing else away."
        );
        put!("SystemCallFilter=@chown");
    }
    put!("");
    put!("[Install]");
    put!("WantedBy=multi-user.target");
    lines.push(String::new());
    lines.join("\n")
}

/// The folder of local ways as systemd makes it, below its own place; `None`: it lies somewhere else.
fn runtime_directory(definition: &Definition) -> Option<String> {
    let Some(dir) = &definition.agent.as_ref()?.dir else { return Some(definition.name.clone()) };
    let below = dir.strip_prefix(RUNTIME).ok().filter(|below| *below != Path::new(""))?;
    below.to_str().map(str::to_owned)
}

/// What `--processes` said when this unit was written.
pub(super) fn programs(unit: &str) -> Option<bool> {
    unit.lines().find_map(|line| line.strip_prefix(PROGRAMS)).map(|word| word == "yes")
}

/// What the service may not do. See `systemd.exec(5)`; `systemd-analyze security` scores it.
fn sandbox(kind: Kind) -> Vec<&'static str> {
    let mut lines = vec![
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "RestrictRealtime=yes",
        "LockPersonality=yes",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "SystemCallArchitectures=native",
        "# Not ProtectProc= and ProcSubset=: lifesign looks at the processes of others.",
    ];
    match kind {
        Kind::Monitor => lines.extend([
            "MemoryDenyWriteExecute=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged @resources",
            "SystemCallErrorNumber=EPERM",
        ]),
        Kind::Host | Kind::Wrapper => lines.extend([
            "# Not MemoryDenyWriteExecute=, RestrictAddressFamilies= and SystemCallFilter=: the programs it starts",
            "# inherit them, and Java or a browser engine would not run.",
        ]),
    }
    lines
}

/// The timer of a delayed start.
pub(super) fn timer(definition: &Definition) -> String {
    format!(
        "# {MARK}.\n[Unit]\nDescription=Delayed start of {}\n\n[Timer]\nOnBootSec=2min\nAccuracySec=10s\n\n[Install]\n\
         WantedBy=timers.target\n",
        one_line(&definition.display_name)
    )
}

/// The user that a unit of ours runs as.
pub(super) fn user(unit: &str) -> Option<String> {
    unit.lines().find_map(|line| line.strip_prefix("User=")).map(str::to_owned)
}

fn one_line(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of a command line as systemd reads it: `%` and `$` doubled, quotes and backslashes escaped.
fn quote(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        match c {
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            _ => text.push(c),
        }
    }
    let plain = !word.is_empty()
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-=:,+@%$".contains(c) || !c.is_ascii());
    if plain { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::super::super::Agent;
    use super::*;

    fn definition(kind: Kind, start: StartType) -> Definition {
        Definition {
            name: "lifesign".to_owned(),
            display_name: "Lifesign 100%".to_owned(),
            description: "Watches services".to_owned(),
            argv: ["/usr/local/bin/lifesign", "up", "-c", "/etc/lifesign/my file.yaml"]
                .map(str::to_owned)
                .into(),
            start,
            account: None,
            data_dir: "/var/lib/lifesign".into(),
            reads: Vec::new(),
            writes: vec!["/var/log/life sign".into()],
            controls: Vec::new(),
            kind,
            recovery: super::super::super::Recovery::default(),
            programs: None,
            agent: None,
            environment_file: None,
        }
    }

    #[test]
    fn a_monitor_is_shut_in_and_a_host_of_programs_leaves_them_room() {
        let own = Account::Own("lifesign".to_owned());
        let monitor = unit(&definition(Kind::Monitor, StartType::Auto), &own, &[]);
        for line in [
            "Type=notify",
            "WatchdogSec=30s",
            "Restart=on-failure",
            "User=lifesign",
            "StateDirectory=lifesign",
            "ReadWritePaths=-\"/var/log/life sign\"",
            "MemoryDenyWriteExecute=yes",
            "Description=Lifesign 100%%",
            "ExecStart=/usr/local/bin/lifesign up -c \"/etc/lifesign/my file.yaml\"",
        ] {
            assert!(monitor.lines().any(|written| written == line), "{line} is missing in\n{monitor}");
        }
        assert!(!monitor.contains("KillMode"), "{monitor}");
        let host = unit(&definition(Kind::Host, StartType::Auto), &own, &[]);
        assert!(host.contains("KillMode=process") && !host.contains("\nMemoryDenyWriteExecute"), "{host}");
        assert_eq!(user(&host).as_deref(), Some("lifesign"));
    }

    #[test]
    fn an_agent_hears_where_its_configuration_says_and_keeps_room_for_programs_when_asked() {
        let own = Account::Own("lifesign".to_owned());
        let mut definition = definition(Kind::Monitor, StartType::Auto);
        let has = |text: &str, line: &str| text.lines().any(|written| written == line);
        assert!(
            !unit(&definition, &own, &[]).contains("RuntimeDirectory"),
            "a server alone hears nobody here"
        );

        definition.agent = Some(Agent::default());
        let text = unit(&definition, &own, &["systemd-journal".to_owned(), "beating".to_owned()]);
        assert!(
            has(&text, "RuntimeDirectory=lifesign") && has(&text, "RuntimeDirectoryPreserve=restart"),
            "{text}"
        );
        assert!(has(&text, "SupplementaryGroups=systemd-journal beating"), "{text}");
        assert_eq!(programs(&text), None);
        for (dir, runtime) in [("/run/beats/here", Some("beats/here")), ("/srv/beats", None)] {
            definition.agent = Some(Agent { dir: Some(dir.into()), writers: None });
            assert_eq!(runtime_directory(&definition).as_deref(), runtime);
        }

        definition.programs = Some(true);
        let text = unit(&definition, &own, &[]);
        assert!(has(&text, "KillMode=process") && !has(&text, "MemoryDenyWriteExecute=yes"), "{text}");
        assert_eq!(programs(&text), Some(true));
        definition.programs = Some(false);
        assert_eq!(programs(&unit(&definition, &own, &[])), Some(false));
    }

    #[test]
    fn a_disabled_unit_refuses_to_be_started_by_hand_and_a_wrapped_one_has_a_dynamic_user() {
        let disabled = unit(&definition(Kind::Wrapper, StartType::Disabled), &Account::Dynamic, &[]);
        assert!(
            disabled.contains("\nRefuseManualStart=yes\n") && disabled.contains("\nDynamicUser=yes\n"),
            "{disabled}"
        );
    }

    #[test]
    fn no_word_of_a_command_line_is_read_as_two_or_expanded() {
        assert_eq!(quote("plain-1.yaml"), "plain-1.yaml");
        assert_eq!(quote("a b"), "\"a b\"");
        assert_eq!(quote("50%$HOME"), "50%%$$HOME");
        assert_eq!(quote("say \"x\" \\"), "\"say \\\"x\\\" \\\\\"");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("a;b"), "\"a;b\"");
    }
}
