//! The server's own authority and the register of enrolled hosts, on the disk.
//!
//! | file in the data directory | holds | rights |
//! |---|---|---|
//! | `authority.key` | the authority's private key | owner only |
//! | `authority.pem` | its certificate; no secret | owner only |
//! | `enrolled.json` | who is enrolled, digests of one-time tokens | owner only |

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use lifesign_config::server::Tls;
use lifesign_os::file::write_private;
use lifesign_server::engine::Clock;
use lifesign_server::enrol::{Authority, AuthorityFiles, Enrolment, Keep, Ways, server_names};

use super::tls;

const KEY: &str = "authority.key";
const CERTIFICATE: &str = "authority.pem";
const REGISTER: &str = "enrolled.json";

/// What `data_dir` knows of enrolled hosts. With TLS there is an authority, made at the first start.
pub(super) fn open(data_dir: &Path, tls: Option<&Tls>, clock: Clock) -> anyhow::Result<Enrolment> {
    let file = data_dir.join(REGISTER);
    let kept = read(&file)?.unwrap_or_default();
    let authority = match tls {
        Some(_) => Some(authority(data_dir, !kept.is_empty(), &clock)?),
        None => None,
    };
    let holds = tls.map_or_else(|| Tls::default().agents_for, |tls| tls.agents_for);
    let target = file.clone();
    let keep: Keep = Box::new(move |text| write_private(&target, text));
    Enrolment::new(kept.as_bytes(), authority, keep, clock, holds).with_context(|| {
        format!("{} is damaged; restore it, or delete it and enrol the hosts anew", file.display())
    })
}

/// How TLS is spoken: with the operator's certificate where there is one, with agents by that of the own authority.
pub(super) fn ways(enrolment: Enrolment, tls: &Tls, host: &str) -> anyhow::Result<Ways> {
    let others = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Some(tls::server(certificate, key)?),
        _ => None,
    };
    let names = server_names(host, tls.listen.ip(), &tls.names);
    Ways::new(enrolment, names, others)
        .context("failed to make the server's own certificate; see `server.tls.names`")
}

fn authority(data_dir: &Path, is_used: bool, clock: &Clock) -> anyhow::Result<Authority> {
    let (key, certificate) = (data_dir.join(KEY), data_dir.join(CERTIFICATE));
    let files = match (read(&key)?, read(&certificate)?) {
        (Some(key), Some(certificate)) => AuthorityFiles { certificate, key },
        // Hosts believe the one that is gone.
        (_, None) | (None, _) if is_used => bail!(
            "{} or {} is missing, and hosts are enrolled with it; restore both, or delete {} as well and enrol the hosts anew",
            key.display(),
            certificate.display(),
            data_dir.join(REGISTER).display()
        ),
        _ => {
            let made = Authority::make(clock.now().wall)?;
            for (file, text) in [(&key, &made.key), (&certificate, &made.certificate)] {
                write_private(file, text.as_bytes())
                    .with_context(|| format!("failed to write {}", file.display()))?;
            }
            tracing::info!(certificate = %certificate.display(), "The server has an authority of its own now");
            made
        }
    };
    Authority::read(&files).with_context(|| {
        format!("failed to use {} and {}; restore them", key.display(), certificate.display())
    })
}

fn read(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
    }
}

/// The port with TLS: what is written, or for a server alone, which is there for other hosts, the usual one.
pub(super) fn port(written: Option<&Tls>, is_server: bool) -> Option<Arc<Tls>> {
    written.cloned().or_else(|| is_server.then(Tls::default)).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use lifesign_core::time::{Mono, Now, Wall};

    use super::*;

    fn clock() -> Clock {
        Clock::new(|| Now { mono: Mono::ZERO, wall: Wall::from_millis(1_800_000_000_000) })
    }

    #[test]
    fn a_server_alone_has_a_port_with_tls_unasked_and_one_with_an_agent_does_not() {
        assert_eq!(port(None, true).unwrap().listen.to_string(), "0.0.0.0:7701");
        assert!(port(None, false).is_none());
        assert_eq!(*port(Some(&Tls::default()), false).unwrap(), Tls::default());
    }

    #[test]
    fn the_authority_is_made_once_for_the_owner_alone_and_never_anew_while_hosts_believe_it() {
        let dir = tempfile::tempdir().unwrap();
        let tls = Tls::default();
        open(dir.path(), None, clock()).unwrap();
        assert!(!dir.path().join(KEY).exists(), "without TLS none is needed");
        let enrolment = open(dir.path(), Some(&tls), clock()).unwrap();
        ways(enrolment, &tls, "hq").unwrap();
        let key = std::fs::read(dir.path().join(KEY)).unwrap();
        open(dir.path(), Some(&tls), clock()).unwrap();
        assert_eq!(std::fs::read(dir.path().join(KEY)).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(dir.path().join(REGISTER), r#"{"tokens": [], "hosts": {}}"#).unwrap();
        std::fs::remove_file(dir.path().join(CERTIFICATE)).unwrap();
        let error = open(dir.path(), Some(&tls), clock()).unwrap_err().to_string();
        assert!(error.contains("restore both"), "{error}");
        std::fs::write(dir.path().join(REGISTER), "nonsense").unwrap();
        let error = open(dir.path(), None, clock()).unwrap_err().to_string();
        assert!(error.contains("enrol the hosts anew"), "{error}");
    }
}
