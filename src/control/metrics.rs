//! What a node measures, as Prometheus reads it.

use std::fmt::Write;

use axum::{Router, extract::State, routing::get};
use http::header;
use metrics_exporter_prometheus::{
    PrometheusBuilder,
    formatting::{write_help_line, write_type_line},
};

use super::server::Desk;
use crate::node::{Latency, Node};

/// What the answer is, as Prometheus calls it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes() -> Router<Desk> {
    let answer =
        async |State(desk): State<Desk>| ([(header::CONTENT_TYPE, TEXT)], render(desk.node()));
    Router::new().route("/metrics", get(answer))
}

/// What a node measures, as it is now.
///
/// The recorder is made for each answer: several nodes may be in one process, what is told stands in
/// counters of the node's own, and of a peer that is gone nothing is left.
fn render(node: &Node) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let latencies = metrics::with_local_recorder(&recorder, || node.record_metrics());
    let mut text = recorder.handle().render();
    latencies.iter().for_each(|latency| write_histogram(&mut text, latency));
    text
}

fn write_histogram(text: &mut String, Latency { name, help, times }: &Latency) {
    write_help_line(text, name, None, None, help);
    write_type_line(text, name, None, None, "histogram");
    for (bound, count) in &times.upto {
        let bound = bound.map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}"); // A string takes all.
    }
    let _ = writeln!(text, "{name}_sum {}", times.sum.as_secs_f64());
    let _ = writeln!(text, "{name}_count {}\n", times.count());
}
