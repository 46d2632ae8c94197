//! What takes long, watched to its end.

use std::{
    error::Error,
    io::{self, Write},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api::{Api, Silence, encoded},
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
            Err(error) if is_asked && error.is::<Silence>() => break,
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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read},
        net::TcpListener,
    };

    use super::*;

    /// What Tower Control is asked, one after the other, and answers; the last answer stands for the rest.
    #[allow(clippy::disallowed_methods, reason = "a test of a program has no tasks")]
    fn served(answers: &'static [(u16, &str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/?token=x", listener.local_addr().unwrap());
        thread::spawn(move || {
            for turn in 0.. {
                let (stream, _) = listener.accept().unwrap();
                let (mut reader, mut line, mut length) =
                    (BufReader::new(&stream), String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(told) = line.to_lowercase().strip_prefix("content-length:") {
                        length = told.trim().parse().unwrap();
                    }
                    line.clear();
                }
                std::io::copy(&mut reader.take(length), &mut io::sink()).unwrap();
                let (status, body) = answers[turn.min(answers.len() - 1)];
                let length = body.len();
                let head = format!("HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n");
                write!(&stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
            }
        });
        url
    }

    #[test]
    fn a_node_that_answers_is_not_gone_whatever_it_says() {
        const NODE: &str = r#"{"nodes":[{"id":"feed","self":true,"answered":true}]}"#;
        let answers = &[(200, NODE), (202, "{}"), (401, r#"{"detail":"show a token"}"#)];
        let api = Api::new(&served(answers), None, None).unwrap();
        let said = drain(&api, "feed", None, true).unwrap_err().to_string();
        assert!(said.contains("it is not known what became") && said.contains("token"), "{said}");
    }
}
