//! The answer to heartbeats.

use lifesign_core::model::State;
use serde::{Deserialize, Serialize};

/// The body of a 200: one acknowledgement for each heartbeat, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acks {
    /// The acknowledgements.
    pub acks: Vec<Ack>,
}

/// What became of one heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ack {
    /// The service it named; empty when it named none that can be repeated.
    pub service_id: String,
    /// The state of that service after this heartbeat; absent when it was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub state: Option<State>,
    /// Whether it counted.
    pub accepted: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Ack {
    /// It counted, and left the service in `state`.
    pub fn accepted(service_id: impl Into<String>, state: State) -> Self {
        Self { service_id: service_id.into(), state: Some(state), accepted: true, error: None }
    }

    /// It did not count, because of `error`.
    pub fn refused(service_id: impl Into<String>, error: impl Into<String>) -> Self {
        Self { service_id: service_id.into(), state: None, accepted: false, error: Some(error.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_has_the_shape_of_the_contract() {
        let acks = Acks {
            acks: vec![Ack::accepted("orders", State::Up), Ack::refused("ordres", "no service ordres")],
        };
        let text = r#"{"acks":[{"service_id":"orders","state":"up","accepted":true},{"service_id":"ordres","accepted":false,"error":"no service ordres"}]}"#;
        assert_eq!(serde_json::to_string(&acks).unwrap(), text);
        assert_eq!(serde_json::from_str::<Acks>(text).unwrap(), acks);
    }
}
