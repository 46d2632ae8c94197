//! Answers, for people.

use serde_json::Value;

use crate::{
    day::Day,
    table::{Table, plain},
};

/// A value as a cell.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The nodes of a cluster.
pub(crate) fn members(cluster: &Value) -> String {
    let mut table = Table::new(&["node", "address", "state", "sessions", "up", "version", "url"]);
    for node in items(&cluster["nodes"]) {
        let state = match node["answered"].as_bool() {
            Some(true) => text(&node["state"]),
            _ => "does not answer".to_owned(),
        };
        let up = duration(node["uptime_ms"].as_u64().unwrap_or_default());
        table.row([
            text(&node["id"]),
            text(&node["address"]),
            state,
            text(&node["sessions"]),
            up,
            text(&node["version"]),
            text(&node["url"]),
        ]);
    }
    table.to_string()
}

/// A list of topics.
pub(crate) fn topics(page: &Value) -> String {
    let mut table = Table::new(&["topic", "sessions", "messages", "bytes", "dropped", "expired"]);
    for topic in items(&page["items"]) {
        let accounting = &topic["accounting"];
        table.row([
            text(&topic["name"]),
            text(&topic["sessions"]),
            text(&topic["messages"]),
            text(&topic["bytes"]),
            dropped(accounting).to_string(),
            text(&accounting["expired"]),
        ]);
    }
    table.to_string() + &more(page, "give what their names begin with")
}

/// How much of what a message says stands in a list, in characters.
const MAX_SHOWN_CHARS: usize = 60;

/// A list of messages.
pub(crate) fn messages(page: &Value) -> String {
    let mut table = Table::new(&["message", "waiting", "for", "bytes", "says"]);
    for message in items(&page["items"]) {
        let says = if message["text"].is_string() { &message["text"] } else { &message["base64"] };
        table.row([
            text(&message["id"]),
            text(&message["waiting"]),
            text(&message["to"]),
            text(&message["bytes"]),
            text(says).chars().take(MAX_SHOWN_CHARS).collect(),
        ]);
    }
    table.to_string() + &more(page, "--limit shows up to 1000")
}

/// A list of sessions.
pub(crate) fn sessions(page: &Value) -> String {
    let mut table =
        Table::new(&["session", "state", "transport", "node", "path", "topics", "pending"]);
    for session in items(&page["items"]) {
        table.row([
            text(&session["id"]),
            text(&session["state"]),
            text(&session["connection"]["transport"]),
            text(&session["node"]),
            text(&session["path"]),
            text(&session["topics"]),
            text(&session["pending"]),
        ]);
    }
    table.to_string() + &more(page, "--limit shows up to 1000, and --help what else to ask for")
}

fn more(page: &Value, helps: &str) -> String {
    match page["next"].as_str() {
        Some(_) => format!("there are more: {helps}\n"),
        None => String::new(),
    }
}

/// Why a session has got a message, or has not.
pub(crate) fn explanation(answer: &Value) -> String {
    let mut said = format!("{}: {}\n\n", text(&answer["verdict"]), text(&answer["sentence"]));
    let mut steps = Table::new(&["when", "node", "what", ""]);
    let first = items(&answer["steps"]).find_map(|step| step["at_ms"].as_u64()).unwrap_or_default();
    for step in items(&answer["steps"]) {
        let at = step["at_ms"].as_u64().map_or(0, |at| at.saturating_sub(first));
        let row = [text(&step["node"]), text(&step["what"]), text(&step["detail"])];
        steps.row([format!("+{at} ms")].into_iter().chain(row));
    }
    said += &steps.to_string();
    for silent in items(&answer["unanswered"]) {
        said += &format!("node {} does not answer: what only it knows is missing\n", text(silent));
    }
    said
}

/// A licence.
pub(crate) fn license(license: &Value) -> String {
    if license.is_null() {
        return "no licence holds: the number of nodes is not limited, or one may run\n".to_owned();
    }
    let mut said = String::new();
    for name in ["customer", "max_nodes", "id", "expires", "grace_days", "features", "cluster"] {
        let said_of_it = match license[name].as_u64() {
            Some(expires) if name == "expires" => Day(expires).to_string(),
            _ => text(&license[name]),
        };
        said += &format!("{name:12}{said_of_it}\n");
    }
    said
}

/// How many messages were dropped, for whatever cause.
pub(crate) fn dropped(accounting: &Value) -> u64 {
    let causes = accounting["dropped"].as_object();
    causes.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// A duration, for people.
fn duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
