//! The measure: nginx with one worker that answers every request with an empty 204 and keeps no log.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::{free_port, wait_for};

pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Starts it with all its files in `dir`, on the processor this thread is bound to.
    pub(super) fn start(dir: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let configuration = format!(
            "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
             events {{ worker_connections 1024; }}
             http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
               client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
               uwsgi_temp_path {dir}; scgi_temp_path {dir};
               server {{ listen {address}; location / {{ return 204; }} }} }}",
            dir = dir.display()
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(dir.join("nginx.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts (apt-get install nginx-light)");
        let nginx = Self { child, address };
        wait_for("nginx listens", || TcpStream::connect(address).ok());
        nginx
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
