//! What each thing that happens changes.

use std::ops::ControlFlow;

use exosphere::proto::Durability;

use crate::{
    cluster::Action,
    scenario::{Break, Scenario},
    small::{Id, NODES, Op, PLAIN, Place, Upto},
    state::{Handler, NEVER_LOST, NOWHERE, READERS, State, Takeover, Wire},
};

impl Scenario {
    /// One thing happens.
    pub(crate) fn happen(&self, state: &mut State, action: Action) {
        match action {
            Action::Push => self.push(state),
            Action::Acknowledge => self.acknowledge(state),
            Action::PushMove(place) => self.move_pusher(state, place),
            Action::Release(place) => self.release(state, place),
            Action::Tell(place) => self.tell(state, place),
            Action::Publish(place) => self.publish(state, place),
            Action::Finish(place) => self.finish(state, place),
            Action::Apply(place, origin) => self.apply(state, place, origin),
            Action::Snapshot(from, to) => self.restore(state, from, to),
            Action::Report(reader, place) => {
                let home = state.readers[reader].home;
                let has = state.nodes[home].acknowledged[reader];
                state.nodes[place].acknowledged[reader].merge(has);
            }
            Action::Give(reader) => self.give(state, reader),
            Action::Receive(reader) => self.receive(state, reader),
            Action::Confirm(reader) => {
                let (home, sent) = (state.readers[reader].home, state.readers[reader].sent);
                state.nodes[home].acknowledged[reader].merge(sent);
            }
            Action::Connect(reader, place) => self.connect(state, reader, place),
            Action::Leave(reader) => {
                state.readers[reader].home = NOWHERE;
                state.readers[reader].wire = Wire::Nothing;
            }
            Action::Join(reader, place) => self.join(state, reader, place),
            Action::Expire(reader, place) => {
                state.left.expiries -= 1;
                self.commit(state, place, Op::Closed(reader as u8));
            }
            Action::Sync(place) => state.nodes[place].disk = state.nodes[place].applied,
            Action::Say(place) => {
                let text = PLAIN + state.plain();
                self.commit(state, place, Op::Published(text));
            }
            Action::Crash(place) => self.crash(state, place),
            Action::Notice(place, peer) => state.nodes[place].live &= !(1 << peer),
            Action::Cut(place) => self.cut(state, place),
            Action::Heal => heal(state),
            Action::Restart(place, dead) => self.restart(state, place, dead),
        }
    }

    /// What follows from anything that happened.
    pub(crate) fn settle(&self, state: &mut State) {
        for place in 0..NODES {
            if state.nodes[place].up {
                self.check_takeover(state, place);
            }
            if state.nodes[place].up {
                self.put_off_what_must_wait(state, place);
            }
            if self.eager {
                self.read_all(state);
            }
            // Sooner or later makes no difference but to who lacks it: sooner is worse.
            while state.nodes[place].up && self.may_trim(state, place) {
                state.nodes[place].log.pop_first(Id::default());
            }
        }
        for place in 0..NODES {
            let is_missed = state.up().any(|node| node.takes_for_live(place));
            if !state.nodes[place].up && state.nodes[place].was && !is_missed {
                self.bury(state, place);
            } else if self.short_tails && state.nodes[place].up {
                let kept = match self.lacks(Break::Stability) {
                    true => state.nodes[place].applied,
                    false => self.stable(state, place),
                };
                state.nodes[place].tails.merge(kept);
            }
        }
    }

    /// All readers read what there is, and all hear how far they got.
    fn read_all(&self, state: &mut State) {
        for reader in 0..READERS {
            let mut tell = |action| ControlFlow::Break(action);
            while let ControlFlow::Break(action) = self.reading(state, reader, &mut tell)
                && !matches!(action, Action::Connect(..))
            {
                self.happen(state, action);
            }
        }
    }

    fn put_off_what_must_wait(&self, state: &mut State, place: Place) {
        for origin in 0..NODES {
            let end = self.put_off(state, place, origin);
            let node = &mut state.nodes[place];
            if let Some(end) = end {
                node.put_off.advance(origin, end);
            } else if node.put_off.get(origin) <= node.applied.get(origin) {
                node.put_off.0[origin] = 0;
            }
        }
    }

