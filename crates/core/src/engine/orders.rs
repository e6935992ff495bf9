//! What people order: restart, pause, resume, forget, acknowledge. Each is audited, refused or not.

use std::sync::Arc;

use super::{Answer, Engine, Turn, topology};
use crate::effect::Effect;
use crate::input::{Order, Refusal};
use crate::model::{IncidentId, ServiceId};

impl Engine {
    pub(super) fn on_order(&mut self, by: &Arc<str>, order: &Order, turn: &mut Turn<'_>) -> Answer {
        let result = match order {
            Order::Restart(id) => self.order_restart(by, id, turn),
            Order::Pause(id) => self.pause(id, true, turn),
            Order::Resume(id) => self.pause(id, false, turn),
            Order::Forget(id) => self.forget(id, turn),
            Order::Acknowledge(id) => self.acknowledge(by, *id, turn),
        };
        let (action, target) = match order {
            Order::Restart(id) => ("restart", id.to_string()),
            Order::Pause(id) => ("pause", id.to_string()),
            Order::Resume(id) => ("resume", id.to_string()),
            Order::Forget(id) => ("forget", id.to_string()),
            Order::Acknowledge(id) => ("acknowledge", format!("incident {id}")),
        };
        match result {
            Ok(answer) => {
                turn.audit(by, action, target, "done");
                answer
            }
            Err(refusal) => {
                turn.audit(by, action, target, format!("refused: {refusal}"));
                Answer::Refused(refusal)
            }
        }
    }

    fn pause(&mut self, id: &ServiceId, paused: bool, turn: &mut Turn<'_>) -> Result<Answer, Refusal> {
        let index = self.find(id.as_str()).ok_or_else(|| Refusal::NoSuchService(id.clone()))?;
        self.services[index].paused = paused;
        let ix = self.services[index].ix;
        let what = if paused { "paused" } else { "resumed" };
        self.note(
            ix,
            what,
            format!("watching goes on; alerts and restarts are {}", if paused { "held" } else { "back" }),
            turn,
        );
        self.reconsider(ix, turn);
        self.remember(ix, turn);
        Ok(Answer::Done)
    }

    fn acknowledge(&mut self, by: &Arc<str>, id: IncidentId, turn: &mut Turn<'_>) -> Result<Answer, Refusal> {
        let ix = self
            .services
            .iter()
            .find(|service| service.incident.as_ref().is_some_and(|open| open.record.id == id))
            .map(|service| service.ix);
        let Some(ix) = ix else {
            let wall = turn.wall;
            let of_group = self.change_group(id, |open| {
                if open.record.acknowledged_by.as_ref() != Some(by) {
                    open.record.acknowledged_by = Some(Arc::clone(by));
                    turn.out.push(Effect::Incident(open.record.clone()));
                    let detail = format!("{by} takes care of it");
                    topology::note_group(open, wall, "acknowledged", &detail, turn.out);
                }
            });
            if of_group.is_some() {
                return Ok(Answer::Done);
            }
            let closed = id.0 > 0 && id.0 < self.next_incident;
            return Err(if closed { Refusal::IncidentClosed(id) } else { Refusal::NoSuchIncident(id) });
        };
        if let Some(open) = &mut self.services[ix.0 as usize].incident {
            if open.record.acknowledged_by.as_ref() == Some(by) {
                return Ok(Answer::Done);
            }
            open.record.acknowledged_by = Some(Arc::clone(by));
            turn.out.push(Effect::Incident(open.record.clone()));
        }
        self.note(ix, "acknowledged", format!("{by} takes care of it"), turn);
        Ok(Answer::Done)
    }
}
