//! Tower Control in a terminal.
//!
//! ```text
//! exosphere --url http://127.0.0.1:9090 --token TOKEN top
//! exosphere explain MESSAGE SESSION
//! ```
//!
//! `--url` takes a link with its token as it is printed by a node; `EXOSPHERE_URL` and `EXOSPHERE_TOKEN`
//! stand for the options. Whichever node is asked speaks for the whole cluster. It exits with 0 when that
//! was done which was asked for, with 1 when it was not, and with 2 when it cannot be understood; standard
//! error says why, and what helps.

mod api;
#[path = "../../license/day.rs"]
mod day;
mod show;
mod table;
mod top;
mod watch;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use api::Api;
use clap::{Parser, Subcommand};
use serde_json::json;

/// See and steer a cluster.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Tower Control is, of any node: http://ADDR, or a link with its token.
    #[arg(long, env = "EXOSPHERE_URL", hide_env_values = true, value_name = "URL")]
    url: String,
    /// The token, unless it is in the link.
    #[arg(long, env = "EXOSPHERE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The certificates to check the node's by, as PEM, instead of those that the world trusts.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Prints what the node answers, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watches the cluster until it is interrupted.
    Top {
        /// Prints it once.
        #[arg(long)]
        once: bool,
    },
    /// Why a session has got a message, or has not.
    Explain {
        /// The message's id, as a receipt or the console shows it.
        message: String,
        /// The session's id.
        session: String,
    },
    /// The nodes.
    Members,
    /// The topics.
    Topics {
        /// What their names begin with.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// The messages of a topic that are kept, the newest first, and how many sessions wait for each.
    Messages {
        /// The topic.
        topic: String,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// The sessions.
    Sessions {
        /// Those that read this topic.
        #[arg(long)]
        topic: Option<String>,
        /// Those of the node with this id.
        #[arg(long)]
        node: Option<String>,
        /// Those that are `attached`, or `detached`.
        #[arg(long)]
        state: Option<String>,
        /// Those that are connected by this transport, such as `websocket` or `long_polling`.
        #[arg(long)]
        transport: Option<String>,
        /// Those of this user, as the application has told who they are.
        #[arg(long)]
        principal: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Publishes a message.
    Publish {
        /// To this topic.
        topic: String,
        /// The message.
        message: String,
        /// Only to these sessions of the topic.
        #[arg(long)]
        to: Vec<String>,
    },
    /// Drains a node, and waits until it is gone.
    Drain {
        /// The node's id.
        node: String,
        /// How many clients it sends elsewhere each second.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        per_second: Option<u32>,
    },
    /// The licence that holds.
    License,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if has_seen_enough(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exosphere: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether it is only that nobody reads on, as `head` does not.
fn has_seen_enough(error: &(dyn Error + 'static)) -> bool {
    let broken = error.downcast_ref::<io::Error>().map(io::Error::kind);
    broken == Some(io::ErrorKind::BrokenPipe)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { url, token, ca, json, command } = arguments;
    let api = Api::new(url, token.as_deref(), ca.as_deref())?;
    let answer = match command {
        Command::Top { once } => return top::run(&api, *once || *json, *json),
        Command::Drain { node, per_second } => return watch::drain(&api, node, *per_second, *json),
        Command::Explain { message, session } => {
            api.get("explain", &[("message", message), ("session", session)])?
        }
        Command::Members => api.get("cluster", &[])?,
        Command::Topics { prefix } => api.get("topics", &[("prefix", prefix)])?,
        Command::Messages { topic, limit } => {
            let path = format!("topics/{}/messages", api::encoded(topic));
            api.get(&path, &[("limit", &limit.to_string())])?
        }
        Command::Sessions { topic, node, state, transport, principal, limit } => {
            let limit = limit.to_string();
            let named = [
                ("topic", topic),
                ("node", node),
                ("state", state),
                ("transport", transport),
                ("principal", principal),
            ];
            let named = named.into_iter().filter_map(|(name, it)| Some((name, it.as_deref()?)));
            api.get("sessions", &named.chain([("limit", &*limit)]).collect::<Vec<_>>())?
        }
        Command::Publish { topic, message, to } => {
            let path = format!("topics/{}/publish", api::encoded(topic));
            let to = (!to.is_empty()).then_some(to);
            api.post(&path, &json!({ "message": message, "to": to }))?
        }
        Command::License => api.get("license", &[])?,
    };
    let said = match command {
        _ if *json => serde_json::to_string_pretty(&answer)? + "\n",
        Command::Explain { .. } => show::explanation(&answer),
        Command::Members => show::members(&answer),
        Command::Topics { .. } => show::topics(&answer),
        Command::Messages { .. } => show::messages(&answer),
        Command::Sessions { .. } => show::sessions(&answer),
        Command::License => show::license(&answer),
        _ => format!("published {}\n", show::text(&answer["id"])),
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}
