//! A message is part of the trace in which it was published, on whichever node it is delivered.

#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use exosphere::{Close, Message, Node, Session, TraceContext};
use opentelemetry::trace::{SpanKind, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use support::{Client, Place, sees, serve, until};
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

async fn listen(_: Session, _: Message) -> Result<(), Close> {
    Ok(())
}

async fn start(place: &Place) -> Node {
    place.node().route("/prices", listen).start().await.unwrap()
}

/// What the span `name` says of `key`.
fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.unwrap_or_else(|| panic!("{key} of {span:?}")).value.to_string()
}

fn spans(exporter: &InMemorySpanExporter, name: &str) -> Vec<SpanData> {
    let spans = exporter.get_finished_spans().unwrap();
    spans.into_iter().filter(|span| span.name == name).collect()
}

/// Goal: a publish on one node and its delivery on another are one trace, that of who published it, or
/// that which the message brings along; and what is published outside of a trace that is recorded makes no
/// span of a delivery.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_on_another_node_is_part_of_the_trace_of_the_publish() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(traces)).unwrap();

    let place = Place::new("traces");
    let (here, there) = (start(&place).await, start(&place).await);
    sees(&here, 2).await;
    let mut client = Client::bare(serve(&there), "/prices").await;
    let topic = here.topic("/prices").unwrap();
    until("the client reads the topic", || topic.members().len() == 1).await;

    let order = info_span!("order");
    let receipt = topic.publish("one").instrument(order.clone()).await.unwrap();
    assert_eq!(client.text().await, "one");
    until("the delivery is recorded", || !spans(&exporter, "deliver /prices").is_empty()).await;
    let [publish] = &spans(&exporter, "publish /prices")[..] else { panic!("one publish") };
    let [deliver] = &spans(&exporter, "deliver /prices")[..] else { panic!("one delivery") };
    let order =
        opentelemetry::trace::TraceContextExt::span(&order.context()).span_context().clone();
    assert_eq!((publish.parent_span_id, order.is_valid()), (order.span_id(), true));
    assert_eq!(deliver.parent_span_id, publish.span_context.span_id());
    assert_eq!(deliver.span_context.trace_id(), order.trace_id());
    assert_eq!(
        (&publish.span_kind, &deliver.span_kind),
        (&SpanKind::Producer, &SpanKind::Consumer)
    );
    for span in [publish, deliver] {
        assert_eq!(attribute(span, "messaging.message.id"), receipt.id().to_string());
        assert_eq!(attribute(span, "messaging.destination.name"), "/prices");
    }
    assert_eq!(attribute(deliver, "exosphere.node"), there.id().to_string());

    exporter.reset();
    let trace = TraceContext::new(7, 8, 1);
    topic.publish(Message::from("two").traced(trace)).await.unwrap();
    topic.publish(Message::from("three").traced(TraceContext::new(7, 8, 0))).await.unwrap();
    topic.publish(Message::from("four").traced(trace)).await.unwrap();
    for text in ["two", "three", "four"] {
        assert_eq!(client.text().await, text);
    }
    until("the last is recorded", || spans(&exporter, "deliver /prices").len() == 2).await;
    assert_eq!(spans(&exporter, "publish /prices").len(), 2, "the other is not recorded");
    for publish in spans(&exporter, "publish /prices") {
        let (id, parent) = (publish.span_context.trace_id(), publish.parent_span_id);
        assert_eq!((id, parent), (trace.trace().into(), trace.span().into()));
    }
    here.shutdown().await;
    there.shutdown().await;
}
