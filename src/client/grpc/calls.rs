//! The calls of the service, each as `tonic` wants it.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use tonic::{
    Request, Response, Status, Streaming,
    server::{ServerStreamingService, StreamingService, UnaryService},
};

use super::{
    caller::Caller,
    desk::Desk,
    dialogue::Dialogue,
    feed::Feed,
    message::{AtmosphereMessage, MessageType},
};

/// The calls of the service, made by `caller`.
pub(super) struct Calls {
    pub(super) desk: Arc<Desk>,
    pub(super) caller: Caller,
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl UnaryService<AtmosphereMessage> for Calls {
    type Response = Bytes;
    type Future = Answering<Bytes>;

    /// A call of `Send`.
    fn call(&mut self, request: Request<AtmosphereMessage>) -> Answering<Bytes> {
        let (desk, caller) = (Arc::clone(&self.desk), self.caller.clone());
        Box::pin(async move {
            let answer = desk.send(request.into_inner(), &caller.holder).await?;
            Ok(Response::new(answer.encode_to_vec().into()))
        })
    }
}

impl ServerStreamingService<AtmosphereMessage> for Calls {
    type Response = Bytes;
    type ResponseStream = Feed;
    type Future = Answering<Feed>;

    /// A call of `Subscribe`.
    fn call(&mut self, request: Request<AtmosphereMessage>) -> Answering<Feed> {
        let (desk, caller) = (Arc::clone(&self.desk), self.caller.clone());
        Box::pin(async move {
            let message = request.into_inner();
            if message.kind()? != MessageType::Subscribe {
                return Err(Status::invalid_argument("the message is not of type SUBSCRIBE"));
            }
            Ok(Response::new(Feed::new(desk.subscribe(&message, caller).await?)))
        })
    }
}

impl StreamingService<AtmosphereMessage> for Calls {
    type Response = Bytes;
    type ResponseStream = Dialogue;
    type Future = Answering<Dialogue>;

    /// A call of `Stream`.
    fn call(&mut self, request: Request<Streaming<AtmosphereMessage>>) -> Answering<Dialogue> {
        let dialogue =
            Dialogue::new(Arc::clone(&self.desk), self.caller.clone(), request.into_inner());
        Box::pin(async move { Ok(Response::new(dialogue)) })
    }
}
