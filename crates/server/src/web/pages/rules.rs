//! The rules with the alerts they have now.

use lifesign_core::effect::{Alert, AlertState};
use lifesign_core::model::State;
use lifesign_core::view::RuleView;
use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// Draws the page.
pub(crate) fn draw(rules: &[RuleView], look: &Look) -> Markup {
    let lang = look.lang();
    let main = html! {
        div.head { div { h1 { (lang.word("ui-rules")) } p { (lang.word("ui-rules-hint")) } } }
        section.panel aria-label=(lang.word("ui-rules")) {
            @if rules.is_empty() { p.empty { (lang.word("ui-no-rules")) } }
            ul.rows { @for rule in rules { (row(rule, look)) } }
        }
    };
    frame::page(&lang.word("ui-rules"), look, &main)
}

fn row(rule: &RuleView, look: &Look) -> Markup {
    let lang = look.lang();
    let like = match rule.state {
        Some(AlertState::Firing) => State::Down,
        Some(AlertState::Pending) => State::Suspect,
        Some(AlertState::Resolved) | None => State::Up,
    };
    let word = lang.alert_state(rule.state);
    let say = lang.text("ui-say", &[("service", (&*rule.alert).into()), ("phrase", word.clone().into())]);
    html! {
        li id={ "r-" (rule.alert) } data-state=(word) data-say=(say) {
            div.entry {
                div {
                    div.line { b { (rule.alert) } code { (rule.when) } }
                    @for alert in &rule.alerts {
                        div.more {
                            (lang.alert_state(Some(alert.state))) " · "
                            @if let Some(service) = label(alert, "service") {
                                a href={ "/services/" (service) } { (service) } " · "
                            } @else if let Some(host) = label(alert, "host") {
                                (host) " · "
                            }
                            (parts::ago(lang, alert.starts_at, look.now))
                        }
                    }
                }
                div.when { span.state.(parts::class(like)) { (parts::sign(like, 14)) (word) } }
            }
        }
    }
}

fn label<'a>(alert: &'a Alert, wanted: &str) -> Option<&'a str> {
    alert.labels.iter().find(|(name, _)| &**name == wanted).map(|(_, value)| &**value)
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::super::samples;
    use super::*;

    #[test]
    fn a_firing_rule_names_the_services_it_fires_for() {
        let page = draw(&samples::rules(), &samples::look(Lang::En)).into_string();
        assert!(page.contains("firing") && page.contains("href=\"/services/worker\""));
        assert!(page.contains("cpu &gt; 90"));
        assert!(draw(&[], &samples::look(Lang::En)).into_string().contains(&Lang::En.word("ui-no-rules")));
    }
}
