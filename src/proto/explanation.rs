//! Why a session got a message, or did not: what several nodes can say, made into one verdict.

mod sentence;

use serde::{Deserialize, Serialize};

use super::{DropCause, Ending, Kept, Seat, Step, Testimony, What};
use crate::id::{MessageId, NodeId, SessionId, TopicName};

/// What came of a message for a session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Outcome {
    /// Its client has it.
    Acknowledged,
    /// It was handed to the client's connection, and the client has not confirmed yet that it has it.
    Delivered,
    /// It is kept, and on its way: the client is away, or slow, or the message has not reached the
    /// client's node.
    InFlight,
    /// The session was not in the topic.
    NeverJoined,
    /// The session joined behind the message.
    JoinedLater,
    /// The session left before the message.
    LeftBefore,
    /// The message was for others of the topic.
    NotAddressed,
    /// The session was over before its client had it.
    Closed,
    /// It was dropped at a limit before the client had it.
    Dropped(DropCause),
    /// It waited for the client for too long.
    Expired,
    /// It was lost: with the node that had accepted it, or before the session's node heard of it.
    Gap,
    /// It was taken back before the client had it.
    Withdrawn,
    /// That cannot be told. The explanation says what is missing.
    Unknown,
}

impl Outcome {
    /// The outcome as one word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Delivered => "delivered",
            Self::Dropped(_) => "dropped",
            Self::Expired => "expired",
            Self::Gap => "gap",
            Self::InFlight => "in_flight",
            Self::JoinedLater => "joined_later",
            Self::LeftBefore => "left_before",
            Self::NeverJoined => "never_joined",
            Self::NotAddressed => "not_addressed",
            Self::Unknown => "unknown",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Why a session got a message, or did not.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The message.
    pub message: MessageId,
    /// The session.
    pub session: SessionId,
    /// What came of it.
    pub outcome: Outcome,
    /// The same for people, and why.
    pub sentence: String,
    /// Where the message was published, if anybody knows.
    pub topic: Option<TopicName>,
    /// The nodes that keep the message.
    pub kept_on: Vec<NodeId>,
    /// What happened, on all nodes that answered, by their clocks.
    pub steps: Vec<Step>,
    /// The nodes that were asked and did not answer.
    pub unanswered: Vec<NodeId>,
}

impl Explanation {
    /// What comes of what was said. `unanswered` names those who were asked and did not answer.
    ///
    /// Who does not know the message cannot tell of a session's topics: so one who does is to be heard
    /// first, and to others its [topic](Testimony::topic) said.
    pub fn of(
        message: MessageId,
        session: SessionId,
        testimonies: &[Testimony],
        unanswered: Vec<NodeId>,
    ) -> Self {
        let found = Found::new(message, testimonies, &unanswered);
        let (outcome, sentence) = found.decide();
        let mut steps: Vec<_> = testimonies.iter().flat_map(|it| it.steps.clone()).collect();
        steps.sort_by_key(|step| step.at_ms);
        let keeps = |it: &&Testimony| it.kept == Kept::Still;
        let mut kept_on: Vec<_> = testimonies.iter().filter(keeps).map(|it| it.node).collect();
        kept_on.sort_unstable();
        let topic = found.topic().cloned();
        Self { message, session, outcome, sentence, topic, kept_on, steps, unanswered }
    }
}

/// What was said, and by whom it matters most.
struct Found<'a> {
    message: MessageId,
    all: &'a [Testimony],
    unanswered: &'a [NodeId],
    /// Who the session belongs to, if that node answered.
    owner: Option<&'a Testimony>,
}

type Decision = (Outcome, String);

const WITHDRAWN: Ending = Ending::Dropped(DropCause::Withdrawn);

impl<'a> Found<'a> {
    fn new(message: MessageId, all: &'a [Testimony], unanswered: &'a [NodeId]) -> Self {
        let owner = all.iter().find(|it| it.owner == Some(it.node));
        Self { message, all, unanswered, owner }
    }

