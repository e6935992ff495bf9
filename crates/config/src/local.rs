//! How an agent hears programs on its own host: `agent.local`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::fields::Cx;
use crate::node::Node;
use crate::record;

record! {
    /// The local ways of heartbeats. Sockets, pipe and shared memory are open unless they are switched off.
    pub struct Local {
        /// Folder of sockets, shared memory and note files; made where it is missing. Where unset: the folder that systemd made for lifesign (`RuntimeDirectory=`), else `local` in the data directory. Best on a file system in memory; a socket's path has at most 107 bytes.
        dir: Option<PathBuf>,
        /// Windows: the name of the pipe (`\\.\pipe\NAME`), and what the names of shared memory begin with. Two lifesigns on one host need two names.
        name: String [1..=100] = "lifesign",
        /// Who may write, beside lifesign's own user: `owner` (nobody else), `everyone` on this host, or the name of a group (Windows: of an account, or a SID).
        writers: String [1..=255] = "owner",
        /// Linux: the Unix sockets `datagram` and `stream`, and a notify socket for each supervised process.
        sockets: bool = true,
        /// Windows: the named pipe.
        pipe: bool = true,
        /// Shared memory: a page for each service.
        memory: bool = true,
        /// How often shared memory is looked at. A heartbeat is heard this much later at most; shorter costs processor time.
        memory_every: Duration [Duration::from_millis(1)..=Duration::from_secs(10)] = "100ms",
        /// Windows: a registry key whose values are heartbeats, such as `HKLM\SOFTWARE\lifesign\heartbeats`; made where it is missing. None where unset.
        registry: Option<String> [6..=255],
        /// Whether `notes/ID` in the folder is a heartbeat of the service ID each time it is written or touched.
        notes: bool = false,
        /// Further files that are a heartbeat each time they are written or touched, by service; their content is not read.
        touched: BTreeMap<String, PathBuf> = {},
        /// How often files are looked at, beside being told of their writing by the system; a file system that cannot tell is heard this much later at most.
        files_every: Duration [Duration::from_millis(10)..=Duration::from_secs(60)] = "500ms",
        /// Address of this host alone on which heartbeats by UDP are heard, such as `127.0.0.1:7702`. None where unset.
        udp: Option<SocketAddr>,
        /// Whether heartbeats count that come from a process outside of the service's unit. Otherwise they are refused and counted, wherever the way tells who sent them.
        strangers: bool = false,
        /// Heartbeats a second of one sender by one way; what is faster waits or is left out, and is counted.
        rate_per_second: u32 [1..=1_000_000] = 1000,
    }
    check Local::check
}

impl Local {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if let Some(address) = self.udp.filter(|address| !address.ip().is_loopback() || address.port() == 0) {
            let why = if address.port() == 0 {
                "programs are told the port, so it must not be 0"
            } else {
                "this address can be reached from other hosts; heartbeats by UDP are for this host alone"
            };
            cx.error(node.at("udp"), why).hint("such as `127.0.0.1:7702`");
        }
        if self.name.contains(['\\', '/']) {
            cx.error(node.at("name"), "a name has no `\\` and no `/`");
        }
        let known = ["HKLM\\", "HKCU\\", "HKEY_LOCAL_MACHINE\\", "HKEY_CURRENT_USER\\"];
        if let Some(key) = &self.registry
            && !known.iter().any(|root| key.to_ascii_uppercase().starts_with(root))
        {
            cx.error(node.at("registry"), "a key begins with `HKLM\\` or `HKCU\\`");
        }
    }
}
