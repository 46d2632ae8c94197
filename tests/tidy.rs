//! Rules about the source that the compiler does not know.
//!
//! Each rule is a function from a file to what is wrong with it, so that it can be tried on a small
//! text that breaks it: a rule that cannot fail holds nothing.

#[path = "tidy/rules.rs"]
mod rules;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use rules::{
    beyond_the_repository, imports_against_the_flow, leftovers, long_files, long_functions,
    no_ascii, no_head, random_order,
};

/// What each part of `src` may use of the others. Data flows down this list, and so do imports.
///
/// What comes in from the world (`client`, `cluster`) knows neither the other nor what the
/// application holds; `remote`, the client in Rust, knows nothing of nodes. `service` and `node` put
/// all together. `error` gathers what `main` may see.
const LAYERS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("message", &[]),
    ("path", &["id"]),
    ("connection", &[]),
    ("proto", &["id", "message"]),
    ("report", &["proto"]),
    ("store", &["id", "message", "proto"]),
    ("runtime", &["connection", "id", "message", "proto", "store"]),
    ("postman", &["id", "message", "proto"]),
    ("remote", &["id", "message", "postman", "proto", "runtime"]),
    ("client", &["connection", "id", "message", "path", "postman", "proto", "remote", "runtime"]),
    ("license", &["proto"]),
    ("cluster", &["id", "license", "message", "proto", "runtime"]),
    ("topic", &["id", "message", "proto", "runtime"]),
    ("session", &["connection", "id", "message", "proto", "runtime", "topic"]),
    ("websocket", &["id", "message", "proto", "runtime", "topic"]),
    ("handler", &["message", "proto", "runtime", "session", "topic"]),
    ("reply", &[]),
    ("json", &["handler", "message", "proto", "reply", "session"]),
    ("route", &["handler", "id", "proto", "runtime", "session", "websocket"]),
    (
        "sim",
        &[
            "connection",
            "handler",
            "id",
            "message",
            "proto",
            "route",
            "runtime",
            "session",
            "topic",
        ],
    ),
    ("service", &["client"]),
    ("rest", &["handler", "message", "path", "proto", "reply", "service", "session"]),
    (
        "node",
        &[
            "client",
            "cluster",
            "connection",
            "handler",
            "id",
            "license",
            "proto",
            "report",
            "route",
            "runtime",
            "service",
            "session",
            "store",
            "topic",
            "websocket",
        ],
    ),
    (
        "control",
        &[
            "client", "handler", "id", "license", "message", "node", "proto", "report", "route",
            "runtime", "service", "session", "topic",
        ],
    ),
    ("error", &["id", "node", "topic"]),
    ("bin", &[]),
    ("fuzz", &["client", "cluster", "license", "store"]),
];

/// What the top level of the repository may hold.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".git",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "examples",
    "proto-notes.md",
    "src",
    "target",
    "tests",
];

/// Folders that hold what was built, installed or found, not what was written.
const NOT_OURS: &[&str] =
    &[".git", "target", "node_modules", "corpus", "artifacts", "coverage", "fuzz_coverage"];

/// What is text, and written by us.
const WRITTEN: &[&str] =
    &["css", "html", "js", "json", "md", "mjs", "npmrc", "proto", "rs", "sh", "toml", "yml", "run"];

/// What a program wrote.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json"];

/// A file of the repository.
struct File {
    /// Where it is, from the top level on.
    path: PathBuf,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    fn is_rust(&self) -> bool {
        self.path.extension() == Some(OsStr::new("rs"))
    }
}

#[test]
fn imports_flow_one_way() {
    hold(|file| imports_against_the_flow(file, LAYERS));
    let wrong = |path: &str, text: &str| {
        imports_against_the_flow(&File::new(path, text), LAYERS).into_iter().collect::<Vec<_>>()
    };
    let told =
        wrong("src/proto/core.rs", "use crate::{\n    id::NodeId,\n    runtime::Tasks,\n};\n");
    assert_eq!(told, ["`proto` may not use `runtime`"]);
    assert_eq!(wrong("src/client.rs", "fn f() {\n    crate::cluster::go();\n}\n").len(), 1);
    assert_eq!(wrong("src/cluster/link.rs", "use crate::client::Writer;\n").len(), 1);
    assert_eq!(wrong("src/cluster.rs", "use super::client::Writer;\n").len(), 1);
    assert_eq!(wrong("src/runtime/x.rs", "use crate::{proto::{Op, Seq}, node};\n").len(), 1);
    assert_eq!(wrong("src/novelty.rs", "").len(), 1, "a part without a place");
    let fine = "//! See [`crate::node::Node`].\nuse crate::{Message, proto::{Op, node}, id};\n";
    assert!(wrong("src/runtime/x.rs", fine).is_empty());
}

