//! `lifesign agent enroll`: a certificate for this host from the server's own authority.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lifesign_agent::ServerAddress;
use lifesign_agent::enrol::{self, FILE, Unasked};
use lifesign_agent::road::{Proxies, Road};
use lifesign_config::Url;
use lifesign_lang::Lang;
use lifesign_proto::enrol::{OneTimeToken, is_host_name};
use serde_json::json;

use crate::cli::{Enroll, Global};
use crate::failure::Failure;
use crate::{print, up};

pub(super) fn run(what: &Enroll, global: &Global, lang: Lang) -> Result<(), Failure> {
    let wrong = |words: &str| Failure::Configuration(format!("error: {words}"));
    let server =
        global.server.as_deref().ok_or_else(|| wrong("name the server: --server https://HOST:7701"))?;
    let server = Url::parse(server).map_err(|why| {
        wrong(&format!("{server:?} is no address of a server ({why}); write https://HOST:7701"))
    })?;
    if !server.tls {
        return Err(wrong(
            "enrolment needs TLS; name the server's port with TLS: --server https://HOST:7701",
        ));
    }
    let token = global.token.as_deref().ok_or_else(|| {
        wrong("a one-time token is needed: `lifesign hosts token` on the server makes one, for --token or LIFESIGN_TOKEN")
    })?;
    let token = OneTimeToken::parse(token.trim()).map_err(|error| wrong(&error.to_string()))?;
    let place = Place::find(what)?;
    if !is_host_name(&place.host) {
        return Err(wrong(&format!("{:?} is no name of a host; choose another with --host", place.host)));
    }
    // Nobody else works in this folder, and it can be written: known before the token is used.
    std::fs::create_dir_all(&place.data_dir)
        .with_context(|| format!("failed to make {}", place.data_dir.display()))?;
    let _lock = lifesign_os::file::lock(&place.data_dir).map_err(anyhow::Error::from)?;

    let server = up::agent::address(&server);
    let identity = enrol_now(&place.road, &server, &token, &place.host)?;
    identity
        .save(&place.data_dir)
        .with_context(|| format!("failed to write {}", place.data_dir.join(FILE).display()))?;
    let is_written = place.is_new && write_configuration(&place, &server)?;
    if global.json {
        print::json(&json!({ "host": identity.host, "server": identity.server, "data_dir": place.data_dir }));
        return Ok(());
    }
    let file = place.file.display().to_string();
    let args = [("host", identity.host.into()), ("server", identity.server.into())];
    print::line(lang.text("cli-enrolled", &args));
    if is_written {
        print::line(lang.text("cli-enrolled-file", &[("file", file.clone().into())]));
    }
    print::line(lang.text("cli-enrolled-next", &[("command", format!("lifesign agent -c {file}").into())]));
    Ok(())
}

fn enrol_now(
    road: &Road,
    server: &ServerAddress,
    token: &OneTimeToken,
    host: &str,
) -> Result<enrol::Identity, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(enrol::enrol(road, server, token, host, lifesign_os::clock::now)).map_err(
        |why| match why {
            Unasked::Unreachable(words) => Failure::Unreachable(format!(
                "{words}; is `lifesign server` running there, and its port with TLS open?"
            )),
            Unasked::Stranger(words) | Unasked::Refused(words) => Failure::Refused(words),
            Unasked::Failed(words) => anyhow::anyhow!(words).into(),
        },
    )
}

/// Where the agent's files are, and what its host is called.
struct Place {
    file: PathBuf,
    /// Whether there is no configuration yet.
    is_new: bool,
    data_dir: PathBuf,
    host: String,
    road: Road,
}

impl Place {
    fn find(what: &Enroll) -> Result<Self, Failure> {
        let file = what.file.config.clone();
        let is_new = !file.exists();
        let (data_dir, host, road) = if is_new {
            let folder = file.parent().map(Path::to_owned).unwrap_or_default();
            (folder.join("data"), None, Road::new(Proxies::of_environment()))
        } else {
            let loaded = super::load_configuration(&file, what.file.env.as_deref())?;
            let config = &loaded.config;
            (config.server.data_dir.clone(), Some(up::host_name(config)), up::agent::road(config))
        };
        let written = host.as_ref().map(ToString::to_string);
        if let (Some(asked), Some(written)) = (&what.host, &written)
            && asked != written
        {
            return Err(Failure::Configuration(format!(
                "error: --host says {asked}, {} says {written}; set `agent.host` there to {asked}, or leave --host out",
                file.display()
            )));
        }
        let host = what.host.clone().or(written).unwrap_or_else(lifesign_os::host::name);
        let data_dir = what.data_dir.clone().unwrap_or(data_dir);
        Ok(Self { file, is_new, data_dir, host, road })
    }
}

/// Writes a configuration with which the agent runs.
fn write_configuration(place: &Place, server: &ServerAddress) -> Result<bool, Failure> {
    let agent = json!({ "host": place.host, "server": server.to_string() });
    let is_json = place.file.extension().is_some_and(|ending| ending == "json");
    // JSON is YAML as well.
    let text = if is_json {
        format!("{:#}\n", json!({ "agent": agent }))
    } else {
        format!("# What is watched here stands in the server's file.\nagent: {agent}\n")
    };
    std::fs::write(&place.file, text)
        .with_context(|| format!("enrolled, but failed to write {}", place.file.display()))?;
    Ok(true)
}
