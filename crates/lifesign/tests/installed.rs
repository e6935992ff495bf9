//! An installed lifesign at its work: its own user, its sandbox, a real systemd, journal and polkit.
//!
//! Needs root and `apt-get install -y systemd dbus polkitd util-linux python3`. Nothing of the machine is touched.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a story says what went wrong by panicking"
)]
#![cfg(target_os = "linux")]

mod support;

use serde_json::Value;
use support::system_lab::{LIFESIGN, Lab};
use support::{free_port, wait_for};

/// Sends one heartbeat of `argv[2]` by the stream socket of the folder `argv[1]`.
const BY_SOCKET: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1] + '/stream')
s.sendall((sys.argv[2] + ' alive\\n').encode())";

/// The same by shared memory: one more in the word at 72.
const BY_MEMORY: &str = "import os, struct, sys
f = os.open(sys.argv[1] + '/memory/' + sys.argv[2], os.O_RDWR)
beats = struct.unpack('<Q', os.pread(f, 8, 72))[0]
os.pwrite(f, struct.pack('<Q', beats + 1), 72)";

/// What docs/service.md says that `systemd-analyze security` says with a group of writers (systemd 252).
const EXPOSURE: f64 = 1.6;

/// Runs lifesign's own client inside.
struct Client<'l> {
    lab: &'l Lab,
    server: String,
    token: String,
}