    /// Leaves nothing of a dead node that no longer counts: two such states are the same.
    fn bury(&self, state: &mut State, place: Place) {
        let applied = match self.lacks(Break::LiveCopies) {
            true => state.nodes[place].applied,
            false => Upto::default(),
        };
        let node = &mut state.nodes[place];
        (node.applied, node.acknowledged, node.members) = (applied, Default::default(), 0);
        if self.restarts == 0 {
            (node.owner, node.epoch) = (0, 0);
        }
    }

    fn push(&self, state: &mut State) {
        let (home, push) = (state.pusher.home, state.pusher.sent + 1);
        let node = &state.nodes[home];
        let accepted = state.accepted(node.applied, push).filter(|_| !self.lacks(Break::Inbox));
        match accepted {
            Some(id) => {
                if state.is_open(home, push) {
                    self.follow(state, home, id.origin(), id.seq() + 1);
                }
                for origin in 0..NODES {
                    let node = &state.nodes[home];
                    if origin != home && !node.takes_for_live(origin) {
                        self.follow(state, home, origin, node.applied.get(origin));
                    }
                }
            }
            None if node.numbers & 1 << push != 0 => {}
            None => self.commit(state, home, Op::Accepted(push)),
        }
        let due = state.journals[home].len() as u8;
        state.pusher.sent = push;
        state.pusher.due.push(due);
    }

    /// The client is told on how many nodes its push is: fewer deaths do not lose it.
    fn acknowledge(&self, state: &mut State) {
        let due = state.pusher.due.as_slice()[0];
        let on_disk = self.durability == Durability::Disk;
        let copies = if on_disk { u8::MAX } else { 1 + self.copies(state, due) as u8 };
        let promised = state.left.crashes.checked_sub(copies).unwrap_or(NEVER_LOST);
        state.pusher.due.pop_first(0);
        state.pusher.acknowledged += 1;
        state.pusher.promised.push(promised);
    }

    /// A node writes an operation, and knows it.
    fn commit(&self, state: &mut State, place: Place, op: Op) {
        state.journals[place].push(op);
        self.apply(state, place, place);
    }

    /// A node applies the next operation of a journal.
    fn apply(&self, state: &mut State, place: Place, origin: Place) {
        let id = Id::new(origin, state.nodes[place].applied.get(origin));
        let op = state.op(id);
        if let Op::Follows(after) = op
            && !state.nodes[place].applied.covers(after)
        {
            state.deaf = true; // What is given up, nothing comes behind.
            if self.lacks(Break::GivenUpToo) {
                return self.count(state, place, id, op);
            }
            let given_up = &mut state.nodes[place].given_up.0[origin];
            *given_up = if *given_up == 0 { id.seq() + 1 } else { *given_up };
        }
        self.count(state, place, id, op);
    }

    fn count(&self, state: &mut State, place: Place, id: Id, op: Op) {
        state.nodes[place].applied.advance(id.origin(), id.seq() + 1);
        match op {
            Op::Published(_) => self.store(state, place, id),
            Op::Joined(reader, from) => self.hear_of_join(state, place, usize::from(reader), from),
            Op::Closed(reader) => self.hear_of_close(state, place, usize::from(reader)),
            Op::Accepted(_) | Op::Handled(_) | Op::Follows(_) => {}
        }
    }

    fn store(&self, state: &mut State, place: Place, id: Id) {
        let node = &mut state.nodes[place];
        node.log.push(id);
        if self.log_limit > 0 && node.log.len() > usize::from(self.log_limit) {
            let first = node.log.as_slice()[0];
            node.log.pop_first(Id::default());
            if !self.lacks(Break::Lost) {
                node.lost.advance(first.origin(), first.seq() + 1);
            }
        }
    }

    /// What was dropped as if all had it, before this node heard of who joined, is lost for them.
    fn hear_of_join(&self, state: &mut State, place: Place, reader: usize, from: Upto) {
        let node = &state.nodes[place];
        let is_gone = |id: Id| !node.log.has(id) && !from.covers(id);
        let mut lost = node.lost;
        for (id, op) in state.ops(node.applied) {
            if matches!(op, Op::Published(_)) && is_gone(id) {
                lost.advance(id.origin(), id.seq() + 1);
            }
        }
        let node = &mut state.nodes[place];
        node.lost = lost;
        node.members |= 1 << reader;
        node.acknowledged[reader].merge(from);
    }

