//! What happens, in the words of the stream of events.

use crate::{
    id::NodeId,
    license::License,
    proto::NodeEvent,
    report::{EventReport, detachment_name, end_of},
};

/// What happened on node `own`, or was heard of there.
pub(super) fn node_event(own: NodeId, event: NodeEvent) -> EventReport {
    match event {
        NodeEvent::SessionAttached { session, node, path, resumed } => {
            let detail = if resumed { format!("back at {path}") } else { format!("at {path}") };
            report("session.attached", node, session, detail)
        }
        NodeEvent::SessionDetached { session, node, why } => {
            report("session.detached", node, session, detachment_name(why))
        }
        NodeEvent::SessionClosed { session, node, reason } => {
            report("session.closed", node, session, format!("{reason:?}"))
        }
        NodeEvent::Gap { session, topic } => report("session.gap", own, session, topic),
        NodeEvent::TopicOpened(topic) => report("topic.opened", own, topic, ""),
        NodeEvent::TopicClosed(topic) => report("topic.closed", own, topic, ""),
        NodeEvent::Dropped { topic, ending, messages } => {
            let (how, cause) = end_of(ending);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            report("message.dropped", own, topic, format!("{messages} {how}{cause}"))
        }
        NodeEvent::Missed(missed) => report("events.missed", own, missed, "too much happened"),
    }
}

/// Another licence holds for node `own`, or none.
pub(super) fn license_event(own: NodeId, license: Option<&License>) -> EventReport {
    match license.map(License::grant) {
        Some(grant) => {
            let detail = format!("{}: {} nodes", grant.customer, grant.max_nodes);
            report("license.changed", own, &grant.id, detail)
        }
        None => report("license.changed", own, "", "none holds"),
    }
}

fn report(kind: &str, node: NodeId, subject: impl ToString, detail: impl ToString) -> EventReport {
    EventReport {
        kind: kind.to_owned(),
        at_ms: 0,
        node: node.to_string(),
        subject: subject.to_string(),
        detail: detail.to_string(),
    }
}