impl<'l> Client<'l> {
    fn of(lab: &'l Lab, port: u16) -> Self {
        let token = lab.run(&["cat", "/var/lib/lifesign/admin.token"]).trim().to_owned();
        Self { lab, server: format!("http://127.0.0.1:{port}"), token }
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String) {
        let token = format!("LIFESIGN_TOKEN={}", self.token);
        let all = ["env", &token, LIFESIGN, "--lang", "en", "--server", &self.server];
        self.lab.try_run(&[&all, arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.ask(&[&["--json"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    fn state(&self, id: &str) -> String {
        self.json(&["status", id])["state"].as_str().unwrap().to_owned()
    }
}

/// Runs a line of Python as a user of the lab.
fn python_as(lab: &Lab, user: &str, program: &str, arguments: &[&str]) -> (i32, String) {
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
    let all = ["setpriv", &uid, &gid, "--init-groups", "/usr/bin/python3", "-c", program];
    lab.try_run(&[&all, arguments].concat())
}

/// Orders systemd as lifesign's own user would, and says whether polkit let it.
fn may_restart(lab: &Lab, unit: &str) -> bool {
    let as_it = ["setpriv", "--reuid=lifesign", "--regid=lifesign", "--init-groups"];
    lab.try_run(&[&as_it[..], &["systemctl", "--no-ask-password", "restart", unit]].concat()).0 == 0
}

#[test]
fn an_installed_lifesign_hears_other_users_restarts_what_it_may_and_keeps_what_the_dying_wrote() {
    let lab = Lab::start("installed");
    let port = free_port();
    lab.run(&["groupadd", "--system", "beating"]);
    lab.run(&["useradd", "--system", "--user-group", "--groups", "beating", "teller"]);
    lab.run(&["useradd", "--system", "--user-group", "stranger"]);
    let sleeping = "[Service]\nExecStart=/bin/sh -c 'echo the till is open; exec sleep 1000'\n";
    for unit in ["orders", "stock", "shop-web", "shop-admin", "web-front", "systemd-web-shell"] {
        lab.write(&format!("/etc/systemd/system/{unit}.service"), sleeping);
    }
    lab.run(&["sh", "-c", "chmod 644 /etc/systemd/system/*.service"]);
    lab.run(&["systemctl", "daemon-reload"]);
    lab.run(&["systemctl", "start", "orders", "stock", "shop-web", "shop-admin"]);
    lab.write(
        "/etc/lifesign/lifesign.yaml",
        &format!(
            r#"
server: {{ listen: "127.0.0.1:{port}" }}
agent: {{ local: {{ writers: beating }} }}
discover: {{ include: ["Shop-*"], exclude: [shop-admin], restart: {{ budget: 5 per 10m }} }}
services:
  - {{ id: orders, unit: orders.service, restart: {{ budget: 5 per 10m, backoff: 100ms..1s }} }}
  - {{ id: stock, unit: stock.service }}
  - {{ id: till, heartbeat: {{ interval: 1h }} }}
  - {{ id: scales, heartbeat: {{ interval: 1h }} }}
"#
        ),
    );
    let said = lab.done(&["install", "-c", "/etc/lifesign/lifesign.yaml"]);
    assert!(said.contains("lifesign service grant SERVICE --apply"), "{said}");
    assert!(lab.exposure("lifesign.service") <= EXPOSURE, "more is open than the documentation says");
    lab.done(&["start"]);
    let client = Client::of(&lab, port);

    // Programs of another user: whoever is of the group is heard on every way, whoever is not reaches none.
    let folder = "/run/lifesign";
    for (way, service) in [(BY_SOCKET, "till"), (BY_MEMORY, "scales")] {
        let (code, said) = wait_for("the local ways are open", || {
            Some(python_as(&lab, "stranger", way, &[folder, service]))
                .filter(|(_, said)| said.contains("Error"))
        });
        assert!(code != 0 && said.contains("PermissionError"), "{code}: {said}");
        let (code, said) = python_as(&lab, "teller", way, &[folder, service]);
        assert_eq!(code, 0, "{said}");
        wait_for("the heartbeat of another user", || (client.state(service) == "up").then_some(()));
    }

    // A unit that dies is restarted through polkit, and the incident keeps its last lines and its figures.
    wait_for("the unit is watched", || (client.state("orders") == "up").then_some(()));
    let old = lab.show("orders.service", "MainPID");
    lab.run(&["kill", "-9", &old]);
    wait_for("another runs", || {
        let new = lab.show("orders.service", "MainPID");
        (new != old && new != "0" && lab.show("orders.service", "ActiveState") == "active").then_some(())
    });
    let shown = wait_for("the incident has the last lines", || {
        let all = client.json(&["incidents"]);
        let of_orders = all["items"].as_array().unwrap().iter().find(|one| one["service_id"] == "orders")?;
        let shown = client.ask(&["incidents", &of_orders["id"].to_string()]).1;
        shown.contains("the till is open").then_some(shown)
    });
    println!("{shown}");

    // What it has no right to it says, with the command that gives the right; and that is all it takes.
    let old = lab.show("stock.service", "MainPID");
    client.ask(&["restart", "stock"]);
    let grant = "lifesign service grant stock.service --apply";
    let explained = wait_for("the refusal is told", || {
        let explained = client.ask(&["explain", "stock"]).1;
        explained.contains(grant).then_some(explained)
    });
    println!("{explained}");
    assert_eq!(lab.show("stock.service", "MainPID"), old, "nothing was touched");
    lab.done(&["grant", "stock.service", "--apply"]);
    wait_for("polkit has read the rule", || may_restart(&lab, "stock.service").then_some(()));
    let old = lab.show("stock.service", "MainPID");
    client.ask(&["restart", "stock"]);
    wait_for("the granted unit is restarted", || {
        let new = lab.show("stock.service", "MainPID");
        (new != old && new != "0").then_some(())
    });

    // Patterns of `discover` with `restart:` are in the rule as they stand, for services alone.
    assert!(may_restart(&lab, "shop-web.service"));
    assert!(!may_restart(&lab, "shop-admin.service"), "it is left out");
    assert!(!may_restart(&lab, "dbus.service"));
    // Installed again, everything granted stays.
    lab.done(&["install", "-c", "/etc/lifesign/lifesign.yaml", "--may-control", "*web-*"]);
    let rule = lab.run(&["cat", "/etc/polkit-1/rules.d/50-lifesign.rules"]);
    for line in ["\"*web-*\",", "\"stock.service\",", "\"orders.service\",", "\"!shop-admin\","] {
        assert!(rule.contains(line), "{line} in {rule}");
    }
    wait_for("polkit has read the rule again", || may_restart(&lab, "web-front.service").then_some(()));
    assert!(!may_restart(&lab, "systemd-web-shell.service"), "a pattern is not for systemd's own");
    lab.done(&["uninstall", "--purge"]);
    assert!(!lab.exists(folder), "systemd takes the folder away");
}
