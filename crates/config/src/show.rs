//! The merged configuration as YAML, with secrets blanked out and the origin of each value behind it.

use std::fmt::Write;

use crate::node::{Node, Value};
use crate::problem::Masks;
use crate::source::Sources;

/// What is shown instead of a secret.
const MASKED: &str = "\"***\"";

/// Writes a tree as YAML in block style.
pub fn show(tree: &Node, sources: &Sources, masks: &Masks) -> String {
    let mut printer = Printer { out: String::new(), sources, masks };
    match &tree.value {
        Value::Map(entries) if !entries.is_empty() => printer.map(entries, 0, false),
        Value::Null => printer.out.push_str("{}\n"),
        _ => printer.leaf(tree),
    }
    printer.out
}

struct Printer<'p> {
    out: String,
    sources: &'p Sources,
    masks: &'p Masks,
}

impl Printer<'_> {
    /// `inline`: the first key continues a line that has its indentation already (`- id: …`).
    fn map(&mut self, entries: &[crate::node::Entry], indent: usize, mut inline: bool) {
        for entry in entries {
            if !inline {
                self.indent(indent);
            }
            inline = false;
            self.out.push_str(&scalar(&entry.key));
            self.out.push(':');
            match &entry.node.value {
                Value::Map(inner) if !inner.is_empty() => {
                    self.out.push('\n');
                    self.map(inner, indent + 1, false);
                }
                Value::List(items) if !items.is_empty() && items.iter().any(is_collection) => {
                    self.out.push('\n');
                    self.list(items, indent + 1);
                }
                _ => {
                    self.out.push(' ');
                    self.leaf(&entry.node);
                }
            }
        }
    }

    fn list(&mut self, items: &[Node], indent: usize) {
        for item in items {
            self.indent(indent);
            self.out.push_str("- ");
            match &item.value {
                Value::Map(inner) if !inner.is_empty() => self.map(inner, indent + 1, true),
                Value::List(inner) if inner.iter().any(is_collection) => {
                    self.out.push('\n');
                    self.list(inner, indent + 1);
                }
                _ => self.leaf(item),
            }
        }
    }

    /// A value on the rest of the line, with its place.
    fn leaf(&mut self, node: &Node) {
        let text = self.flow(node);
        let place = self.sources.place(node.span);
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{text}  # {place}");
    }

    fn flow(&self, node: &Node) -> String {
        if node.secret || self.masks.covers(node.span) {
            return MASKED.to_owned();
        }
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            Value::Text(text) => scalar(text),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|item| self.flow(item)).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| format!("{}: {}", scalar(&entry.key), self.flow(&entry.node)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn indent(&mut self, level: usize) {
        self.out.push_str(&"  ".repeat(level));
    }
}

fn is_collection(node: &Node) -> bool {
    matches!(&node.value, Value::Map(_) | Value::List(_))
}

/// A text as YAML: bare when nobody could read it as anything else, else in double quotes as JSON has them.
fn scalar(text: &str) -> String {
    let plain = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/' || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@".contains(&b))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