    fn hear_of_close(&self, state: &mut State, place: Place, reader: usize) {
        let node = &mut state.nodes[place];
        node.closed |= 1 << reader;
        node.acknowledged[reader] = Upto::default();
        if state.readers[reader].home == place && !self.lacks(Break::Telling) {
            state.readers[reader].over = true;
            state.readers[reader].wire = Wire::Nothing;
        }
    }

    /// From here on, what `place` does comes after what `origin` did before `next`.
    fn follow(&self, state: &mut State, place: Place, origin: Place, next: u8) {
        let node = &mut state.nodes[place];
        if origin != place && node.followed.get(origin) < next && !self.lacks(Break::Follows) {
            node.followed.advance(origin, next);
            self.commit(state, place, Op::Follows(Id::new(origin, next - 1)));
        }
    }

    fn move_pusher(&self, state: &mut State, place: Place) {
        let pusher = &mut state.pusher;
        let old = pusher.home;
        (pusher.home, pusher.sent) = (place, pusher.acknowledged);
        while pusher.due.len() > 0 {
            pusher.due.pop_first(0);
        }
        if state.nodes[old].up && state.nodes[old].owner == old {
            state.left.push_moves -= 1;
        }
        let (owner, epoch) = (state.nodes[place].owner, state.nodes[place].epoch + 1);
        (state.nodes[place].owner, state.nodes[place].epoch) = (place, epoch);
        state.nodes[place].takeover =
            if owner == place { Takeover::None } else { Takeover::Asking(owner) };
        for peer in 0..NODES {
            // The last owner hears of it when it is asked.
            if peer != owner && state.is_linked(place, peer) {
                learn_owner(state, peer, place, epoch);
            }
        }
    }

    /// The last owner hears of the claim: it takes no further push, and says where its journal ends.
    fn release(&self, state: &mut State, place: Place) {
        let Takeover::Asking(from) = state.nodes[place].takeover else {
            return;
        };
        let (epoch, before) = (state.nodes[place].epoch, state.nodes[from].takeover);
        learn_owner(state, from, place, epoch);
        match before {
            // It does not know itself what the owner before it did. That one is asked instead.
            Takeover::Asking(earlier) if earlier != place => {
                state.nodes[place].takeover = Takeover::Asking(earlier);
                return;
            }
            Takeover::Waiting(earlier, next) if earlier != place => {
                self.follow(state, from, earlier, next);
            }
            _ => {}
        }
        let next = state.journals[from].len() as u8;
        state.nodes[place].takeover = Takeover::Waiting(from, next);
        if self.lacks(Break::WholePushes) {
            let knows = state.nodes[from].applied;
            let numbers = (1..=self.pushes).filter(|&push| state.accepted(knows, push).is_some());
            state.nodes[place].numbers |= numbers.fold(0, |bits, push| bits | 1 << push);
        }
    }

    fn check_takeover(&self, state: &mut State, place: Place) {
        let (from, next) = match state.nodes[place].takeover {
            Takeover::None => return,
            Takeover::Asking(from) => (from, None),
            Takeover::Waiting(from, next) => (from, Some(next)),
        };
        let node = &state.nodes[place];
        let here = node.applied.get(from);
        let nobody_has_more = (0..NODES).filter(|&peer| node.takes_for_live(peer)).all(|peer| {
            state.is_linked(place, peer) && state.nodes[peer].applied.get(from) <= here
        });
        let is_all_here = next.is_some_and(|next| here >= next);
        let is_all_there_is = !node.takes_for_live(from) && nobody_has_more;
        let waits_for_nothing = self.lacks(Break::Takeover) || self.lacks(Break::WholePushes);
        if is_all_here || is_all_there_is || (waits_for_nothing && next.is_some()) {
            let knows = state.nodes[place].applied;
            let is_unheard = |push| state.accepted(knows, push).is_none();
            let is_told = is_all_here || waits_for_nothing;
            state.deaf |= !is_told && (1..=state.pusher.acknowledged).any(is_unheard);
            state.nodes[place].takeover = Takeover::None;
            self.follow(state, place, from, here);
        }
    }

