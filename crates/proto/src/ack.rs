//! The answer to heartbeats.

use std::sync::Arc;

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
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub service_id: Arc<str>,
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

/// Bytes of an acknowledgement beside the service's name.
const ACK: usize = 64;

impl Acks {
    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let room = self.acks.iter().map(|ack| ACK + ack.service_id.len()).sum();
        let mut json = Vec::with_capacity(room);
        json.extend_from_slice(b"{\"acks\":[");
        for (index, ack) in self.acks.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            ack.write(&mut json);
        }
        json.extend_from_slice(b"]}");
        json
    }
}

impl Ack {
    /// Appends it as JSON. One that says only what nearly all say is put together from its parts: no letter of an id
    /// needs an escape.
    fn write(&self, json: &mut Vec<u8>) {
        let is_id = |id: &str| {
            id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@'))
        };
        match self.state {
            Some(state) if self.accepted && self.error.is_none() && is_id(&self.service_id) => {
                json.extend_from_slice(b"{\"service_id\":\"");
                json.extend_from_slice(self.service_id.as_bytes());
                json.extend_from_slice(b"\",\"state\":\"");
                json.extend_from_slice(state.as_str().as_bytes());
                json.extend_from_slice(b"\",\"accepted\":true}");
            }
            // Texts and booleans written to memory: that does not fail.
            _ => drop(serde_json::to_writer(json, self)),
        }
    }
}

impl Ack {
    /// It counted, and left the service in `state`.
    pub fn accepted(service_id: impl Into<Arc<str>>, state: State) -> Self {
        Self { service_id: service_id.into(), state: Some(state), accepted: true, error: None }
    }

    /// It did not count, because of `error`.
    pub fn refused(service_id: impl Into<Arc<str>>, error: impl Into<String>) -> Self {
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

    #[test]
    fn what_is_put_together_is_what_a_serialiser_writes() {
        let states =
            [State::Pending, State::Up, State::Degraded, State::Suspect, State::Down, State::Unknown];
        let mut acks: Vec<Ack> = states.map(|state| Ack::accepted("orders@web-01", state)).into();
        acks.extend([
            Ack::accepted("a \"strange\" name", State::Up),
            Ack::refused("ordres", "no \n such \u{1} thing"),
            Ack::refused("", ""),
            Ack { error: Some("but".to_owned()), ..Ack::accepted("orders", State::Up) },
        ]);
        for many in 0..=acks.len() {
            let acks = Acks { acks: acks[..many].to_vec() };
            assert_eq!(String::from_utf8(acks.to_json()).unwrap(), serde_json::to_string(&acks).unwrap());
        }
    }
}
