//! `lifesign explain`: why a service is as it is, in sentences.

use lifesign_core::view::Explanation;
use lifesign_lang::Lang;
use serde_json::Value;

use crate::failure::Failure;
use crate::print::{self, Colour};
use crate::remote::Remote;

pub(super) fn run(remote: &Remote, id: &str, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer: Value = remote.get(&format!("/api/v1/services/{id}/explain"))?;
    if json {
        print::json(&answer);
        return Ok(());
    }
    let explanation: Explanation = serde_json::from_value(answer).map_err(anyhow::Error::from)?;
    print::line(format!(
        "{}  {}",
        print::coloured(explanation.id.as_str(), Colour::Bold),
        print::state(lang, explanation.state, 0)
    ));
    let mut about = None;
    for fact in &explanation.facts {
        if about != Some(fact.about) {
            about = Some(fact.about);
            print::line("");
            print::line(print::coloured(&lang.about(fact.about), Colour::Bold));
        }
        print::line(format!("  {}", print::one_line(&lang.fact(fact), 400)));
    }
    Ok(())
}