    fn tell(&self, state: &mut State, place: Place) {
        if let Some(push) = self.next_told(state, place) {
            let applied = state.nodes[place].applied;
            state.again |= state.is_handled(place, push);
            let known: Vec<_> = state.ops(applied).collect();
            for (id, op) in known {
                let is_earlier = matches!(op, Op::Handled(handled) if handled < push);
                if is_earlier && !self.lacks(Break::LateHandlers) {
                    self.follow(state, place, id.origin(), id.seq() + 1);
                }
            }
            state.nodes[place].handler = Handler::Told(push);
        }
    }

    fn publish(&self, state: &mut State, place: Place) {
        let Handler::Told(push) = state.nodes[place].handler else {
            return;
        };
        let effect = match self.is_open(state, place, push) {
            true => state.effect(state.nodes[place].applied, push),
            false => None,
        };
        match effect {
            Some(id) if !self.lacks(Break::Effects) => {
                self.follow(state, place, id.origin(), id.seq() + 1);
            }
            known => {
                state.again |= known.is_some();
                self.commit(state, place, Op::Published(push));
            }
        }
        state.nodes[place].handler = Handler::Published(push);
    }

    fn finish(&self, state: &mut State, place: Place) {
        let Handler::Published(push) = state.nodes[place].handler else {
            return;
        };
        if self.is_open(state, place, push) {
            self.commit(state, place, Op::Handled(push));
        }
        state.nodes[place].handler = Handler::Idle;
    }

    /// A node takes over all that another knows.
    fn restore(&self, state: &mut State, from: Place, to: Place) {
        let source = state.nodes[from];
        let node = &mut state.nodes[to];
        let before = node.applied;
        for &id in source.log.as_slice() {
            if !before.covers(id) {
                node.log.push(id);
            }
        }
        if !self.lacks(Break::LostInSnapshots) {
            node.lost.merge(source.lost);
        }
        node.applied.merge(source.applied);
        node.tails.merge(source.applied);
        node.members |= source.members;
        for reader in 0..READERS {
            node.acknowledged[reader].merge(source.acknowledged[reader]);
        }
        let closed = source.closed & !node.closed;
        for reader in (0..READERS).filter(|&reader| closed & 1 << reader != 0) {
            self.hear_of_close(state, to, reader);
        }
        while self.log_limit > 0 && state.nodes[to].log.len() > usize::from(self.log_limit) {
            let first = state.nodes[to].log.as_slice()[0];
            state.nodes[to].log.pop_first(Id::default());
            state.nodes[to].lost.advance(first.origin(), first.seq() + 1);
        }
    }

    fn give(&self, state: &mut State, index: usize) {
        let reader = &mut state.readers[index];
        let home = &mut state.nodes[reader.home];
        if !reader.sent.includes(home.lost) {
            reader.sent.merge(home.lost);
            reader.wire = Wire::Gap(reader.sent);
        } else if let Some(&id) = home.log.as_slice().iter().find(|&&id| !reader.sent.covers(id)) {
            reader.sent.advance(id.origin(), id.seq() + 1);
            reader.wire = Wire::Message(id);
        }
        if self.lacks(Break::Confirmation) {
            home.acknowledged[index].merge(reader.sent);
        }
    }

    fn receive(&self, state: &mut State, index: usize) {
        match state.readers[index].wire {
            Wire::Message(id) => {
                let text = state.text(id);
                let reader = &mut state.readers[index];
                let is_news = !reader.have.covers(id);
                reader.have.advance(id.origin(), id.seq() + 1);
                let is_shown = reader.shown.has(text) && !self.lacks(Break::Causes);
                if is_news && !is_shown {
                    reader.shown.push(text);
                }
            }
            Wire::Gap(to) => {
                let reader = &mut state.readers[index];
                reader.told.merge(to);
                reader.have.merge(to);
            }
            Wire::Nothing => {}
        }
        state.readers[index].wire = Wire::Nothing;
    }

