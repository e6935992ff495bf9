//! `lifesign explain`: why a service is as it is, or was, in sentences.

use jiff::tz::TimeZone;
use lifesign_core::time::Wall;
use lifesign_core::view::{Explanation, Fact};
use lifesign_lang::Lang;
use serde_json::Value;

use crate::failure::Failure;
use crate::moment::{self, Moment};
use crate::print::{self, Colour};
use crate::remote::Remote;

pub(super) fn run(
    remote: &Remote,
    id: &str,
    at: Option<Moment>,
    lang: Lang,
    json: bool,
) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let at = at.map(|at| at.wall(lifesign_os::clock::now().wall, &zone));
    let path = format!("/api/v1/services/{id}/explain");
    let answer: Value = match at {
        None => remote.get(&path)?,
        Some(at) => remote.get(&format!("{path}?at={at}"))?,
    };
    if json {
        print::json(&answer);
        return Ok(());
    }
    let explanation: Explanation = serde_json::from_value(answer).map_err(anyhow::Error::from)?;
    let mut title = format!(
        "{}  {}",
        print::coloured(explanation.id.as_str(), Colour::Bold),
        print::state(lang, explanation.state, 0)
    );
    if let Some(at) = at {
        let then = lang.text("cli-as-of", &[("at", moment::local(at, &zone).into())]);
        title.push_str(&format!("  {}", print::coloured(&then, Colour::Dim)));
    }
    print::line(title);
    let mut about = None;
    for fact in &explanation.facts {
        if about != Some(fact.about) {
            about = Some(fact.about);
            print::line("");
            print::line(print::coloured(&lang.about(fact.about), Colour::Bold));
        }
        print::line(format!(
            "  {}",
            timeline_line(fact, lang, &zone).unwrap_or_else(|| sentence(fact, lang))
        ));
    }
    Ok(())
}

fn sentence(fact: &Fact, lang: Lang) -> String {
    print::one_line(&lang.fact(fact), 400)
}

/// A line of an incident's timeline in columns: when, what, and the details.
fn timeline_line(fact: &Fact, lang: Lang, zone: &TimeZone) -> Option<String> {
    if &*fact.code != "replay-line" {
        return None;
    }
    let at = moment::local(fact.args.get("at").and_then(|at| Wall::parse(at))?, zone);
    let what = lang.timeline(fact.args.get("what")?);
    let pad = " ".repeat(22usize.saturating_sub(print::columns(&what)));
    let detail = print::one_line(fact.args.get("detail")?, 200);
    Some(format!("{}  {what}{pad}{detail}", print::coloured(&at, Colour::Dim)))
}