#[test]
fn the_table_of_layers_has_no_way_back() {
    for (at, (part, uses)) in LAYERS.iter().enumerate() {
        let below: Vec<_> = LAYERS[..at].iter().map(|(name, _)| name).collect();
        for used in *uses {
            assert!(below.contains(&used), "`{part}` uses `{used}`, which is not below it");
        }
    }
}

#[test]
fn everything_is_ascii() {
    hold(no_ascii);
    assert_broken(no_ascii, "README.md", "caf\u{e9}\n");
    assert_broken(no_ascii, "examples/chat/chat.js", "// \u{2014}\n");
}

#[test]
fn every_source_begins_by_saying_what_it_is() {
    hold(no_head);
    assert_broken(no_head, "src/x.rs", "use std::fs;\n");
    assert_broken(no_head, "benches/x.rs", "// What it is.\n");
}

#[test]
fn no_file_is_too_long() {
    hold(long_files);
    assert_broken(long_files, "src/x.rs", &"//!\n".repeat(601));
}

#[test]
fn no_function_is_too_long() {
    hold(long_functions);
    let function =
        |lines| format!("impl X {{\n    fn f() {{\n{}    }}\n}}\n", "x;\n".repeat(lines));
    assert_broken(long_functions, "src/x.rs", &function(69));
    assert!(long_functions(&File::new("src/x.rs", &function(68))).is_none());
    let two = "pub(crate) async fn f(\n    a: u8,\n) -> u8\nwhere\n    u8: Copy,\n{\n    a\n}\n";
    assert!(long_functions(&File::new("src/x.rs", &two.repeat(20))).is_none());
    let declared =
        format!("trait X {{\n    fn f(\n        a: u8,\n    ) -> u8;\n{}}}\n", "\n".repeat(90));
    assert!(long_functions(&File::new("src/x.rs", &declared)).is_none());
}

#[test]
fn proto_iterates_in_a_fixed_order() {
    hold(random_order);
    for map in ["HashMap", "HashSet", "RandomState"] {
        assert_broken(random_order, "src/proto/x.rs", &format!("use std::collections::{map};\n"));
    }
}

#[test]
fn nothing_is_left_over() {
    hold(leftovers);
    for macro_name in ["todo", "unimplemented", "dbg"] {
        assert_broken(leftovers, "src/x.rs", &format!("fn f() {{ {macro_name}!() }}\n"));
    }
    assert_broken(leftovers, "tests/x.rs", &format!("#[{}]\nfn f() {{}}\n", "ignore"));
    assert_broken(leftovers, "tests/x.rs", &format!("#[{} = \"slow\"]\nfn f() {{}}\n", "ignore"));
}

#[test]
fn the_product_knows_nothing_outside_its_repository() {
    hold(beyond_the_repository);
    for text in [
        ["see sha", "red/design.md"],
        ["/ro", "ot/.cargo"],
        ["/ho", "me/me"],
        ["/wo", "rk/main"],
        ["https://index.cra", "tes.io/"],
        ["https://registry.npm", "js.org/ws"],
    ] {
        assert_broken(beyond_the_repository, "README.md", &text.concat());
    }
    let beyond = format!("#![doc = include_str!(\"{}x.md\")]", "../".repeat(2));
    assert_broken(beyond_the_repository, "src/lib.rs", &beyond);
    let within = File::new("src/lib.rs", "#![doc = include_str!(\"../README.md\")]");
    assert!(beyond_the_repository(&within).is_none());
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    let unknown = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !TOP_LEVEL.contains(name)).map(ToString::to_string).collect()
    };
    let entries = fs::read_dir(root()).expect("the repository can be read");
    let names: Vec<_> = entries
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(unknown(&names), [""; 0]);
    assert_eq!(unknown(&["src", "scratch.txt"]), ["scratch.txt"]);
}

/// Holds every file of the repository to a rule.
fn hold<W: std::fmt::Display>(rule: impl Fn(&File) -> Option<W>) {
    let files = files();
    assert!(files.iter().any(|file| file.path == Path::new("src/lib.rs")), "the source is found");
    let wrong: Vec<_> = files
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.path.display(), rule(file)?)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn assert_broken(rule: impl Fn(&File) -> Option<String>, path: &str, text: &str) {
    assert!(rule(&File::new(path, text)).is_some(), "{path} should break the rule: {text}");
}

/// All that we wrote.
fn files() -> Vec<File> {
    let (mut files, mut folders) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the repository can be read") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if path.is_dir() {
                if !NOT_OURS.contains(&name) {
                    folders.push(path);
                }
            } else if WRITTEN.contains(&name.rsplit('.').next().unwrap_or(name))
                && !GENERATED.contains(&name)
            {
                let text = fs::read_to_string(&path).expect("what we write is text");
                let path = path.strip_prefix(root()).expect("it is in the repository").to_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