    fn topic(&self) -> Option<&'a TopicName> {
        self.all.iter().find_map(|it| it.topic.as_ref())
    }

    /// The questions, in the order in which an answer to one makes the next ones needless.
    fn decide(&self) -> Decision {
        if self.has_step(What::Confirmed) {
            return self.told(Outcome::Acknowledged);
        }
        if self.has_step(What::Withheld) {
            return (Outcome::NotAddressed, sentence::FILTERED.to_owned());
        }
        if let Some(told) = self.all.iter().find(|it| has(it, What::Gap { over: true })) {
            return self.gone(told);
        }
        if !self.all.iter().any(is_heard) {
            return self.unheard();
        }
        // Who gave it knew of a join that others may not have heard of, or of no leave.
        let is_given = self.has_step(What::Given);
        let seat = if is_given { Seat::In } else { self.seat() };
        let was_elsewhere = matches!(seat, Seat::Never | Seat::Behind | Seat::Left);
        let is_not_for_it = self.all.iter().any(|it| it.is_for == Some(false));
        let is_taken_back =
            self.all.iter().any(|it| it.is_withdrawn || it.kept == Kept::Ended(WITHDRAWN));
        match seat {
            // What was given to it was for it then.
            _ if is_given && (is_taken_back || is_not_for_it) => self.withdrawn(is_given),
            _ if is_taken_back && !was_elsewhere => self.withdrawn(is_given),
            _ if is_not_for_it && !is_taken_back => self.told(Outcome::NotAddressed),
            Seat::Never | Seat::Behind | Seat::Left if self.is_contradicted() => self.unseated(),
            Seat::Never => self.told(Outcome::NeverJoined),
            Seat::Behind => self.told(Outcome::JoinedLater),
            Seat::Left if self.came_back() => self.unseated(),
            Seat::Left => self.told(Outcome::LeftBefore),
            _ if self.is_over() => self.over(),
            Seat::In => self.owed(),
            Seat::Unknown => self.unseated(),
        }
    }

    /// Whether who left before the message was in the topic again, perhaps when it was published: it left
    /// behind it too, or is past it and is not known to have joined behind it.
    fn came_back(&self) -> bool {
        let is_past = self.all.iter().any(|it| it.is_past);
        self.has_step(What::Left { before: false }) || (is_past && !self.joined_anew())
    }

    /// Whether somebody says that the session was in the topic, whatever others remember.
    fn is_contradicted(&self) -> bool {
        self.all.iter().any(|it| it.seat == Seat::In)
    }

    /// No node that answered has, or remembers, the message.
    fn unheard(&self) -> Decision {
        let origin = self.all.iter().find(|it| it.node == self.message.origin);
        let is_lost = |it: &&Testimony| it.is_lost && it.seat == Seat::In;
        let is_gone = self.all.iter().all(|it| !it.origin_lives);
        let knows_origin = |it: &Testimony| it.knows_origin;
        if self.all.iter().filter(is_lost).any(|it| !it.is_past) {
            self.told(Outcome::Gap)
        } else if self.all.iter().any(|it| is_lost(&it)) {
            self.unknown(sentence::HAD_OR_TOLD)
        } else if self.all.iter().any(|it| it.kept == Kept::Forgotten) {
            self.unknown(sentence::FORGOTTEN)
        } else if origin.is_some() {
            self.unknown(sentence::NO_SUCH)
        } else if !self.unanswered.is_empty() || !is_gone || self.all.is_empty() {
            self.unknown(sentence::ORIGIN_SILENT)
        } else if !self.all.iter().any(knows_origin) {
            self.unknown(sentence::NO_SUCH_NODE)
        } else {
            (Outcome::Gap, sentence::died(self.message))
        }
    }

    /// Whether the session was in the topic: its owner knows best.
    fn seat(&self) -> Seat {
        let told = self.owner.map(|owner| owner.seat).filter(|seat| *seat != Seat::Unknown);
        let best = [Seat::In, Seat::Left, Seat::Behind, Seat::Never];
        let first = |seat: &Seat| self.all.iter().any(|it| it.seat == *seat);
        told.or_else(|| best.into_iter().find(first)).unwrap_or(Seat::Unknown)
    }

    /// It was taken back from the session.
    fn withdrawn(&self, is_given: bool) -> Decision {
        let is_past = self.all.iter().any(|it| it.is_past);
        match is_given {
            true => (Outcome::Withdrawn, sentence::TAKEN_BACK_LATE.to_owned()),
            false if !is_past || self.remembers_given() => self.told(Outcome::Withdrawn),
            false => self.unknown(sentence::HAD_OR_TAKEN_BACK),
        }
    }

    /// The session ended.
    fn over(&self) -> Decision {
        match self.remembers_given() {
            true => self.told(Outcome::Closed),
            false => self.unknown(sentence::HAD_OR_OVER),
        }
    }

    /// Whether all who had the message remember whom they gave it.
    fn remembers_given(&self) -> bool {
        self.all.iter().all(|it| it.remembers_given || it.stored_ms.is_none())
    }

    /// Whether the session ended, and nobody said that its client had the message by then.
    fn is_over(&self) -> bool {
        self.all.iter().all(|it| it.owner.is_none())
            && self.all.iter().any(|it| it.closed.is_some())
    }

    /// The session was in the topic, and nobody was told that the message is gone.
    fn owed(&self) -> Decision {
        let is_kept = self.all.iter().any(|it| it.kept == Kept::Still);
        let endings = self.all.iter().filter_map(|it| match it.kept {
            Kept::Ended(ending) => Some(ending),
            _ => None,
        });
        let owner = self.owner;
        let is_past = owner.map_or_else(|| self.all.iter().any(|it| it.is_past), |it| it.is_past);
        let loss = endings.clone().find(|ending| *ending != Ending::Acknowledged);
        let is_certain = owner.is_some_and(|owner| self.has_all_of(owner));
        let is_let_pass =
            self.all.iter().all(|it| it.remembers_withheld) || self.has_step(What::Given);
        match (is_past, loss) {
            // Who never had it never gave it: perhaps it was dropped by who had not heard of the session.
            (true, _) if owner.is_some_and(|it| !is_heard(it)) => {
                self.unknown(sentence::HAD_OR_TOLD)
            }
            (true, _) if !is_let_pass => self.unknown(sentence::HAD_OR_FILTERED),
            (true, None) if is_certain => self.told(Outcome::Acknowledged),
            // A node that is gone may have told it so: what is told to be gone counts as had.
            (true, None) if self.all.iter().any(|it| it.is_lost) => {
                self.unknown(sentence::HAD_OR_TOLD)
            }
            (true, None) if !self.joined_anew() && self.is_vouched_for() => {
                self.told(Outcome::Acknowledged)
            }
            (true, None) => self.unknown(sentence::HAD_OR_JOINED),
            (true, Some(_)) if is_certain => self.told(Outcome::Acknowledged),
            (true, Some(_)) => self.unknown(sentence::HAD_OR_TOLD),
            (false, _) if owner.is_some_and(|it| it.is_given && it.kept == Kept::Still) => {
                self.told(Outcome::Delivered)
            }
            (false, _) if owner.is_some_and(|it| it.is_lost) => self.told(Outcome::Gap),
            (false, Some(ending)) if !is_kept || owner.is_some_and(has_ended) => lost(ending, self),
            (false, _) if is_kept => self.on_its_way(),
            // It was dropped as had by all, by who had not heard of the session, or of all that it lacks.
            (false, _) if owner.is_some() => self.told(Outcome::Gap),
            (false, _) => self.unknown(sentence::OWNER_UNKNOWN),
        }
    }

    /// Whether all is known that the session was told since the message was stored: each node that it came
    /// from or went to since then says that it remembers all.
    fn has_all_of(&self, owner: &Testimony) -> bool {
        let is_told = |node| self.all.iter().any(|it| it.node == node && it.is_complete);
        let mut others = self.all.iter().flat_map(others_of);
        owner.is_complete && !joined_behind(owner) && others.all(is_told)
    }

    /// Whether a node had the message while it knew of the session, or the session never moved since: else
    /// the message may have been dropped by who had not heard of it.
    fn is_vouched_for(&self) -> bool {
        let knew_both = |it: &Testimony| is_heard(it) && it.seat == Seat::In;
        self.all.iter().any(knew_both) || self.all.iter().flat_map(others_of).next().is_none()
    }

    /// Whether the session joined once more, perhaps behind the message: it may be beyond it for that
    /// alone.
    fn joined_anew(&self) -> bool {
        self.all.iter().any(joined_behind)
    }

    fn on_its_way(&self) -> Decision {
        let Some(owner) = self.owner else {
            return self.unknown(sentence::OWNER_UNKNOWN);
        };
        let why = match (owner.away, owner.kept) {
            (Some(why), _) => sentence::away(why),
            (None, Kept::Still) => sentence::NOT_TAKEN.to_owned(),
            (None, _) => sentence::NOT_THERE.to_owned(),
        };
        (Outcome::InFlight, why)
    }

    /// The client was told that the message is gone: why, the node says that told it.
    fn gone(&self, told: &Testimony) -> Decision {
        let others = self.all.iter().filter(|it| it.node != told.node);
        let endings = std::iter::once(told).chain(others).filter_map(|it| match it.kept {
            Kept::Ended(ending) if ending != Ending::Acknowledged => Some(ending),
            _ => None,
        });
        match endings.into_iter().next() {
            Some(ending) => lost(ending, self),
            None => self.told(Outcome::Gap),
        }
    }

    /// It is not known whether the session was in the topic.
    fn unseated(&self) -> Decision {
        let is_known = self.all.iter().any(|it| it.owner.is_some() || it.closed.is_some());
        match is_known {
            false => self.unknown(sentence::NO_SESSION),
            true if self.all.iter().any(|it| it.is_past) => self.unknown(sentence::HAD_OR_JOINED),
            true => self.unknown(sentence::NOT_REMEMBERED),
        }
    }

    fn has_step(&self, what: What) -> bool {
        self.all.iter().any(|it| has(it, what))
    }

    fn told(&self, outcome: Outcome) -> Decision {
        (outcome, sentence::of(outcome).to_owned())
    }

    fn unknown(&self, missing: &str) -> Decision {
        (Outcome::Unknown, sentence::unknown(missing, self.unanswered))
    }
}

