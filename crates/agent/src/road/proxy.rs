//! HTTP proxies: which one leads to a server, and `CONNECT`.
//!
//! The one of the configuration, else those of the environment: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capital
//! letters or small ones, as other programs read them.

use std::fmt;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ServerAddress;

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// `Proxy-Authorization`; a secret.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy at `host` and `port`; `login`: a user and a password that it knows.
    pub fn new(host: &str, port: u16, login: Option<(&str, &str)>) -> Self {
        use base64::Engine as _;
        let authorization = login.and_then(|(user, password)| {
            let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            let mut value = HeaderValue::try_from(format!("Basic {login}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { host: host.to_owned(), port, authorization }
    }

    pub(super) fn name(&self) -> &str {
        self.host.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&self.host)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks the proxy at the other end of `tcp` for a connection to `target`, a host with its port.
    pub(super) async fn go_to(&self, tcp: TcpStream, target: &str) -> Result<TokioIo<Upgraded>, String> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tcp)).await.map_err(|error| error.to_string())?;
        // It lives as long as what comes of it.
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::connect(target).header(header::HOST, target);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => {
                hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(|error| error.to_string())
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if self.authorization.is_none() => {
                Err("it wants a user and a password; write them in `agent.proxy`".to_owned())
            }
            // tinyproxy says 401 to a wrong password.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => {
                Err("it does not take this user with this password".to_owned())
            }
            status => Err(format!("it answered {status} when it was asked for {target}")),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which proxy leads where.
#[derive(Clone)]
pub struct Proxies(Kind);

#[derive(Clone)]
enum Kind {
    One(Proxy),
    Environment(Arc<Matcher>),
}

impl Proxies {
    /// This one leads to every server.
    pub fn one(proxy: Proxy) -> Self {
        Self(Kind::One(proxy))
    }

    /// Those of the environment.
    pub fn of_environment() -> Self {
        Self(Kind::Environment(Arc::new(Matcher::from_env())))
    }

    /// The proxy that leads to `server`, if one does; in words, why it cannot be used.
    pub(super) fn of(&self, server: &ServerAddress) -> Result<Option<Proxy>, String> {
        let matcher = match &self.0 {
            Kind::One(proxy) => return Ok(Some(proxy.clone())),
            Kind::Environment(matcher) => matcher,
        };
        let Ok(uri) = server.to_string().parse::<Uri>() else { return Ok(None) };
        let Some(found) = matcher.intercept(&uri) else { return Ok(None) };
        let at = found.uri();
        let host = at.host().unwrap_or_default();
        if at.scheme() != Some(&Scheme::HTTP) {
            let scheme = at.scheme_str().unwrap_or_default();
            return Err(format!(
                "the proxy {scheme}://{host} of HTTPS_PROXY or ALL_PROXY cannot be used, only one with http:// can; \
                 unset it, or name this server in NO_PROXY"
            ));
        }
        let mut authorization = found.basic_auth().cloned();
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Some(Proxy { host: host.to_owned(), port: at.port_u16().unwrap_or(80), authorization }))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::One(proxy) => proxy.fmt(f),
            Kind::Environment(_) => f.write_str("those of the environment"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn environment(https: &str, no: &str) -> Proxies {
        Proxies(Kind::Environment(Arc::new(Matcher::builder().https(https).no(no).build())))
    }

    fn server(host: &str) -> ServerAddress {
        ServerAddress { tls: true, host: host.to_owned(), port: 7701 }
    }

    #[test]
    fn the_environment_names_the_proxy_and_who_goes_without() {
        let proxies = environment("http://anna:s%40cret@proxy:3128", "10.0.0.0/8,.inside.example,hq");
        let proxy = proxies.of(&server("hq.example.com")).unwrap().unwrap();
        assert_eq!(proxy.to_string(), "proxy:3128");
        let login = Proxy::new("proxy", 3128, Some(("anna", "s@cret"))).authorization;
        assert_eq!(proxy.authorization, login);
        assert!(!format!("{proxy:?}{proxies:?}").contains("cret"));
        for without in ["10.1.2.3", "a.inside.example", "hq"] {
            assert!(proxies.of(&server(without)).unwrap().is_none(), "{without}");
        }
        let why = environment("socks5://proxy", "").of(&server("hq")).unwrap_err();
        assert!(why.contains("socks5://proxy") && why.contains("NO_PROXY"), "{why}");
    }

    #[tokio::test]
    async fn a_proxy_is_asked_with_its_login_and_its_refusal_is_told() {
        for (says, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\nhello", Ok("hello")),
            ("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", Err("does not take this user")),
            ("HTTP/1.0 403 Forbidden\r\n\r\nno", Err("403 Forbidden when it was asked for hq:7701")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let answering = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(says.as_bytes()).await.unwrap();
                String::from_utf8(head).unwrap()
            });
            let proxy = Proxy::new("127.0.0.1", address.port(), Some(("anna", "secret")));
            let tcp = TcpStream::connect(address).await.unwrap();
            let went = proxy.go_to(tcp, "hq:7701").await;
            let asked = answering.await.unwrap().to_lowercase();
            assert!(asked.starts_with("connect hq:7701 http/1.1\r\n"), "{asked}");
            assert!(asked.contains("proxy-authorization: basic yw5uytpzzwnyzxq="), "{asked}");
            match expected {
                Ok(words) => {
                    let mut came = vec![0; words.len()];
                    went.unwrap().read_exact(&mut came).await.unwrap();
                    assert_eq!(came, words.as_bytes());
                }
                Err(words) => {
                    let why = went.unwrap_err();
                    assert!(why.contains(words) && !why.contains("secret"), "{why}");
                }
            }
        }
    }
}
