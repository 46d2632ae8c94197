//! Messages are taken back, and reach nobody more from who knows so.

use super::{
    Checked, violated,
    world::{World, short},
};
use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::Recipients,
};

impl World {
    /// Somebody takes back the newest message of a topic that a node keeps: from all, or from `session`.
    pub(super) fn withdraw(
        &mut self,
        node: usize,
        session: SessionId,
        topic: &TopicName,
    ) -> Checked {
        let topics = self.core(node).replica().topics();
        let newest = topics.find(topic).and_then(|key| topics.get(key).log.iter().next_back());
        let Some(id) = newest.map(|entry| entry.id()) else {
            return Ok(());
        };
        let from = match self.dice.chance(500) {
            true => Recipients::Everyone,
            false => Recipients::only([session]),
        };
        let (core, now) = (self.core(node), self.instant());
        let at = MessageId::new(core.id(), core.replica().applied().get(core.id()));
        let withdrawn = self.core_mut(node).withdraw(topic, id, from.clone(), now);
        withdrawn.expect("the message is kept, and there are few sessions");
        self.say(|| format!("n{node} takes {id} of {topic} back from {from:?}"));
        if self.core(node).replica().applied().covers(at) {
            self.ghost.withdrawn.entry(id).or_default().push((at, from));
        }
        self.after(node)
    }

    /// S0: a session is given nothing that was taken back from it, as its node knows.
    pub(super) fn check_withdrawn(
        &self,
        node: usize,
        session: SessionId,
        id: MessageId,
    ) -> Checked {
        let known = self.core(node).replica().known();
        let mut withdrawn = self.ghost.withdrawn.get(&id).into_iter().flatten();
        match withdrawn.any(|(at, from)| known.covers(*at) && from.include(session)) {
            true => {
                let text = format!("{} is given {id}, which was taken back", short(session));
                violated("S0 recipients", text)
            }
            false => Ok(()),
        }
    }
}
