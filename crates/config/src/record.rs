//! [`record!`](macro@crate::record): one declaration, from which the struct, its decoder, its JSON Schema and its
//! table in the guide are made.
//!
//! ```
//! use lifesign_config::{Cx, Node, record};
//! use std::time::Duration;
//!
//! record! {
//!     /// How often somebody knocks.
//!     pub struct Knock {
//!         /// What is said.
//!         word: String [1..=20],
//!         /// Between two knocks.
//!         interval: Duration = "10s",
//!         /// How long the door may stay shut.
//!         hold as "for": Option<Duration>,
//!     }
//!     check Knock::check
//! }
//!
//! impl Knock {
//!     fn check(&self, node: &Node, cx: &mut Cx) {
//!         if self.hold.is_some_and(|hold| hold < self.interval) {
//!             cx.error(node.at("for"), "this is shorter than `interval`");
//!         }
//!     }
//! }
//! ```
//!
//! A field is `name: Type`, then its limits in brackets (see [`Limited`](crate::Limited)), then its default as
//! JSON. Without a default it is required, unless its type can be [absent](crate::Decode::absent). After the
//! struct may come `not_yet [key, …]`, keys of a later version, and `check`, which sees the finished record.

use serde_json::{Value as Json, json};

use crate::decode::Decode;
use crate::fields::{Cx, Fields};
use crate::node::Node;

/// What [`record!`](macro@crate::record) makes: something with a fixed set of keys.
pub trait Record: Decode {
    /// Takes the record's keys out of a map that may hold others too. The caller finishes the map.
    fn from_fields(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Self>;
}

/// Reads one field. `read` is the type's decoder, with limits where it has any.
#[doc(hidden)]
pub fn field<T: Decode>(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Option<Json>,
    read: impl FnOnce(&Node, &mut Cx) -> Option<T>,
    cx: &mut Cx,
) -> Option<T> {
    match fields.take(key) {
        Some(entry) => read(&entry.node, cx),
        None => match default {
            Some(json) => read(&Node::from(&json), cx),
            None => T::absent().or_else(|| fields.missing(key, &T::what(), cx)),
        },
    }
}

/// One field for the schema.
#[doc(hidden)]
pub struct Property {
    pub key: &'static str,
    pub doc: &'static [&'static str],
    pub schema: Json,
    pub default: Option<Json>,
    pub required: bool,
}

/// The schema of a record. `x-order` keeps the order of the declaration for the guide; it is taken out of the
/// published schema.
#[doc(hidden)]
pub fn schema(doc: &[&str], properties: Vec<Property>) -> Json {
    let order: Vec<_> = properties.iter().map(|property| property.key).collect();
    let required: Vec<_> = properties.iter().filter(|p| p.required).map(|property| property.key).collect();
    let mut map = serde_json::Map::new();
    for property in &properties {
        let mut schema = property.schema.clone();
        schema["description"] = json!(prose(property.doc));
        if let Some(default) = &property.default {
            schema["default"] = default.clone();
        }
        map.insert(property.key.to_owned(), schema);
    }
    json!({
        "type": "object",
        "description": prose(doc),
        "properties": map,
        "required": required,
        "additionalProperties": false,
        "x-order": order,
    })
}

/// Doc comment lines as one paragraph.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Declares a record; see the [module](mod@crate::record).
#[macro_export]
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident $(as $key:literal)? : $type:ty $([ $limits:expr ])? $(= $default:tt)?
            ),* $(,)?
        }
        $(not_yet [ $($later:ident),* $(,)? ])?
        $(check $check:path)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $crate::Record for $name {
            fn from_fields(fields: &mut $crate::Fields<'_>, cx: &mut $crate::Cx) -> Option<Self> {
                $(
                    let $field = $crate::record::field::<$type>(
                        fields,
                        $crate::record!(@key $field $($key)?),
                        $crate::record!(@default $($default)?),
                        $crate::record!(@read $type $(, $limits)?),
                        cx,
                    );
                )*
                $($( fields.not_yet(stringify!($later), cx); )*)?
                let record = Self { $( $field: $field?, )* };
                $( $check(&record, fields.node(), cx); )?
                Some(record)
            }
        }

        impl $crate::Decode for $name {
            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                let mut fields = $crate::Fields::of(node, &<Self as $crate::Decode>::what(), cx)?;
                let record = <Self as $crate::Record>::from_fields(&mut fields, cx);
                fields.finish(cx);
                record
            }

            fn what() -> String {
                let keys: &[&str] = &[$( $crate::record!(@key $field $($key)?) ),*];
                format!("a map with the keys {}", keys.join(", "))
            }

            fn schema() -> $crate::serde_json::Value {
                $crate::record::schema(
                    &[$($doc),*],
                    vec![$(
                        $crate::record::Property {
                            key: $crate::record!(@key $field $($key)?),
                            doc: &[$($field_doc),*],
                            schema: $crate::record!(@schema $type $(, $limits)?),
                            default: $crate::record!(@default $($default)?),
                            required: $crate::record!(@default $($default)?).is_none()
                                && <$type as $crate::Decode>::absent().is_none(),
                        }
                    ),*],
                )
            }
        }
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@default) => { None::<$crate::serde_json::Value> };
    (@default $default:tt) => { Some($crate::serde_json::json!($default)) };

    (@read $type:ty) => { <$type as $crate::Decode>::decode };
    (@read $type:ty, $limits:expr) => {
        |node: &$crate::Node, cx: &mut $crate::Cx| <$type as $crate::Limited>::decode_within(node, &($limits), cx)
    };

    (@schema $type:ty) => { <$type as $crate::Decode>::schema() };
    (@schema $type:ty, $limits:expr) => {{
        let mut schema = <$type as $crate::Decode>::schema();
        <$type as $crate::Limited>::limit_schema(&mut schema, &($limits));
        schema
    }};
}
