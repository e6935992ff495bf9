//! The door: a token opens it.

use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;

/// What the login page shows.
pub(crate) struct Login {
    /// Whether a token has just been refused.
    pub(crate) failed: bool,
    /// Where to go afterwards.
    pub(crate) next: String,
}

/// Draws the page.
pub(crate) fn draw(data: &Login, look: &Look) -> Markup {
    let lang = look.lang();
    let main = html! {
        div.door {
            h1 { (lang.word("ui-log-in-title")) }
            p.soft { (lang.word("ui-log-in-hint")) }
            form method="post" action="/login" {
                @if data.failed { p.wrong #wrong role="alert" { (lang.word("ui-log-in-failed")) } }
                input type="hidden" name="next" value=(data.next);
                label for="token" { (lang.word("ui-token")) }
                input #token type="password" name="token" required autocomplete="current-password" spellcheck="false"
                    aria-invalid=[data.failed.then_some("true")] aria-describedby=[data.failed.then_some("wrong")];
                button.strong { (lang.word("ui-log-in")) }
            }
        }
    };
    frame::page(&lang.word("ui-log-in"), look, &main)
}
