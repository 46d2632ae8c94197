//! Node, Chromium, and packages from npm and PyPI, which not every machine has.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::is_ci;

/// Whether the drivers of the stock clients can be run. If not, says so; where CI is set, fails.
pub(crate) fn has_stock_clients() -> bool {
    let packages = [
        "atmosphere.js",
        "atmosphere.js-2",
        "atmosphere.js-3",
        "atmosphere.js-4",
        "axe-core",
        "eventsource",
    ];
    let is_there = packages.iter().all(|it| drivers().join("node_modules").join(it).exists())
        && std::process::Command::new("node").arg("--version").output().is_ok();
    is_there
        || skip("Node 20, or the npm packages of tests/clients; bash tests/all.sh installs them")
}

/// The browser, if there is one. If not, says so; where CI is set, fails.
pub(crate) fn chromium() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok();
    let names = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let mut names = named.into_iter().chain(names.map(str::to_owned));
    let found = names.find(|name| Path::new(name).exists());
    if found.is_none() {
        skip("Chromium; bash tests/all.sh installs it, and CHROMIUM may name one");
    }
    found
}

/// The runner of Autobahn's cases, if there is one. If not, says so; where CI is set, fails.
pub(crate) fn kosoku() -> Option<PathBuf> {
    python("kosoku-0.1.0", "kosoku", "KOSOKU")
}

/// The program that tries an API by its description, if there is one.
pub(crate) fn schemathesis() -> Option<PathBuf> {
    python("schemathesis-4.32.5", "st", "SCHEMATHESIS")
}

/// A program of Python's that `tests/all.sh` has installed, or that a variable names. If there is none,
/// says so; where CI is set, fails.
fn python(home: &str, program: &str, variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(home);
    let installed = installed.join("bin").join(program);
    let found = named.into_iter().chain([installed]).find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{home} of PyPI; bash tests/all.sh installs it, {variable} may name one"));
    }
    found
}

/// Whether there is a program of this name. If not, says so; where CI is set, fails.
pub(crate) fn has_program(name: &str) -> bool {
    let is_there = std::process::Command::new(name).arg("-v").output().is_ok();
    is_there || skip(&format!("{name}; bash tests/all.sh installs it when root"))
}

/// A driver, with its arguments.
pub(crate) fn node_js(args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(args).current_dir(drivers()).kill_on_drop(true);
    command
}

fn skip(what: &str) -> bool {
    assert!(!is_ci(), "CI is set, and this is missing: {what}");
    // Not captured, unlike what is printed in the ordinary way.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED, for want of {what}\n");
    false
}

fn drivers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"))
}
