//! `${env:NAME}` and `${file:PATH}` in any text; `${self}` in `process`; `$${` for a plain `${`.
//!
//! What comes out of a placeholder is marked secret and never echoed. Only the finished tree is filled, so a
//! value that an overlay replaces asks for nothing.

use std::io::{ErrorKind, Read};

use crate::fields::Cx;
use crate::node::{Node, Value};
use crate::problem::shorten;

/// Largest file that `${file:…}` takes in, in bytes.
pub const MAX_INCLUDED: u64 = 64 * 1024;

/// Where the values of placeholders come from.
pub struct Outside<'v> {
    /// Looks an environment variable up.
    pub variable: &'v dyn Fn(&str) -> Option<String>,
}

/// Fills every placeholder of the tree.
pub fn fill(node: &mut Node, outside: &Outside<'_>, cx: &mut Cx) {
    fill_at(node, false, outside, cx);
}

/// `symbolic`: the text belongs to a `process`, where `${self}` stays until the process is started.
fn fill_at(node: &mut Node, symbolic: bool, outside: &Outside<'_>, cx: &mut Cx) {
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                fill_at(&mut entry.node, symbolic || entry.key == "process", outside, cx);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill_at(item, symbolic, outside, cx)),
        Value::Text(text) if text.contains("${") => {
            let text = std::mem::take(text);
            let before = cx.errors();
            let filled = Filling { node, text: &text, symbolic, outside, cx }.run();
            if cx.errors() > before {
                cx.silence(node.span);
            }
            node.secret |= filled.secret;
            node.value = Value::Text(filled.text);
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
    }
}

struct Filled {
    text: String,
    secret: bool,
}

struct Filling<'f, 'v> {
    node: &'f Node,
    text: &'f str,
    symbolic: bool,
    outside: &'f Outside<'v>,
    cx: &'f mut Cx,
}

impl Filling<'_, '_> {
    fn run(mut self) -> Filled {
        let mut filled = Filled { text: String::with_capacity(self.text.len()), secret: false };
        let mut at = 0;
        while let Some(found) = self.text[at..].find("${").map(|offset| at + offset) {
            filled.text.push_str(&self.text[at..found]);
            if filled.text.ends_with('$') {
                // `$${` is a plain `${`.
                filled.text.push('{');
                at = found + 2;
                continue;
            }
            let Some(end) = self.text[found..].find('}').map(|offset| found + offset) else {
                self.error(
                    found,
                    self.text.len(),
                    "this `${` has no `}`".to_owned(),
                    "write `$${` for a plain `${`",
                );
                return filled;
            };
            match &self.text[found + 2..end] {
                "self" if self.symbolic => filled.text.push_str("${self}"),
                inner => {
                    if let Some(value) = self.value(inner, found, end + 1) {
                        filled.text.push_str(&value);
                    }
                    filled.secret = true;
                }
            }
            at = end + 1;
        }
        filled.text.push_str(&self.text[at..]);
        filled
    }

    fn value(&mut self, inner: &str, from: usize, to: usize) -> Option<String> {
        match inner.split_once(':') {
            Some(("env", name)) => {
                let value = if name.is_empty() || name.contains(['=', '\0']) {
                    None
                } else {
                    (self.outside.variable)(name)
                };
                if value.is_none() {
                    let message = format!("the environment variable `{}` is not set", shorten(name, 60));
                    self.error(from, to, message, "set it where lifesign is started");
                }
                value
            }
            Some(("file", path)) => match read_included(&self.cx.resolve(path)) {
                Ok(text) => Some(text),
                Err(why) => {
                    let message = format!("`{}` cannot be read: {why}", shorten(path, 100));
                    self.error(from, to, message, "a path starts at the folder of this file");
                    None
                }
            },
            _ if inner == "self" => {
                self.error(
                    from,
                    to,
                    "`${self}` is known in `process` only".to_owned(),
                    "the running executable",
                );
                None
            }
            _ => {
                let message = format!("unknown placeholder `${{{}}}`", shorten(inner, 40));
                self.error(
                    from,
                    to,
                    message,
                    "known: `${env:NAME}`, `${file:PATH}`; write `$${` for a plain `${`",
                );
                None
            }
        }
    }

    fn error(&mut self, from: usize, to: usize, message: String, hint: &str) {
        let span = self.cx.sources.inside(self.node.span, self.text, from, to - from);
        self.cx.error(span, message).hint(hint);
    }
}

/// Why a file cannot be read: the usual reasons in words that are the same on every system.
pub(crate) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "access is denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The text of a file without its last line break.
fn read_included(path: &std::path::Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| why(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_INCLUDED + 1).read_to_end(&mut bytes).map_err(|error| why(&error))?;
    if bytes.len() as u64 > MAX_INCLUDED {
        return Err(format!("it is larger than {MAX_INCLUDED} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
