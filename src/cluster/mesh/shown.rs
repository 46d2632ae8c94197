//! What the application sees of the members.

use tokio::sync::{broadcast, watch};
use tracing::info;

use crate::proto::{Departure, Member, MemberEvent, Roster};

/// How many events may wait for one who looks at them. At the limit, the oldest are lost to it.
const MAX_WAITING_EVENTS: usize = 1024;

/// The members as they are shown, and what happens to them.
#[derive(Debug)]
pub(super) struct Shown {
    roster: watch::Sender<Roster>,
    events: broadcast::Sender<MemberEvent>,
}

impl Shown {
    pub(super) fn new(roster: Roster) -> Self {
        Self {
            roster: watch::Sender::new(roster),
            events: broadcast::Sender::new(MAX_WAITING_EVENTS),
        }
    }

    /// The members, now and whenever that changes.
    pub(super) fn roster(&self) -> watch::Receiver<Roster> {
        self.roster.subscribe()
    }

    /// What happens to the members from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<MemberEvent> {
        self.events.subscribe()
    }

    /// These are the members now. Who is gone is gone for the reason that `departure` says.
    pub(super) fn show(&self, roster: Roster, departure: impl Fn(&Member) -> Departure) {
        let mut events = Vec::new();
        self.roster.send_if_modified(|shown| {
            let is_news = *shown != roster;
            if is_news {
                events = MemberEvent::between(shown, &roster, departure);
                info!("{roster}");
                *shown = roster;
            }
            is_news
        });
        for event in events {
            let _ = self.events.send(event); // Nobody may be looking.
        }
    }
}
