//! Every sentence people read, in English and Chinese: dashboard, command line, notifications.
//!
//! The messages stand in Fluent catalogues under `locales/`, one file a prefix: plain words of the contract
//! (`state-`, `reason-`, …), `cli-`, `ui-`, `notify-`. A message is asked for by its key:
//!
//! ```
//! use lifesign_lang::Lang;
//! assert_eq!(Lang::En.text("span-ago", &[("span", "3 s".into())]), "3 s ago");
//! assert_eq!(Lang::Zh.word("state-up"), "正常");
//! ```
//!
//! API fields and logs are English and do not pass here. The sentences of an explanation are English in the
//! engine itself; [`Lang::fact`] only translates them, so they are written down once for each language.
#![warn(missing_docs)]

mod catalogue;
mod choice;
mod words;

pub use choice::Lang;
/// A variable of a message: from text or from a number (which then chooses the plural).
pub use fluent_bundle::FluentValue as Value;

/// The variables of a message, by name.
pub type Args<'a> = [(&'a str, Value<'a>)];
