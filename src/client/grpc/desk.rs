//! What gRPC clients ask of a node, and what it comes to.

use std::sync::Arc;

use tonic::{Code, Status};

use super::{
    caller::Caller,
    message::{AtmosphereMessage, MessageType},
    subscription::Subscription,
};
use crate::{
    client::{
        Negotiation,
        opening::{self, Opened},
    },
    id::{SessionId, TopicName},
    proto::{Close, CloseCode, CloseReason, Holder},
    runtime::{Call, Front, Hub, Tasks},
};

/// Where gRPC clients ask.
pub(super) struct Desk {
    hub: Arc<Hub>,
    front: Arc<dyn Front>,
    tasks: Tasks,
}

impl Desk {
    pub(super) fn new(hub: Arc<Hub>, front: Arc<dyn Front>, tasks: Tasks) -> Self {
        Self { hub, front, tasks }
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Whether the client of one of these subscriptions is not to be read from yet: what it said on
    /// its last node may still be on its way.
    pub(super) fn is_taking_over<'a>(
        &self,
        mut subscriptions: impl Iterator<Item = &'a Subscription>,
    ) -> bool {
        self.hub.with(|core, _| subscriptions.any(|it| core.is_taking_over(it.session())))
    }

    /// Attaches the session that a message of type SUBSCRIBE asks for, or a new one: one for each
    /// topic, so that the handler of that topic has its say.
    ///
    /// # Errors
    ///
    /// Nobody answers for the topic, there is no room, or the handler objects.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the session, if it was attached by then.
    pub(super) async fn subscribe(
        &self,
        message: &AtmosphereMessage,
        Caller { holder, request }: Caller,
    ) -> Result<Subscription, Status> {
        let topic = self.topic(&message.topic)?;
        let position = message.read_position()?;
        let negotiation = Negotiation::of_stream(&message.tracking_id, position, holder);
        let (asked, holder) = (negotiation.asked.session(), &negotiation.holder);
        if !self.hub.with(|core, _| core.has_room_for_session(asked, topic.as_str(), holder)) {
            let why = "there are as many sessions as there may be; waiting helps";
            return Err(Status::resource_exhausted(why));
        }
        let asked = (&negotiation, request);
        let opened = Opened::open(&self.hub, &*self.front, &self.tasks, asked, &topic).await;
        match self.hub.ended(opened.attached().key) {
            Some(close) => Err(status_of(&close)),
            None => Ok(Subscription::new(opened, topic)),
        }
    }

    /// Tells the handler of a topic of a message, in the name of a session of that topic, or else in
    /// that of nobody, as with a message that is posted.
    ///
    /// # Errors
    ///
    /// Nobody answers for the topic, or the handler objects.
    pub(super) async fn tell(
        &self,
        topic: &str,
        session: Option<SessionId>,
        holder: &Holder,
        call: Call,
    ) -> Result<(), Status> {
        let topic = self.topic(topic)?;
        let principal = holder.principal.as_ref();
        let mailbox = match session {
            Some(session) => self.front.mailbox(session, topic.as_str(), principal),
            None => self.front.visitor(opening::fresh_id(), topic.as_str(), principal),
        };
        let mailbox = mailbox.expect("somebody answers for the topic");
        mailbox.ask(call).await.map_err(|close| status_of(&close))
    }

    /// Does what a message asks for that names its session.
    ///
    /// # Errors
    ///
    /// There is no such session, or what [`tell`](Self::tell) says.
    pub(super) async fn send(
        &self,
        message: AtmosphereMessage,
        holder: &Holder,
    ) -> Result<AtmosphereMessage, Status> {
        let kind = message.kind()?;
        let (session, path) = self.session(&message.tracking_id, holder).await?;
        let topic = match &*message.topic {
            "" => path.clone(),
            named => named.to_owned(),
        };
        let named = (topic == path).then_some(session);
        match kind {
            MessageType::Message => {
                let call = Call::Message(message.into_message()?);
                self.tell(&topic, named, holder, call).await?;
            }
            MessageType::Heartbeat => self.tell(&topic, named, holder, Call::Heartbeat).await?,
            MessageType::Unsubscribe if named.is_some() => {
                self.hub.with(|core, now| core.close(session, CloseReason::Client, now));
            }
            MessageType::Unsubscribe => return Err(not_subscribed()),
            MessageType::Subscribe | MessageType::Ack | MessageType::Error => {
                let why = "what is sent is of type MESSAGE, HEARTBEAT or UNSUBSCRIBE";
                return Err(Status::invalid_argument(why));
            }
        }
        Ok(AtmosphereMessage::ack(&topic, session))
    }

    /// The session of a tracking id, and its path.
    async fn session(
        &self,
        tracking_id: &str,
        holder: &Holder,
    ) -> Result<(SessionId, String), Status> {
        let unknown = || Status::not_found("there is no session of this tracking id");
        let session: SessionId = tracking_id.parse().map_err(|_| unknown())?;
        let mut path = self.path_of(session, holder);
        if path.is_none() {
            opening::catch_up(&self.hub, &self.tasks, session).await;
            path = self.path_of(session, holder);
        }
        Ok((session, path.ok_or_else(unknown)?))
    }

    fn path_of(&self, session: SessionId, holder: &Holder) -> Option<String> {
        self.hub.with(|core, _| {
            let known = core.replica().session(session);
            known.filter(|known| known.holder.admits(holder)).map(|known| known.path.to_string())
        })
    }

    /// A topic that somebody answers for.
    fn topic(&self, name: &str) -> Result<TopicName, Status> {
        let topic = TopicName::parse(name);
        let topic = topic.map_err(|error| Status::invalid_argument(error.to_string()))?;
        match self.front.has_route(topic.as_str()) {
            true => Ok(topic),
            false => Err(Status::not_found("nobody answers for this topic")),
        }
    }
}

/// How a call ends that is under way when the node ends, or that begins after that.
pub(super) fn shutting_down() -> Status {
    Status::unavailable("this node is shutting down; another may answer")
}

/// A client wants to end what it has not begun.
pub(super) fn not_subscribed() -> Status {
    Status::not_found("this topic is not subscribed to")
}

/// How a call ends whose session is over.
pub(super) fn status_of(close: &Close) -> Status {
    let code = match close.code {
        CloseCode::Forbidden => Code::PermissionDenied,
        CloseCode::GoingAway | CloseCode::SlowConsumer => Code::Unavailable,
        CloseCode::Normal => Code::FailedPrecondition,
        CloseCode::NotText | CloseCode::Policy | CloseCode::Protocol => Code::InvalidArgument,
        CloseCode::TooLarge => Code::ResourceExhausted,
        CloseCode::Superseded => Code::Aborted,
        _ => Code::Internal,
    };
    Status::new(code, &*close.reason)
}
