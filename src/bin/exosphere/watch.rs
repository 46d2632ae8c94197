//! What takes long, watched to its end.

use std::{error::Error, thread, time::Duration};

use serde_json::json;

use crate::{api::Api, show};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// How often in a row the node that is asked may not answer: it may be the one that is drained.
const MAX_SILENT: usize = 4;

/// Drains a node, and waits until it is gone.
pub(crate) fn drain(
    api: &Api,
    node: &str,
    per_second: Option<u32>,
    json: bool,
) -> Result<(), Box<dyn Error>> {
    let begun = api.post(
        &format!("nodes/{}/drain", crate::api::encoded(node)),
        &json!({ "per_second": per_second }),
    )?;
    if json {
        println!("{}", serde_json::to_string_pretty(&begun)?);
        return Ok(());
    }
    let (mut silent, mut left) = (0, None);
    loop {
        match api.get("cluster", &[]) {
            Ok(cluster) => {
                let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
                let Some(found) = nodes.into_iter().find(|it| it["id"] == node) else { break };
                let now = show::text(&found["sessions"]);
                if left.as_ref() != Some(&now) {
                    println!("{}: {now} sessions left", show::text(&found["state"]));
                    left = Some(now);
                }
                silent = 0;
            }
            Err(_) if silent < MAX_SILENT => silent += 1,
            Err(_) => break,
        }
        thread::sleep(EVERY);
    }
    println!("node {node} is gone");
    Ok(())
}
