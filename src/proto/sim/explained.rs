//! What nodes say of why a session got a message, or did not, is so: an explanation may be that it
//! cannot be told, but nobody is said not to have been in a topic who was. Only of joins that died with
//! the last node that knew of them nobody can tell.

use std::collections::BTreeSet;

use super::{
    Checked, violated,
    world::{World, short},
};
use crate::{
    id::{MessageId, SessionId},
    proto::{Explanation, Outcome, Testimony, What},
};

impl World {
    /// S13: of every message and every session.
    pub(super) fn check_explained(&self) -> Checked {
        let sessions: BTreeSet<_> = self.ghost.received.keys().copied().collect();
        for &id in self.ghost.published.keys() {
            for &session in &sessions {
                self.check_explanation(id, session)?;
            }
        }
        Ok(())
    }

    fn check_explanation(&self, id: MessageId, session: SessionId) -> Checked {
        let (explanation, testimonies) = self.explain(id, session);
        let got = self.ghost.received[&session].has(id);
        let is_wrong = match explanation.outcome {
            Outcome::JoinedLater
            | Outcome::LeftBefore
            | Outcome::NeverJoined
            | Outcome::NotAddressed => {
                let is_given = explanation.steps.iter().any(|step| step.what == What::Given);
                (got && is_given) || self.ghost.is_promised(session, id)
            }
            Outcome::Acknowledged => !got,
            _ => false,
        };
        match is_wrong {
            true => {
                let (outcome, session) = (explanation.outcome, short(session));
                let text = format!("{id} for {session}: {outcome:?}, got {got}: {testimonies:#?}");
                violated("S13 explained", text)
            }
            false => Ok(()),
        }
    }

    /// What all nodes together say.
    fn explain(&self, id: MessageId, session: SessionId) -> (Explanation, Vec<Testimony>) {
        let topic = &self.ghost.published[&id].topic;
        let testify = |node: usize| self.core(node).testify(id, session, Some(topic), |_| 0);
        let testimonies: Vec<_> = self.alive().into_iter().map(testify).collect();
        (Explanation::of(id, session, &testimonies, Vec::new()), testimonies)
    }
}
