//! Laying one file over another: `lifesign.prod.yaml` over `lifesign.yaml`.
//!
//! Maps are merged key by key; a value replaces a value; `null` takes a key away. A list replaces a list, except
//! the lists of named things in [`NAMED`], whose entries are merged by name: known names in place, new ones at
//! the end.

use std::path::{Path, PathBuf};

use crate::node::{Entry, Node, Value};

/// Lists merged by the name of their entries: the path of the list, and the key that names an entry.
pub const NAMED: [(&str, &str); 5] = [
    ("services", "id"),
    ("rules", "alert"),
    ("receivers", "name"),
    ("access.roles", "name"),
    ("access.tokens", "name"),
];

/// Where the overlay `name` of `file` lies: the name goes before the ending.
pub fn overlay_path(file: &Path, name: &str) -> PathBuf {
    let mut file_name = file.file_stem().unwrap_or_default().to_owned();
    file_name.push(".");
    file_name.push(name);
    if let Some(ending) = file.extension() {
        file_name.push(".");
        file_name.push(ending);
    }
    file.with_file_name(file_name)
}

/// Whether `name` can be part of a file's name and nothing more.
pub fn is_overlay_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Lays `over` over `base`.
pub fn merge(base: Node, over: Node) -> Node {
    merge_at("", base, over)
}

fn merge_at(path: &str, base: Node, over: Node) -> Node {
    let named = NAMED.iter().find(|(list, _)| *list == path).map(|(_, key)| *key);
    match (base.value, over.value, named) {
        (Value::Map(base_entries), Value::Map(over_entries), _) => Node {
            value: Value::Map(merge_maps(path, base_entries, over_entries)),
            ..base_of(base.span, base.secret)
        },
        (Value::List(base_items), Value::List(over_items), Some(key)) => Node {
            value: Value::List(merge_named(key, base_items, over_items)),
            ..base_of(base.span, base.secret)
        },
        // An overlay without content changes nothing.
        (value, Value::Null, _) if path.is_empty() => Node { value, ..base_of(base.span, base.secret) },
        (_, value, _) => Node { value, span: over.span, secret: over.secret },
    }
}

fn base_of(span: crate::source::Span, secret: bool) -> Node {
    Node { value: Value::Null, span, secret }
}

fn merge_maps(path: &str, mut base: Vec<Entry>, over: Vec<Entry>) -> Vec<Entry> {
    for entry in over {
        let place = base.iter().position(|known| known.key == entry.key);
        match place {
            Some(index) if entry.node.value == Value::Null => {
                base.remove(index);
            }
            Some(index) => {
                let known = base.remove(index);
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                let node = merge_at(&path, known.node, entry.node);
                base.insert(index, Entry { key: entry.key, key_span: entry.key_span, node });
            }
            None => base.push(entry),
        }
    }
    base
}

fn merge_named(key: &str, mut base: Vec<Node>, over: Vec<Node>) -> Vec<Node> {
    for item in over {
        let name = item.get(key).and_then(Node::text);
        let place =
            base.iter().position(|known| name.is_some() && known.get(key).and_then(Node::text) == name);
        match place {
            Some(index) => {
                let known = base.remove(index);
                // Inside an entry no list is merged by name.
                base.insert(index, merge_at("[]", known, item));
            }
            None => base.push(item),
        }
    }
    base
}
