//! Who published waits for what becomes of it, and is told the truth.

use super::{
    Checked, violated,
    world::{World, short},
};
use crate::{
    id::MessageId,
    proto::{Ending, Verdict},
};

impl World {
    /// Now and then, who publishes wants to know what becomes of it.
    pub(super) fn ask(&mut self, node: usize, id: MessageId) {
        if self.dice.chance(300) {
            let nodes = self.dice.below(4);
            let core = self.core_mut(node);
            let keys = [core.watch_settled(id), core.watch_stored(id, nodes)];
            self.asked.extend(keys.map(|key| ((node, key), id)));
        }
    }

    /// S11: who asked is told, once, and what is so.
    pub(super) fn check_verdicts(&mut self, node: usize) -> Checked {
        for (key, verdict) in self.core_mut(node).poll_verdicts() {
            let Some(id) = self.asked.remove(&(node, key)) else {
                return violated("S11 receipts", format!("n{node} tells nobody: {verdict:?}"));
            };
            self.check_verdict(node, id, verdict)?;
        }
        Ok(())
    }

    /// L6: who asked was told.
    pub(super) fn check_answered(&self) -> Checked {
        match self.asked.iter().next() {
            Some(((node, _), id)) => {
                violated("L6 answered", format!("n{node} never said what became of {id}"))
            }
            None => Ok(()),
        }
    }

    fn check_verdict(&self, node: usize, id: MessageId, verdict: Verdict) -> Checked {
        match verdict {
            Verdict::Stored { nodes, .. } => {
                let has = |other: &usize| {
                    *other != node
                        && self.views[&(node, *other)].live
                        && (!self.is_alive(*other)
                            || self.core(*other).replica().known().covers(id))
                };
                let most = (0..self.nodes.len()).filter(has).count();
                match nodes <= most {
                    true => Ok(()),
                    false => {
                        let text = format!("n{node} says that {nodes} have {id}, not {most}");
                        violated("S11 receipts", text)
                    }
                }
            }
            Verdict::Settled(Some(Ending::Acknowledged)) => {
                let known = self.core(node).replica().known();
                for promise in &self.ghost.published[&id].promises {
                    if known.covers(promise.by)
                        && self.ghost.is_due(id, promise)
                        && !self.ghost.has(promise.session, id)
                    {
                        let session = short(promise.session);
                        let text = format!("n{node} says that all have {id}: {session} lacks it");
                        return violated("S11 receipts", text);
                    }
                }
                Ok(())
            }
            Verdict::OnDisk | Verdict::NotOnDisk => Ok(()),
            Verdict::Settled(Some(_)) => Ok(()), // How it ended is looked at when it does.
            Verdict::Settled(None) => {
                violated("S11 receipts", format!("n{node} does not know what became of {id}"))
            }
        }
    }
}
