//! The hosts, each with what it last told about itself.

use lifesign_core::view::HostView;
use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// Draws the page.
pub(crate) fn draw(hosts: &[HostView], look: &Look) -> Markup {
    let lang = look.lang();
    let main = html! {
        div.head { div { h1 { (lang.word("ui-hosts")) } p { (lang.word("ui-hosts-hint")) } } }
        @if hosts.is_empty() { p.panel.empty { (lang.word("ui-no-hosts")) } }
        div.hosts { @for host in hosts { (card(host, look)) } }
    };
    frame::page(&lang.word("ui-hosts"), look, &main)
}

/// One host: shares of a hundred as meters, everything else in figures.
pub(crate) fn card(host: &HostView, look: &Look) -> Markup {
    let lang = look.lang();
    let (shares, others): (Vec<_>, Vec<_>) = host
        .metrics
        .iter()
        .map(|(name, value)| (&**name, *value))
        .partition(|(name, _)| parts::is_percent(name));
    html! {
        article.host id={ "h-" (host.host) } {
            header {
                h2 { a href=(parts::address("/", &[("q", &host.host)])) { (host.host) } }
                span.small.soft { (lang.text("ui-service-count", &[("count", host.services.into())])) }
            }
            div.meters { @for (name, value) in shares { (parts::meter(lang, name, value)) } }
            @if !others.is_empty() {
                p.small.soft.others {
                    @for (name, value) in others {
                        span.nowrap { (parts::figure_name(lang, name)) " " b { (parts::figure(lang, name, value)) } }
                    }
                }
            }
            p.small.soft {
                @match host.sampled_at {
                    Some(at) => { (lang.word("ui-sampled")) " " (parts::ago(lang, at, look.now)) }
                    None => (lang.word("ui-never-sampled")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::super::samples;
    use super::*;

    #[test]
    fn shares_are_meters_and_sizes_have_units() {
        let page = draw(&samples::hosts(), &samples::look(Lang::En)).into_string();
        assert!(page.contains("web-01") && page.contains("41.2 %") && page.contains("12 GiB"), "{page}");
        assert!(draw(&[], &samples::look(Lang::En)).into_string().contains(&Lang::En.word("ui-no-hosts")));
    }
}