fn has(testimony: &Testimony, what: What) -> bool {
    testimony.steps.iter().any(|step| step.what == what)
}

/// The other nodes that a session came from or went to since the message was stored.
fn others_of(testimony: &Testimony) -> impl Iterator<Item = NodeId> {
    let since = testimony.steps.iter().filter(|step| Some(step.at_ms) >= testimony.stored_ms);
    since.filter_map(|step| match step.what {
        What::Adopted { from } | What::Attached { from: Some(from), .. } => Some(from),
        What::Claimed { by } => Some(by),
        _ => None,
    })
}

fn joined_behind(testimony: &Testimony) -> bool {
    let is_behind = |step: &Step| matches!(step.what, What::Joined { behind: Some(true) | None });
    testimony.steps.iter().any(is_behind)
}

/// Whether the node had the message, and remembers that.
fn is_heard(testimony: &Testimony) -> bool {
    matches!(testimony.kept, Kept::Ended(_) | Kept::Still)
}

fn has_ended(testimony: &Testimony) -> bool {
    matches!(testimony.kept, Kept::Ended(_))
}

fn lost(ending: Ending, found: &Found<'_>) -> Decision {
    found.told(match ending {
        Ending::Acknowledged => Outcome::Acknowledged,
        Ending::Expired => Outcome::Expired,
        WITHDRAWN => Outcome::Withdrawn,
        Ending::Dropped(cause) => Outcome::Dropped(cause),
    })
}
