//! What takes long, watched to its end.

use std::{
    error::Error,
    io::{self, Write},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api::{Api, encoded},
    show,
};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// How often in a row the node that is asked may not answer.
const MAX_SILENT: usize = 4;

/// Drains a node, and waits until it is gone.
pub(crate) fn drain(
    api: &Api,
    node: &str,
    per_second: Option<u32>,
    json: bool,
) -> Result<(), Box<dyn Error>> {
    let nodes = nodes(api)?;
    let Some(found) = find(&nodes, node) else {
        let ids: Vec<_> = nodes.iter().map(|it| show::text(&it["id"])).collect();
        return Err(format!("there is no node {node:?}; there are: {}", ids.join(", ")).into());
    };
    // It falls silent before it is seen to be gone.
    let is_asked = found["self"] == true;
    let path = format!("nodes/{}/drain", encoded(node));
    let begun = api.post(&path, &json!({ "per_second": per_second }))?;
    let mut out = io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&begun)?)?;
    }
    let (mut silent, mut said) = (0, String::new());
    loop {
        match self::nodes(api) {
            Ok(nodes) => {
                let Some(found) = find(&nodes, node) else { break };
                let says = left(found);
                if !json && says != said {
                    writeln!(out, "{says}")?;
                }
                (silent, said) = (0, says);
            }
            Err(_) if silent < MAX_SILENT => silent += 1,
            Err(_) if is_asked => break,
            Err(error) => {
                let unknown = format!("it is not known what became of node {node}: {error}");
                return Err(unknown.into());
            }
        }
        thread::sleep(EVERY);
    }
    if !json {
        writeln!(out, "node {node} is gone")?;
    }
    Ok(())
}

fn nodes(api: &Api) -> Result<Vec<Value>, Box<dyn Error>> {
    let cluster = api.get("cluster", &[])?;
    Ok(cluster["nodes"].as_array().cloned().unwrap_or_default())
}

fn find<'a>(nodes: &'a [Value], id: &str) -> Option<&'a Value> {
    nodes.iter().find(|node| node["id"] == id)
}

/// How far a node has come.
fn left(node: &Value) -> String {
    match node["answered"].as_bool() {
        Some(true) => {
            format!(
                "{}: {} sessions left",
                show::text(&node["state"]),
                show::text(&node["sessions"])
            )
        }
        _ => format!("{}: it does not answer", show::text(&node["state"])),
    }
}
