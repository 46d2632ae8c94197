//! Spans of messages: one of each publish, and one of each delivery, which are parts of the trace of the
//! publish, on whichever node they are. Names and fields are those of OpenTelemetry's [conventions for
//! messaging].
//!
//! [conventions for messaging]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/

use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use tracing::{Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    id::{MessageId, NodeId, SessionId, TopicName},
    message::{Message, TraceContext},
    proto::Entry,
};

/// The publish of a message, while it lasts.
pub(super) struct Publish(Span);

impl Publish {
    /// Somebody is about to publish a message, which says so from now on if the trace is recorded.
    pub(super) fn begin(topic: &TopicName, message: Message) -> (Self, Message) {
        let span = info_span!(
            target: "exosphere::message",
            "publish",
            otel.name = field::Empty,
            otel.kind = "producer",
            messaging.system = "exosphere",
            messaging.operation.name = "publish",
            messaging.operation.type = "send",
            messaging.destination.name = %topic,
            messaging.message.body.size = message.len(),
            messaging.message.id = field::Empty,
            error.type = field::Empty,
        );
        if !span.is_disabled() {
            span.record("otel.name", format!("publish {topic}"));
        }
        if let Some(trace) = message.trace() {
            continue_trace(&span, trace);
        }
        let context = span.context();
        let context = context.span().span_context().clone();
        let message = match context.is_sampled() && context.is_valid() {
            true => message.traced(trace_context(&context)),
            false => message,
        };
        (Self(span), message)
    }

    /// What became of it.
    pub(super) fn end<E: ToString>(self, published: &Result<MessageId, E>) {
        match published {
            Ok(id) => self.0.record("messaging.message.id", field::display(id)),
            Err(error) => self.0.record("error.type", error.to_string()),
        };
    }
}

/// A session's connection is given a message on node `node`.
pub(super) fn deliver(node: NodeId, session: SessionId, entry: &Entry) {
    let Some(trace) = entry.message().trace() else { return };
    let span = info_span!(
        target: "exosphere::message",
        parent: None,
        "deliver",
        otel.name = format!("deliver {}", entry.topic()),
        otel.kind = "consumer",
        messaging.system = "exosphere",
        messaging.operation.name = "deliver",
        messaging.operation.type = "process",
        messaging.destination.name = %entry.topic(),
        messaging.message.id = %entry.id(),
        exosphere.session = %session,
        exosphere.node = %node,
    );
    continue_trace(&span, trace);
}

/// Makes a span that has just begun a part of a trace.
fn continue_trace(span: &Span, trace: TraceContext) {
    let flags = TraceFlags::new(trace.flags());
    let (id, parent) = (trace.trace().into(), trace.span().into());
    let parent = SpanContext::new(id, parent, flags, true, TraceState::default());
    // It fails if nobody records spans, and then there is nothing to be a part of.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
}

fn trace_context(context: &SpanContext) -> TraceContext {
    let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
    let (trace, span) = (u128::from_be_bytes(trace), u64::from_be_bytes(span));
    TraceContext::new(trace, span, context.trace_flags().to_u8())
}
