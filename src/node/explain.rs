//! Why a session got a message, or did not; and what became of a message.

use super::{Node, inspect::calendar, question::Question};
use crate::{
    id::{MessageId, NodeId, SessionId, TopicName},
    proto::{Core, Explanation, Fate, Testimony},
    report::{ExplanationReport, FateReport, MessageDetails, end_of},
};

impl Node {
    /// Why a session got a message, or did not, as far as this node alone can tell. It costs a look at
    /// what it remembers of the last 100,000 things that happened, while nothing else happens on it.
    ///
    /// What was accepted on another node, or given to a client there, that one knows better: see
    /// [`explain_everywhere`](Self::explain_everywhere).
    pub fn explain(&self, message: MessageId, session: SessionId) -> Explanation {
        let calendar = calendar();
        let testify = |core: &mut Core| core.testify(message, session, None, calendar);
        let testimony = self.inner.hub.with(|core, _| testify(core));
        Explanation::of(message, session, &[testimony], Vec::new())
    }

    /// Why a session got a message, or did not, by what all nodes know and say within a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// # Examples
    ///
    /// Why did this user not get that message?
    ///
    /// ```no_run
    /// # async fn example(node: exosphere::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let message = "c3dbc2f09a7e41d5-17".parse()?;
    /// let session = "123e4567-e89b-42d3-a456-426614174000".parse()?;
    /// let explanation = node.explain_everywhere(message, session).await;
    /// println!("{}: {}", explanation.verdict, explanation.sentence);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn explain_everywhere(
        &self,
        message: MessageId,
        session: SessionId,
    ) -> ExplanationReport {
        let ask = |topic| Question::Testify { message, session, topic };
        let own = self.testify(message, session, None).await;
        let (mut told, mut unanswered) = split(self.ask_all(&ask(own.topic.clone())).await);
        // Who does not know the message is told by those who do where it was published.
        let topic = told.iter().find_map(|it: &Testimony| it.topic.clone());
        if topic.is_some() && told.iter().any(|it| it.topic.is_none()) {
            (told, unanswered) = split(self.ask_all(&ask(topic)).await);
        }
        let explanation = Explanation::of(message, session, &told, unanswered);
        ExplanationReport::of(&explanation, &told)
    }

    /// What became of a message, by what all nodes know and say within a second; `None` if none that
    /// answered knows of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn message_details(&self, message: MessageId) -> Option<MessageDetails> {
        let (nodes, unanswered) = split(self.ask_all(&Question::Fate(message)).await);
        let mut details = MessageDetails {
            id: message.to_string(),
            origin: message.origin.to_string(),
            topic: nodes.iter().find_map(|it: &FateReport| it.topic.clone()),
            unanswered: unanswered.iter().map(NodeId::to_string).collect(),
            ..MessageDetails::default()
        };
        for node in nodes.iter().filter(|it| it.fate == KEPT) {
            details.kept_on.push(node.node.clone());
            // Who has heard of more is right: none hears of an acknowledgement that there was not.
            if details.kept_on.len() == 1 || node.acknowledged > details.acknowledged {
                (details.sessions, details.acknowledged) = (node.sessions, node.acknowledged);
                details.waiting.clone_from(&node.waiting);
            }
        }
        details.nodes = nodes;
        details.topic.is_some().then_some(details)
    }

    /// What this node can say of a message and a session, which was published in `topic` if it does
    /// not know better.
    pub(super) async fn testify(
        &self,
        message: MessageId,
        session: SessionId,
        topic: Option<&TopicName>,
    ) -> Testimony {
        let calendar = calendar();
        self.in_turn(|core| core.testify(message, session, topic, calendar)).await
    }

    /// What became of a message on this node.
    pub(super) async fn fate_report(&self, message: MessageId) -> FateReport {
        let report = FateReport { node: self.id().to_string(), ..FateReport::default() };
        match self.in_turn(|core| core.fate(message)).await {
            Fate::Pending(pending) => FateReport {
                fate: KEPT.to_owned(),
                topic: Some(pending.topic.to_string()),
                sessions: pending.sessions,
                acknowledged: pending.acknowledged,
                waiting: pending.waiting.iter().map(SessionId::to_string).collect(),
                ..report
            },
            Fate::Ended { topic, ending } => {
                let (fate, cause) = end_of(ending);
                let topic = Some(topic.to_string());
                FateReport { fate: fate.to_owned(), cause, topic, ..report }
            }
            Fate::Unheard => FateReport { fate: "unheard".to_owned(), ..report },
            Fate::Forgotten => FateReport { fate: "forgotten".to_owned(), ..report },
        }
    }
}

/// What a message is that a node keeps.
const KEPT: &str = "kept";

/// Those who answered, and the names of those who did not.
fn split<T, E>(answers: Vec<(NodeId, Result<T, E>)>) -> (Vec<T>, Vec<NodeId>) {
    let (mut told, mut unanswered) = (Vec::new(), Vec::new());
    for (node, answer) in answers {
        match answer {
            Ok(it) => told.push(it),
            Err(_) => unanswered.push(node),
        }
    }
    (told, unanswered)
}
