//! What `lifesign up` prints when it runs: where to look, how to get in, what is watched.

use lifesign_core::spec::Spec;
use lifesign_lang::Lang;

use super::translate::Surroundings;
use crate::data::KeptToken;
use crate::print::{self, Colour};

pub(super) fn show(lang: Lang, spec: &Spec, around: &Surroundings, admin: &KeptToken) {
    print::line("");
    print::line(format!("  {} {}", print::coloured("lifesign", Colour::Bold), env!("CARGO_PKG_VERSION")));
    print::line("");
    let url = around.local_url().unwrap_or_default();
    print::line(format!("  {}", lang.text("cli-dashboard-at", &[("url", url.into())])));
    let file = admin.file.display().to_string();
    if admin.is_new {
        let args = [("file", file.into()), ("token", admin.token.clone().into())];
        print::line(format!("  {}", lang.text("cli-token-made", &args)));
    } else {
        print::line(format!("  {}", lang.text("cli-token-kept", &[("file", file.into())])));
    }
    print::line("");
    let args = [("services", spec.services.len().into()), ("host", around.host.to_string().into())];
    print::line(format!("  {}", lang.text("cli-watching", &args)));
    let width = spec.services.iter().map(|service| service.id.as_str().len()).max().unwrap_or(0).min(40);
    for service in spec.services.iter().take(MOST_SHOWN) {
        let unit = service.unit.clone().into_iter();
        let heart = service.heartbeat.iter().map(|_| lang.word("kind-heartbeat"));
        let checks =
            service.checks.iter().map(|check| format!("{} {}", lang.check_kind(check.kind), check.name));
        let evidence: Vec<String> = unit.chain(heart).chain(checks).collect();
        print::line(format!(
            "    {:width$}  {}",
            service.id,
            print::coloured(&evidence.join(" · "), Colour::Dim)
        ));
    }
    if spec.services.len() > MOST_SHOWN {
        print::line("    …");
    }
    print::line("");
    print::line(format!("  {}", print::coloured(&lang.word("cli-stop-hint"), Colour::Dim)));
    print::line("");
}

/// Most services named at start; the dashboard has them all.
const MOST_SHOWN: usize = 20;
