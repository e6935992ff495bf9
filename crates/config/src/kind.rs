//! Kinds of checks and receivers, given from outside: this crate knows no probe and no receiver.

use std::path::Path;

use serde_json::Value as Json;

use crate::check::CheckKeys;
use crate::decode::Decode;
use crate::fields::{Cx, Fields};
use crate::parse::{Syntax, parse};
use crate::problem::Report;
use crate::record::Record;

/// One kind: how its keys are read into a `T`, and their schema.
#[derive(Debug)]
pub struct Kind<T> {
    /// The key that stands before it in the file: `tcp`, `webhook`.
    pub name: &'static str,
    /// Reads the kind's own keys. The keys that all checks share (see
    /// [`CheckKeys`]) are taken already; unknown ones are reported afterwards.
    pub decode: fn(&mut Fields<'_>, &mut Cx) -> Option<T>,
    /// The schema of the kind's own keys: [`Decode::schema`] of its record.
    pub schema: fn() -> Json,
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kind<T> {}

/// All kinds of a program.
#[derive(Debug)]
pub struct Kinds<C, R> {
    /// Kinds of checks.
    pub checks: Vec<Kind<Vec<Target<C>>>>,
    /// Kinds of receivers.
    pub receivers: Vec<Kind<R>>,
}

/// One address of a check. A check over several addresses has several.
#[derive(Debug, Clone, PartialEq)]
pub struct Target<C> {
    /// What tells it from the others of the service, for people: `127.0.0.1:8080`.
    pub label: String,
    /// What is run.
    pub probe: C,
}

impl<T> Kind<T> {
    /// Reads one entry of this kind from YAML text, shared check keys allowed: for tests of kinds.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(&self, text: &str) -> Result<T, Report> {
        let mut cx = Cx::new(Path::new(""));
        let read = parse("test.yaml", Path::new("test.yaml"), text.as_bytes(), Syntax::Yaml, &mut cx)
            .and_then(|node| {
                let mut fields = Fields::of(&node, "a map", &mut cx)?;
                let shared = CheckKeys::from_fields(&mut fields, &mut cx);
                let read = (self.decode)(&mut fields, &mut cx);
                fields.finish(&mut cx);
                shared.and(read)
            });
        match read {
            Some(value) if cx.errors() == 0 => Ok(value),
            _ => Err(cx.into_report()),
        }
    }
}

/// Reads a whole YAML text as a `T`: for tests and for values given on a command line.
///
/// # Errors
/// All that is wrong with it.
pub fn read<T: Decode>(text: &str) -> Result<T, Report> {
    let mut cx = Cx::new(Path::new(""));
    let value = parse("test.yaml", Path::new("test.yaml"), text.as_bytes(), Syntax::Yaml, &mut cx)
        .and_then(|node| T::decode(&node, &mut cx));
    match value {
        Some(value) if cx.errors() == 0 => Ok(value),
        _ => Err(cx.into_report()),
    }
}
