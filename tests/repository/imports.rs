//! Which file of a crate names what is defined in which other one.
//!
//! A path is followed through re-exports to the file that defines the item. Declaring a module or passing
//! an item on with `pub use` names nothing; using it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module that has a file of its own.
#[derive(Default)]
struct Module {
    /// Relative to the crate's sources.
    file: String,
    children: BTreeSet<String>,
    /// What `use` brings in, and whether it is passed on; a glob's name is `*`.
    uses: Vec<Use>,
    /// Paths in the code that is no `use`.
    paths: Vec<Vec<String>>,
    /// All other words of the code.
    words: BTreeSet<String>,
}

struct Use {
    name: String,
    path: Vec<String>,
    passed_on: bool,
}

/// A crate's modules by their paths; the root's is empty.
pub(crate) struct Crate(BTreeMap<Vec<String>, Module>);

impl Crate {
    /// Reads all files below `sources`, without their tests.
    pub(crate) fn read(sources: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in super::architecture::files_below(sources) {
            if file == "main.rs" {
                continue;
            }
            let path = module_path(&file);
            let tokens = tokens(&text);
            modules.insert(path, Module::parse(file, &tokens));
        }
        Self(modules)
    }

    /// From each file to those whose items it names, itself not counted.
    pub(crate) fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges = BTreeMap::new();
        for (at, module) in &self.0 {
            let used = module.uses.iter().filter(|used| {
                !used.passed_on || used.name == "*" || module.words.contains(&used.name)
            });
            let paths = used.map(|used| &used.path).chain(&module.paths);
            let mut named: BTreeSet<_> = paths.filter_map(|path| self.resolve(at, path)).collect();
            named.remove(module.file.as_str());
            edges.insert(module.file.as_str(), named);
        }
        edges
    }

    /// The file that defines what a path means in a module; `None` for another crate's, or for a module.
    fn resolve(&self, at: &[String], path: &[String]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let module = self.0.get(at)?;
        match first.as_str() {
            "crate" => return self.walk(Vec::new(), rest),
            "self" => return self.walk(at.to_vec(), rest),
            "super" => return self.resolve_in(at.split_last()?.1, rest),
            _ => {}
        }
        if let Some(used) = module.uses.iter().find(|used| used.name == *first) {
            let whole: Vec<_> = used.path.iter().chain(rest).cloned().collect();
            return (used.path.first() != Some(first)).then(|| self.resolve(at, &whole))?;
        }
        let child = module.children.contains(first);
        child.then(|| self.walk(at.to_vec(), path))?
    }

    /// As [`Crate::resolve`], after a `super`.
    fn resolve_in(&self, at: &[String], path: &[String]) -> Option<&str> {
        match path.first().map(String::as_str) {
            Some("super") => self.resolve(at, path),
            _ => self.walk(at.to_vec(), path),
        }
    }

    fn walk(&self, mut at: Vec<String>, path: &[String]) -> Option<&str> {
        let mut rest = path;
        loop {
            let module = self.0.get(&at)?;
            let (next, after) = rest.split_first()?;
            if module.children.contains(next) {
                at.push(next.clone());
                rest = after;
                continue;
            }
            let used = module.uses.iter().find(|used| used.name == *next);
            return match used {
                Some(used) => {
                    let whole: Vec<_> = used.path.iter().chain(after).cloned().collect();
                    self.resolve(&at, &whole)
                }
                None => Some(&module.file),
            };
        }
    }
}

/// The groups of files of which each one names, by way of others, each other one.
pub(crate) fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let reach: BTreeMap<_, _> = edges
        .keys()
        .map(|file| (*file, reached(edges, file)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in &reach {
        let circle = reached.iter().filter(|other| reach[*other].contains(file));
        let circle: Vec<_> = circle.copied().collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reached<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<_> = edges[from].iter().copied().collect();
    while let Some(file) = pending.pop() {
        if found.insert(file) {
            pending.extend(&edges[file]);
        }
    }
    found
}

impl Module {
    fn parse(file: String, tokens: &[String]) -> Self {
        let mut module = Self {
            file,
            ..Self::default()
        };
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            let end = |from: usize| {
                let end = tokens[from..].iter().position(|token| token == ";");
                from + end.unwrap_or(tokens.len() - from)
            };
            match token {
                "mod" if tokens.get(at + 2).is_some_and(|token| token == ";") => {
                    module.children.insert(tokens[at + 1].clone());
                    at += 3;
                }
                "use" if tokens.get(at + 1).is_some_and(|next| next != "<") => {
                    let passed_on = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                    let tree = &tokens[at + 1..end(at)];
                    read_tree(&[], tree, passed_on, &mut module.uses);
                    at = end(at) + 1;
                }
                _ if is_word(token) => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::")
                        && tokens.get(at + 2).is_some_and(|next| is_word(next))
                    {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    module.words.insert(path[0].clone());
                    if path.len() > 1 {
                        module.paths.push(path);
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
        module
    }
}

/// `a::{self, b as c, d::*}` to its names and paths.
fn read_tree(prefix: &[String], tree: &[String], passed_on: bool, found: &mut Vec<Use>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                let inner = &tree[at + 1..tree.len() - 1];
                for branch in branches(inner) {
                    read_tree(&path, branch, passed_on, found);
                }
                return;
            }
            "as" => {
                let name = tree[at + 1].clone();
                found.push(Use {
                    name,
                    path,
                    passed_on,
                });
                return;
            }
            "self" if !path.is_empty() => {}
            _ => path.push(token.clone()),
        }
        at += 1;
    }
    if let Some(name) = path.last().cloned() {
        found.push(Use {
            name,
            path,
            passed_on,
        });
    }
}

fn branches(tokens: &[String]) -> Vec<&[String]> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                found.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&tokens[start..]);
    found.retain(|branch| !branch.is_empty());
    found
}

