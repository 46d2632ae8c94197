//! What is wrong with a file, by one rule each.

use crate::File;

/// The longest a file may get before it wants to be two.
const MAX_LINES: usize = 600;

/// The longest a function may get, from `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;

/// Imports of one part of `src` that its layer does not have.
pub(crate) fn imports_against_the_flow(file: &File, layers: &[(&str, &[&str])]) -> Option<String> {
    let part = part_of(file)?;
    let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == part) else {
        return Some(format!("`{part}` has no place in the table of layers"));
    };
    let code = code_of(&file.text);
    // Only in a file of the top level does `super` lead to another part.
    let supers = match file.path.iter().count() == 2 {
        true => code.lines().filter_map(|line| line.strip_prefix("use super::")).collect(),
        false => Vec::new(),
    };
    let crates = code.split("crate::").skip(1);
    let used = crates.chain(supers).flat_map(parts_named);
    let is_part = |name: &&str| layers.iter().any(|(part, _)| part == name);
    let mut wrong: Vec<_> = used
        .filter(|name| is_part(name) && *name != part && !allowed.contains(name))
        .map(|name| format!("`{part}` may not use `{name}`"))
        .collect();
    wrong.dedup();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// The first thing that is not ASCII.
pub(crate) fn no_ascii(file: &File) -> Option<String> {
    let (at, line) = file.text.lines().enumerate().find(|(_, line)| !line.is_ascii())?;
    Some(format!("line {} is not ASCII: {line}", at + 1))
}

/// A source that does not begin with `//!`.
pub(crate) fn no_head(file: &File) -> Option<String> {
    let is_wrong = file.is_rust() && !file.text.starts_with("//! ");
    is_wrong.then(|| "does not begin with `//!`".to_owned())
}

/// A source that wants to be two.
pub(crate) fn long_files(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (file.is_rust() && lines > MAX_LINES).then(|| format!("has {lines} lines"))
}

/// A function that does not fit on a screen. It ends at the first brace as far in as its `fn`, which
/// is so in all that is formatted.
pub(crate) fn long_functions(file: &File) -> Option<String> {
    let lines: Vec<_> = file.text.lines().collect();
    let long = |(start, line): (usize, &&str)| {
        let name = function_named(line.trim_start())?;
        let indent = |line: &str| line.len() - line.trim_start().len();
        let is_end = |next: &&str| {
            indent(next) == indent(line) && (next.trim() == "}" || next.ends_with(';'))
        };
        let is_whole = line.ends_with([';', '}']);
        let rest = lines[start..].iter().position(is_end).filter(|_| !is_whole)?;
        let is_declared = lines[start + rest].ends_with(';');
        let length = rest + 1;
        (!is_declared && length > MAX_FUNCTION_LINES)
            .then(|| format!("`{name}` has {length} lines"))
    };
    file.is_rust().then(|| lines.iter().enumerate().find_map(long)).flatten()
}

/// A collection in `proto` whose order is another at each run.
pub(crate) fn random_order(file: &File) -> Option<String> {
    let names = ["HashMap", "HashSet", "RandomState"];
    let found = names.into_iter().find(|name| code_of(&file.text).contains(name))?;
    file.is_in("src/proto").then(|| format!("`{found}` iterates in a random order"))
}

/// What was meant to be for a moment.
pub(crate) fn leftovers(file: &File) -> Option<String> {
    // Split, so that this very file is not found.
    let macros =
        [["to", "do!"], ["unimple", "mented!"], ["db", "g!"]].map(|halves| halves.concat());
    let code = code_of(&file.text);
    let found = macros.into_iter().find(|name| code.contains(name.as_str()));
    let ignored = code.lines().map(str::trim).find(|line| {
        let attribute = line.strip_prefix(&["#[ig", "nore"].concat());
        attribute.is_some_and(|rest| rest.starts_with([']', ' ', '=']))
    });
    let found = found.or_else(|| ignored.map(str::to_owned))?;
    file.is_rust().then(|| format!("`{found}` is left over"))
}

/// A folder or a host that a reader of the repository does not have.
pub(crate) fn beyond_the_repository(file: &File) -> Option<String> {
    // Split, so that this very file is not found.
    let places = [
        ["sha", "red/"],
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["index.cra", "tes.io"],
        ["static.cra", "tes.io"],
        ["registry.npm", "js.org"],
    ];
    let found = places.map(|halves| halves.concat()).into_iter().find(|p| file.text.contains(p));
    let depth = file.path.iter().count() - 1;
    let climbs = "../".repeat(depth + 1);
    let found = found.or_else(|| file.text.contains(&climbs).then_some(climbs))?;
    Some(format!("refers to `{found}`"))
}

/// The part of `src` that a file belongs to: `proto` for `src/proto/core.rs`.
fn part_of(file: &File) -> Option<&str> {
    let first = file.path.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    let part = first.strip_suffix(".rs").unwrap_or(first);
    (file.is_rust() && part != "lib").then_some(part)
}

/// A source without its comments.
fn code_of(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

/// The names right behind `crate::`, of which there are several in `crate::{a::..., b::...}`.
fn parts_named(rest: &str) -> Vec<&str> {
    match rest.strip_prefix('{') {
        Some(group) => top_level(group.split(';').next().unwrap_or_default()),
        None => vec![first_ident(rest)],
    }
}

/// The first identifier of each item in a `{...}` group, nested groups aside.
fn top_level(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut names = Vec::new();
    for item in group.split_inclusive([',', '{', '}']) {
        if depth == 0 {
            names.push(first_ident(item.trim_start()));
        }
        match item.chars().last() {
            Some('{') => depth += 1,
            Some('}') => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            break;
        }
    }
    names
}

/// The name of the function that begins on this line.
fn function_named(line: &str) -> Option<&str> {
    let words = ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "];
    let line = words.iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    line.strip_prefix("fn ").map(first_ident)
}

fn first_ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}
