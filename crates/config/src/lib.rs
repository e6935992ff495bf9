//! The configuration of lifesign: from files as written to values that are checked.
//!
//! [`parse`] reads YAML or JSON into a tree of [`Node`]s that know file, line and column; [`Decode`] turns nodes
//! into values and reports every mistake, not the first; [`record!`] declares a section once for decoder, schema
//! and guide. Which kinds of checks and receivers exist is said from outside, by [`Kinds`].
#![warn(missing_docs)]

pub mod address;
pub mod check;
pub mod decode;
pub mod fields;
pub mod kind;
pub mod nearest;
pub mod node;
pub mod parse;
pub mod problem;
pub mod quantity;
pub mod record;
pub mod secret;
pub mod source;
pub mod time;

pub use address::{Host, HostPort, Url};
pub use decode::{Decode, Limited, Located};
pub use fields::{Cx, Fields};
pub use kind::{Kind, Kinds, Target, read};
pub use node::{Entry, Node, Value};
pub use problem::{Level, Problem, Report};
pub use quantity::{Bytes, Percent};
pub use record::Record;
pub use secret::Secret;
pub use source::{Sources, Span};
pub use time::{Budget, DurationRange, Wait};

#[doc(hidden)]
pub use serde_json;
