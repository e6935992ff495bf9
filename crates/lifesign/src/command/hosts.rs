//! `lifesign hosts`: which are enrolled; letting one in, and turning one out.

use lifesign_lang::Lang;
use serde_json::json;

use crate::failure::Failure;
use crate::print;
use crate::remote::Remote;

/// All that were ever enrolled.
pub(super) fn all(remote: &Remote, lang: Lang, json: bool) -> Result<(), Failure> {
    let hosts = remote.list("/api/v1/enrolment")?;
    if json {
        print::json(&json!(hosts));
        return Ok(());
    }
    if hosts.is_empty() {
        print::line(lang.word("cli-no-hosts"));
    }
    for host in &hosts {
        let text = |key: &str| host[key].as_str().unwrap_or("-").to_owned();
        let key = match (host["revoked_at"].is_string(), host["connected"] == true) {
            (true, _) => "cli-host-revoked",
            (false, true) => "cli-host-connected",
            (false, false) => "cli-host-away",
        };
        let args = [
            ("host", text("host").into()),
            ("expires", text("expires_at").into()),
            ("revoked", text("revoked_at").into()),
        ];
        print::line(lang.text(key, &args));
    }
    Ok(())
}

/// A one-time token, for `host` or for any that is new.
pub(super) fn token(remote: &Remote, host: Option<&str>, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer = remote.post("/api/v1/hosts/tokens", &json!({ "host": host }))?;
    if json {
        print::json(&answer);
        return Ok(());
    }
    // The token alone goes to standard output, for scripts; what to do with it goes beside.
    print::line(answer["token"].as_str().unwrap_or_default());
    print::hint(
        lang.text("cli-one-time-token", &[("expires", answer["expires_at"].as_str().unwrap_or("-").into())]),
    );
    Ok(())
}

/// No certificate of `host` counts any more.
pub(super) fn revoke(remote: &Remote, host: &str, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer = remote.post(&format!("/api/v1/hosts/{}/revoke", escaped(host)), &json!({}))?;
    if json {
        print::json(&answer);
    } else {
        print::line(lang.text("cli-host-revoked-done", &[("host", host.into())]));
    }
    Ok(())
}

/// A name as one part of a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_the_path() {
        assert_eq!(escaped("web-01.example"), "web-01.example");
        assert_eq!(escaped("a/b?c 主"), "a%2Fb%3Fc%20%E4%B8%BB");
    }
}
