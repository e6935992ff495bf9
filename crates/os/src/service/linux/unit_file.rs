//! The text of a unit: what runs, when it is started again, and what it may not do.
//!
//! What is left open, and why, stands in the unit itself, where an administrator asks.

use super::super::{Definition, Kind, StartType};
use super::{Account, MARK, default_data_dir};

/// The service unit.
pub(super) fn unit(definition: &Definition, account: &Account) -> String {
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
    put!("ExecStart={}", definition.argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
    if definition.kind != Kind::Wrapper {
        put!("ExecReload=/bin/kill -HUP $MAINPID");
    }
    lines.extend(restarts);
    if definition.kind != Kind::Wrapper {
        put!("# 2: the configuration is wrong, and starting again does not mend it.");
        put!("RestartPreventExitStatus=2");
    }
    put!("# Fed only while the work itself makes progress.");
    put!("WatchdogSec=30s");
    put!("TimeoutStartSec=90s");
    put!("TimeoutStopSec=60s");
    if definition.kind != Kind::Monitor {
        put!("# A supervised program outlives a stop of its supervisor, and the next one adopts it.");
        put!("KillMode=process");
    }
    put!("");
    match account {
        Account::Own(user) | Account::Given(user) => put!("User={user}"),
        Account::Dynamic => put!("DynamicUser=yes"),
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
    for sandbox in sandbox(definition.kind) {
        put!("{sandbox}");
    }
    put!("");
    put!("[Install]");
    put!("WantedBy=multi-user.target");
    lines.push(String::new());
    lines.join("\n")
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
        }
    }

    #[test]
    fn a_monitor_is_shut_in_and_a_host_of_programs_leaves_them_room() {
        let own = Account::Own("lifesign".to_owned());
        let monitor = unit(&definition(Kind::Monitor, StartType::Auto), &own);
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
        let host = unit(&definition(Kind::Host, StartType::Auto), &own);
        assert!(host.contains("KillMode=process") && !host.contains("\nMemoryDenyWriteExecute"), "{host}");
        assert_eq!(user(&host).as_deref(), Some("lifesign"));
    }

    #[test]
    fn a_disabled_unit_refuses_to_be_started_by_hand_and_a_wrapped_one_has_a_dynamic_user() {
        let disabled = unit(&definition(Kind::Wrapper, StartType::Disabled), &Account::Dynamic);
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
