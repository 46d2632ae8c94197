//! The cluster, watched.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{api::Api, show};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Clears the screen, and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the cluster, once or until it is interrupted.
pub(crate) fn run(api: &Api, once: bool, json: bool) -> Result<(), Box<dyn Error>> {
    let mut before: Option<(Instant, Value)> = None;
    loop {
        let looked = now();
        let shown = match api.get("cluster", &[]) {
            Ok(cluster) if json => serde_json::to_string_pretty(&cluster)? + "\n",
            Ok(cluster) => {
                let shown = screen(&cluster, before.as_ref());
                before = Some((looked, cluster));
                shown
            }
            Err(error) if once => return Err(error),
            Err(error) => format!("{error}\nit is tried again\n"),
        };
        let mut out = io::stdout().lock();
        let clear = if io::stdout().is_terminal() && !once { CLEAR } else { "" };
        out.write_all(format!("{clear}{shown}").as_bytes())?;
        out.flush()?;
        drop(out);
        if once {
            return Ok(());
        }
        thread::sleep(EVERY.saturating_sub(looked.elapsed()));
    }
}

#[expect(clippy::disallowed_methods, reason = "this is no node")]
fn now() -> Instant {
    Instant::now()
}

fn screen(cluster: &Value, before: Option<&(Instant, Value)>) -> String {
    let accounting = &cluster["accounting"];
    let count = |name: &str| accounting[name].as_u64().unwrap_or_default();
    let rate = before.map_or(0.0, |(at, before)| {
        let earlier = before["accounting"]["accepted"].as_u64().unwrap_or_default();
        count("accepted").saturating_sub(earlier) as f64 / at.elapsed().as_secs_f64()
    });
    format!(
        "cluster {}   {} sessions   {} topics   {rate:.0} messages/s\n\
         accepted {}   acknowledged {}   pending {}   expired {}   dropped {}   unaccounted {}\n\n{}",
        show::text(&cluster["name"]),
        show::text(&cluster["sessions"]),
        show::text(&cluster["topics"]),
        count("accepted"),
        count("acknowledged"),
        count("pending"),
        count("expired"),
        show::dropped(accounting),
        count("unaccounted"),
        show::members(cluster),
    )
}
