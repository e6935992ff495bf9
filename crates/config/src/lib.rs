//! The configuration of lifesign: from files as written to values that are checked.
//!
//! [`parse`] reads YAML or JSON into a tree of [`Node`]s that know file, line and column; [`Decode`] turns nodes
//! into values and reports every mistake, not the first; [`record!`] declares a section once for decoder, schema
//! and guide. Which kinds of checks and receivers exist is said from outside, by [`Kinds`].
#![warn(missing_docs)]

pub mod access;
pub mod address;
pub mod alerting;
pub mod check;
pub mod condition;
pub mod config;
mod cross;
pub mod decode;
pub mod dependency;
pub mod discover;
pub mod fields;
pub mod guide;
pub mod heartbeat;
pub mod job;
pub mod kind;
pub mod load;
pub mod local;
pub mod nearest;
pub mod node;
pub mod overlay;
pub mod parse;
mod part;
pub mod peers;
pub mod placeholder;
pub mod problem;
pub mod quantity;
pub mod record;
pub mod rule;
pub mod schema;
pub mod secret;
pub mod server;
pub mod service;
pub mod show;
pub mod source;
pub mod spec;
pub mod time;
pub mod unit;

pub use address::{Host, HostPort, Url};
pub use config::Config;
pub use decode::{Decode, Limited, Located};
pub use fields::{Cx, Fields};
pub use kind::{Kind, Kinds, Target, read};
pub use load::{Loaded, load, load_text, load_with};
pub use node::{Entry, Node, Value};
pub use placeholder::Outside;
pub use problem::{Level, Problem, Report};
pub use quantity::{Bytes, Percent};
pub use record::Record;
pub use schema::schema;
pub use secret::{Quiet, Secret};
pub use service::{Check, Service};
pub use source::{Sources, Span};
pub use spec::{Placed, placed, spec};
pub use time::{Budget, DurationRange, Wait};
pub use unit::Unit;

#[doc(hidden)]
pub use serde_json;