    fn connect(&self, state: &mut State, index: usize, place: Place) {
        let node = &state.nodes[place];
        let reader = &mut state.readers[index];
        if state.nodes.get(reader.home).is_some_and(|home| home.up) {
            state.left.moves -= 1;
        }
        (reader.home, reader.wire) = (place, Wire::Nothing);
        reader.sent = node.acknowledged[index];
        reader.over = node.closed & 1 << index != 0;
    }

    fn join(&self, state: &mut State, index: usize, place: Place) {
        state.left.joins -= 1;
        let from = state.nodes[place].applied;
        self.commit(state, place, Op::Joined(index as u8, from));
        let reader = &mut state.readers[index];
        (reader.joined, reader.home) = (true, place);
        (reader.from, reader.have, reader.sent) = (from, from, from);
    }

    fn crash(&self, state: &mut State, place: Place) {
        state.left.crashes -= 1;
        let node = &mut state.nodes[place];
        (node.up, node.live) = (false, 0);
        (node.tails, node.put_off) = (Upto::default(), Upto::default());
        node.log = crate::small::Row::new(Id::default());
        node.given_up = Upto::default();
        (node.lost, node.closed, node.followed) = (Upto::default(), 0, Upto::default());
        (node.takeover, node.handler, node.numbers) = (Takeover::None, Handler::Idle, 0);
        if state.cut == place {
            state.cut = NOWHERE;
        }
        if !self.slow_notice {
            for peer in 0..NODES {
                state.nodes[peer].live &= !(1 << place);
            }
        }
    }

    fn cut(&self, state: &mut State, place: Place) {
        state.left.cuts -= 1;
        state.cut = place;
        if !self.slow_notice {
            state.nodes[place].live = 0;
            for peer in 0..NODES {
                state.nodes[peer].live &= !(1 << place);
            }
        }
    }

    /// A process starts, under a name of its own, with what a dead one had on its disk.
    fn restart(&self, state: &mut State, place: Place, dead: Place) {
        state.left.restarts -= 1;
        let (disk, owner, epoch) = {
            let dead = &mut state.nodes[dead];
            dead.inherited = true;
            (std::mem::take(&mut dead.disk), dead.owner, dead.epoch)
        };
        let node = &mut state.nodes[place];
        (node.up, node.was, node.owner, node.epoch) = (true, true, owner, epoch);
        node.members = (1 << self.readers) - 1;
        let mut has_moved = true;
        while std::mem::take(&mut has_moved) {
            for origin in 0..NODES {
                let next = state.nodes[place].applied.get(origin);
                let may = next < disk.get(origin)
                    && match state.op(Id::new(origin, next)) {
                        Op::Follows(after) => {
                            state.nodes[place].applied.covers(after) || !disk.covers(after)
                        }
                        _ => true,
                    };
                if may {
                    self.apply(state, place, origin);
                    has_moved = true;
                }
            }
        }
        state.nodes[place].disk = disk;
        heal(state);
    }
}

/// All links are there: nodes see each other, and agree who owns the session.
fn heal(state: &mut State) {
    state.cut = NOWHERE;
    let up: Vec<_> = (0..NODES).filter(|&place| state.nodes[place].up).collect();
    let claims = up.iter().map(|&place| (state.nodes[place].epoch, state.nodes[place].owner));
    let (epoch, owner) = claims.max().unwrap_or_default();
    for &place in &up {
        for &peer in up.iter().filter(|&&peer| peer != place) {
            state.nodes[place].live |= 1 << peer;
        }
        let node = &state.nodes[place];
        // Who is still being asked hears of it then.
        let is_asked = up.iter().any(|&it| state.nodes[it].takeover == Takeover::Asking(place));
        if (node.epoch, node.owner) != (epoch, owner) && !is_asked {
            learn_owner(state, place, owner, epoch);
        }
    }
}

/// A node hears who owns the session of the client that pushes.
fn learn_owner(state: &mut State, place: Place, owner: Place, epoch: u8) {
    let node = &mut state.nodes[place];
    if (node.epoch, node.owner) < (epoch, owner) {
        if owner != place {
            node.takeover = Takeover::None;
        }
        (node.owner, node.epoch) = (owner, epoch);
    }
}
