//! A call of `Stream`: any number of topics, both ways.
//!
//! The server that holds the connection asks for the next message whenever there is room for one.
//! Only then is the client read from, one message at a time, so that who does not read is not read
//! from either, and what there is to say is at most one batch for each topic and one answer.
//!
//! A client that says it is done ends its sessions; one whose stream is cut may come back to them.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use prost::Message as _;
use tonic::{Status, Streaming};
use tracing::debug;

use super::{
    caller::Caller,
    desk::{self, Desk},
    message::{AtmosphereMessage, MessageType},
    subscription::Subscription,
};
use crate::runtime::{Call, Full};

/// How many topics one stream may subscribe to. One more is refused; another stream helps.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Any number of topics, both ways.
pub(super) struct Dialogue {
    desk: Arc<Desk>,
    caller: Caller,
    incoming: Streaming<AtmosphereMessage>,
    subscriptions: BTreeMap<String, Subscription>,
    /// What the client has asked for and is not done. It is not read from meanwhile.
    work: Option<Work>,
    out: VecDeque<Bytes>,
    is_over: bool,
}

/// Something that takes time, and what came of it.
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of something that took time.
enum Done {
    Subscribed(Box<Subscription>),
    Told,
    Refused(String, Status),
}

impl Dialogue {
    pub(super) fn new(
        desk: Arc<Desk>,
        caller: Caller,
        incoming: Streaming<AtmosphereMessage>,
    ) -> Self {
        let (subscriptions, out) = (BTreeMap::new(), VecDeque::new());
        Self { desk, caller, incoming, subscriptions, work: None, out, is_over: false }
    }

    fn poll_subscriptions(&mut self, cx: &mut Context<'_>) {
        let mut over = Vec::new();
        for (topic, subscription) in &mut self.subscriptions {
            if let Poll::Ready(close) = subscription.poll(&mut self.out, cx) {
                over.push((topic.clone(), close));
            }
        }
        for (topic, close) in over {
            self.subscriptions.remove(&topic);
            self.refuse(&topic, &desk::status_of(&close));
        }
    }

    /// Reads from the client until there is something to say; ready when it says no more.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        loop {
            if let Some(work) = &mut self.work {
                let Poll::Ready(done) = work.as_mut().poll(cx) else { return Poll::Pending };
                self.work = None;
                self.finish(done);
            } else if self.desk.is_taking_over(self.subscriptions.values()) {
                // The hub wakes us, as each subscription was polled before.
                return Poll::Pending;
            } else {
                match Pin::new(&mut self.incoming).poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => self.handle(message),
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if !self.out.is_empty() {
                return Poll::Pending;
            }
        }
    }

    fn handle(&mut self, message: AtmosphereMessage) {
        let topic = message.topic.clone();
        let handled = match message.kind() {
            Ok(MessageType::Subscribe) => self.subscribe(message),
            Ok(MessageType::Unsubscribe) => self.unsubscribe(&topic),
            Ok(MessageType::Message) => self.tell(message),
            Ok(MessageType::Heartbeat) => {
                self.beat(&message);
                Ok(())
            }
            Ok(MessageType::Ack) => self.acknowledge(&message),
            Ok(MessageType::Error) => Ok(()), // There is nobody to be told of it.
            Err(status) => Err(status),
        };
        if let Err(status) = handled {
            self.refuse(&topic, &status);
        }
    }

    fn subscribe(&mut self, message: AtmosphereMessage) -> Result<(), Status> {
        if let Some(known) = self.subscriptions.get(&message.topic) {
            self.out.push_back(known.ack());
            return Ok(());
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let why = format!("a stream has at most {MAX_SUBSCRIPTIONS} topics; another one helps");
            return Err(Status::resource_exhausted(why));
        }
        let (desk, caller) = (Arc::clone(&self.desk), self.caller.clone());
        self.work = Some(Box::pin(async move {
            match desk.subscribe(&message, caller).await {
                Ok(subscription) => Done::Subscribed(Box::new(subscription)),
                Err(status) => Done::Refused(message.topic, status),
            }
        }));
        Ok(())
    }

    fn unsubscribe(&mut self, topic: &str) -> Result<(), Status> {
        let subscription = self.subscriptions.remove(topic).ok_or_else(desk::not_subscribed)?;
        self.say(&AtmosphereMessage::ack(topic, subscription.session()));
        subscription.close();
        Ok(())
    }

    /// Tells the handler of the topic, without waiting for what it says: it objects by ending the
    /// session. Who has none there waits.
    fn tell(&mut self, message: AtmosphereMessage) -> Result<(), Status> {
        let topic = message.topic.clone();
        let call = Call::Message(message.into_message()?);
        let Some(subscription) = self.subscriptions.get(&topic) else {
            let (desk, caller) = (Arc::clone(&self.desk), self.caller.clone());
            self.work = Some(Box::pin(async move {
                match desk.tell(&topic, None, &caller.holder, call).await {
                    Ok(()) => Done::Told,
                    Err(status) => Done::Refused(topic, status),
                }
            }));
            return Ok(());
        };
        let mailbox = Arc::clone(subscription.mailbox());
        if let Err(Full(call)) = mailbox.try_post(call) {
            self.work = Some(Box::pin(async move {
                poll_fn(|cx| mailbox.poll_room(cx)).await;
                mailbox.post(call);
                Done::Told
            }));
        }
        Ok(())
    }

    /// The client is there, which the handlers of its topics may want to know.
    fn beat(&mut self, message: &AtmosphereMessage) {
        for (topic, subscription) in &self.subscriptions {
            if message.topic.is_empty() || message.topic == *topic {
                // If the handler does not keep up, it need not hear of this.
                let _ = subscription.mailbox().try_post(Call::Heartbeat);
            }
        }
        self.say(message);
    }

    /// The client has what it was given, if it says where it is; else it says nothing.
    fn acknowledge(&mut self, message: &AtmosphereMessage) -> Result<(), Status> {
        let position = message.read_position()?;
        if let (Some(subscription), Some(position)) =
            (self.subscriptions.get_mut(&message.topic), position)
        {
            subscription.acknowledge(&position);
        }
        Ok(())
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Subscribed(subscription) => {
                self.out.push_back(subscription.ack());
                self.subscriptions.insert(subscription.topic().to_owned(), *subscription);
            }
            Done::Told => {}
            Done::Refused(topic, status) => self.refuse(&topic, &status),
        }
    }

    fn refuse(&mut self, topic: &str, status: &Status) {
        debug!(code = ?status.code(), reason = status.message(), "refused");
        self.say(&AtmosphereMessage::error(topic, status));
    }

    fn say(&mut self, message: &AtmosphereMessage) {
        self.out.push_back(message.encode_to_vec().into());
    }

    /// The client is done, and so are its sessions.
    fn close(&mut self) {
        std::mem::take(&mut self.subscriptions).into_values().for_each(Subscription::close);
    }
}

impl Stream for Dialogue {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.out.is_empty() && !this.is_over {
            this.poll_subscriptions(cx);
            if let Poll::Ready(end) = this.poll_incoming(cx) {
                this.is_over = true;
                match end {
                    Ok(()) => this.close(),
                    Err(status) => return Poll::Ready(Some(Err(status))),
                }
            }
        }
        match this.out.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None if this.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
