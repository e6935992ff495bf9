//! The link through programs that stand between agents and servers everywhere: nginx as a balancer that ends TLS, and
//! tinyproxy as a proxy that wants a login.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{CertificateParams, KeyPair};
use support::hosts::{Host, end, enrolled, server, token};
use support::{Lifesign, free_port, wait_for};

/// A program of the system that runs in the foreground, ended with the test.
struct Program(Child);

impl Program {
    #[track_caller]
    fn start(name: &str, package: &str, arguments: &[&str], port: u16, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; install it: apt-get install {package}"));
        wait_for(name, || TcpStream::connect(("127.0.0.1", port)).ok());
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx on `port` as its manual says it for WebSockets, in front of `server` without TLS.
fn nginx(dir: &Path, port: u16, server: u16) -> Program {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["hq.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = dir.join("nginx");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    let folder_name = folder.display();
    let text = format!(
        r#"
daemon off;
master_process off;
pid {folder_name}/pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder_name}/body;
  proxy_temp_path {folder_name}/proxy;
  fastcgi_temp_path {folder_name}/fastcgi;
  uwsgi_temp_path {folder_name}/uwsgi;
  scgi_temp_path {folder_name}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder_name}/cert.pem;
    ssl_certificate_key {folder_name}/key.pem;
    location / {{
      proxy_pass http://127.0.0.1:{server};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"#
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let arguments = ["-p", folder.to_str().unwrap(), "-c", file.to_str().unwrap(), "-e", "stderr"];
    Program::start("nginx", "nginx-light", &arguments, port, &folder.join("log"))
}

/// tinyproxy on `port`, which lets `anna` go to `target` and nowhere else.
fn tinyproxy(dir: &Path, port: u16, target: u16) -> Program {
    let file = dir.join("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nAllow 127.0.0.1\nBasicAuth anna secret7\nConnectPort {target}\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["-d", "-c", file.to_str().unwrap()];
    Program::start("tinyproxy", "tinyproxy", &arguments, port, &dir.join("tinyproxy.log"))
}

#[test]
fn a_link_goes_through_tinyproxy_and_nginx_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls, front, proxy) = (free_port(), free_port(), free_port(), free_port());
    let server = Lifesign::start(dir.path(), &server(listen, tls, ""));
    let _nginx = nginx(dir.path(), front, listen);
    let _tinyproxy = tinyproxy(dir.path(), proxy, front);

    let mut host = Host::new(dir.path(), "web-01");
    host.environment = vec![("https_proxy", format!("http://anna:secret7@127.0.0.1:{proxy}"))];
    host.enrolled(&format!("https://localhost:{front}"), &token(&server, &[]));
    let agent = host.run();
    server.wait_for_state("web", "up", None);
    wait_for("the list to say so", || (enrolled(&server, "web-01")["connected"] == true).then_some(()));

    // The proxy's own refusals reach the one who reads the log.
    for (login, port, words) in [
        ("", front, "it wants a user and a password"),
        ("anna:wrong@", front, "it does not take this user with this password"),
        ("anna:secret7@", tls, "it answered 403 Forbidden"),
    ] {
        let mut other = Host::new(dir.path(), "web-02");
        other.environment = vec![("https_proxy", format!("http://{login}127.0.0.1:{proxy}"))];
        let (code, said) = other.enroll(&format!("https://localhost:{port}"), &token(&server, &[]));
        assert!(code == 5 && said.contains(words) && !said.contains("secret7"), "{said}");
    }
    end(&server, [agent]);
}
