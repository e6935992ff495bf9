//! What is shown instead of a page: there is no such thing, or it cannot be shown now.

use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;

/// Draws the page with the sentence `key` as its title and `detail` (English, or an id) below.
pub(crate) fn draw(key: &str, detail: &str, look: &Look) -> Markup {
    let lang = look.lang();
    let title = lang.word(key);
    let main = html! {
        div.head {
            div {
                h1 { (title) }
                @if !detail.is_empty() { p lang=[look.english()] { (detail) } }
            }
        }
        p { a href="/" { (lang.word("ui-to-overview")) } }
    };
    frame::page(&title, look, &main)
}
