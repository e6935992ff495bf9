//! How words and times stand in the OpenAPI document.

use lifesign_core::model::{CheckKind, CheckState, Reason, Severity, State};
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

fn words(words: impl Iterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.map(str::to_owned)))
}

fn or_null(words: ObjectBuilder) -> Object {
    let mut object = words.build();
    object.schema_type = [Type::String, Type::Null].into_iter().collect();
    if let Some(words) = &mut object.enum_values {
        words.push(serde_json::Value::Null);
    }
    object
}

pub(crate) fn state_words() -> Object {
    words(State::ALL.iter().map(|word| word.as_str())).build()
}

pub(crate) fn reason_words() -> Object {
    or_null(words(Reason::ALL.iter().map(|word| word.as_str())))
}

pub(crate) fn check_kinds() -> Object {
    words(CheckKind::ALL.iter().map(|word| word.as_str())).build()
}

pub(crate) fn check_states() -> Object {
    words(CheckState::ALL.iter().map(|word| word.as_str())).build()
}

pub(crate) fn severities() -> Object {
    words(Severity::ALL.iter().map(|word| word.as_str())).build()
}

pub(crate) fn alert_states() -> Object {
    words(["pending", "firing", "resolved"].into_iter()).build()
}

pub(crate) fn alert_states_or_null() -> Object {
    or_null(words(["pending", "firing", "resolved"].into_iter()))
}

pub(crate) fn abouts() -> Object {
    words(["verdict", "evidence", "deadline", "incident", "restart", "notification", "unit"].into_iter())
        .build()
}

fn time_format() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339 in UTC with milliseconds"))
}

pub(crate) fn time() -> Object {
    time_format().build()
}

pub(crate) fn time_or_null() -> Object {
    or_null(time_format())
}