fn module_path(file: &str) -> Vec<String> {
    let path = PathBuf::from(file).with_extension("");
    let mut path: Vec<_> = path
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if ["lib", "mod"].contains(&path.last().unwrap().as_str()) {
        path.pop();
    }
    path
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c == '_' || c == '*' || c.is_alphabetic())
}

/// Words and signs, without comments, texts and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("r\"") => rest[2..].find('"').unwrap() + 3,
            _ if rest.starts_with("r#\"") => rest.find("\"#").unwrap() + 2,
            '"' => quoted(rest, '"'),
            '\'' => character(rest),
            _ if first == '_' || first.is_alphanumeric() => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
                let end = end.unwrap_or(rest.len());
                tokens.push(rest[..end].to_owned());
                end
            }
            _ => {
                let sign = if rest.starts_with("::") {
                    2
                } else {
                    first.len_utf8()
                };
                if !first.is_whitespace() {
                    tokens.push(rest[..sign].to_owned());
                }
                sign
            }
        };
        rest = &rest[taken..];
    }
    tokens
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character, or the sign before a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 1,
    }
}

/// Every inherent `impl` whose type another file defines: `(file, type)`.
pub(crate) fn foreign_impls(sources: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (file, text) in super::architecture::files_below(sources) {
        let tokens = tokens(&text);
        let defined: BTreeSet<_> = tokens
            .windows(2)
            .filter(|pair| ["struct", "enum", "union"].contains(&pair[0].as_str()))
            .map(|pair| pair[1].clone())
            .collect();
        for line in text
            .lines()
            .filter(|line| line.starts_with("impl") && !line.contains(" for "))
        {
            let name = line.trim_start_matches("impl").trim_start();
            let name = match name.strip_prefix('<') {
                Some(generic) => generic.split_once("> ").map_or("", |(_, name)| name),
                None => name,
            };
            let end = name.find(|c: char| c != '_' && !c.is_alphanumeric());
            let name = name[..end.unwrap_or(name.len())].to_owned();
            if !defined.contains(&name) {
                found.push((file.clone(), name));
            }
        }
    }
    found
}

/// A file's text without its tests.
pub(crate) fn without_tests(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("\n#[cfg(test)]\nmod tests");
    text[..end.unwrap_or(text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[(&str, &str)]) -> Crate {
        let parse = |(file, text): &(&str, &str)| {
            let module = Module::parse((*file).to_owned(), &tokens(text));
            (module_path(file), module)
        };
        Crate(files.iter().map(parse).collect())
    }

    #[test]
    fn a_path_leads_to_the_file_that_defines_the_item() {
        let made = made(&[
            ("lib.rs", "mod a; mod b; pub use a::Passed;"),
            ("a/mod.rs", "mod inner; pub use inner::Passed; struct Own;"),
            (
                "a/inner.rs",
                "use super::Own; pub struct Passed; // crate::b::Not\n",
            ),
            (
                "b.rs",
                "use crate::a::{self, Passed as Known}; fn f() { a::Own; \"crate::a::X\" }",
            ),
        ]);
        let edges = made.edges();
        let of = |file: &str| edges[file].iter().copied().collect::<Vec<_>>();
        assert_eq!(of("lib.rs"), [""; 0]);
        assert_eq!(of("a/mod.rs"), [""; 0]);
        assert_eq!(of("a/inner.rs"), ["a/mod.rs"]);
        assert_eq!(of("b.rs"), ["a/inner.rs", "a/mod.rs"]);
        assert!(circles(&edges).is_empty());
    }

    #[test]
    fn who_passes_an_item_on_and_uses_it_is_in_the_circle() {
        let made = made(&[
            ("lib.rs", "mod a;"),
            (
                "a/mod.rs",
                "mod inner; pub use inner::Passed; struct Own(Passed);",
            ),
            ("a/inner.rs", "pub struct Passed(super::Own<'static>);"),
        ]);
        assert_eq!(circles(&made.edges()), [["a/inner.rs", "a/mod.rs"]]);
    }
}
