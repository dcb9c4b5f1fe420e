//! Paths in Rust source, found in its text: what a file names, and the file that this stands in.
//!
//! No type is known here, so a path is followed by names alone: through `use`, `as`, `self`,
//! `super`, braces and re-exports, also inside the arguments of macros. A name that a macro makes
//! is not found.

use std::collections::{BTreeMap, BTreeSet};

/// Path of a module or an item, without the leading `crate`.
pub(crate) type Name = Vec<String>;

/// One leaf of a `use` declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The path as written, braces taken apart.
    pub(crate) path: Name,
    /// The name that it gets here; `*` for all names.
    pub(crate) name: String,
    /// Visible beyond the file.
    pub(crate) exported: bool,
}

/// References of one file to other files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Module {
    uses: Vec<Use>,
    /// Paths of two and more segments outside of `use`.
    paths: Vec<Name>,
    /// All names outside of `use`.
    words: BTreeSet<String>,
}

impl Module {
    /// Reads the text of a file.
    pub(crate) fn read(text: &str) -> Self {
        let tokens = tokens(&code(text));
        let mut module = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let before = at.checked_sub(1).map(|before| tokens[before].as_str());
            // `use<'a>` is a bound.
            if token == "use" && tokens.get(at + 1).is_some_and(|next| next != "<") {
                let exported = matches!(before, Some("pub" | ")"));
                at += 1;
                tree(&tokens, &mut at, &Name::new(), exported, &mut module.uses);
            } else if is_name(token) && !matches!(before, Some("::" | ".")) {
                let start = at;
                let mut path = vec![token.clone()];
                if before != Some("mod") {
                    module.words.insert(token.clone());
                }
                while tokens.get(at + 1).is_some_and(|next| next == "::")
                    && tokens.get(at + 2).is_some_and(|next| is_name(next))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                // `pub(in path)` says who sees an item.
                let sees = before == Some("in") && start > 1 && tokens[start - 2] == "(";
                if path.len() > 1 && !sees {
                    module.paths.push(path);
                }
                at += 1;
            } else {
                at += 1;
            }
        }
        module
    }

    /// The `use` declarations, braces taken apart.
    #[cfg(test)]
    pub(crate) fn uses(&self) -> &[Use] {
        &self.uses
    }
}

/// The files of a crate by their module paths; the root is the empty path.
pub(crate) struct Sources(pub(crate) BTreeMap<Name, Module>);

impl Sources {
    /// Every path that a module names, as a path from the crate's root.
    pub(crate) fn named(&self, module: &Name) -> BTreeSet<Name> {
        let Some(source) = self.0.get(module) else {
            return BTreeSet::new();
        };
        // What is only passed on is no dependency of the file that does it.
        let used = |import: &&Use| !import.exported || source.words.contains(&import.name);
        let imports = source.uses.iter().filter(used).map(|import| &import.path);
        imports
            .chain(&source.paths)
            .filter_map(|path| self.absolute(module, path, 0))
            .collect()
    }

    /// The modules whose files hold what a module names, itself left out.
    pub(crate) fn needs(&self, module: &Name) -> BTreeSet<Name> {
        let named = self.named(module).into_iter();
        let files = named.filter_map(|path| self.home(&path, 0));
        files.filter(|file| file != module).collect()
    }

    /// Groups of modules that need each other, of those that begin with `top`.
    pub(crate) fn circles(&self, top: &[String]) -> Vec<Vec<Name>> {
        let inside: Vec<&Name> = self.0.keys().filter(|name| name.starts_with(top)).collect();
        let needs: BTreeMap<&Name, BTreeSet<Name>> = inside
            .iter()
            .map(|&name| (name, self.needs(name)))
            .collect();
        let reach = |from: &Name| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from.clone()];
            while let Some(next) = open.pop() {
                for need in needs.get(&next).into_iter().flatten() {
                    if needs.contains_key(need) && reached.insert(need.clone()) {
                        open.push(need.clone());
                    }
                }
            }
            reached
        };
        let reached: BTreeMap<&Name, BTreeSet<Name>> =
            inside.iter().map(|&name| (name, reach(name))).collect();
        let mut circles: BTreeSet<Vec<Name>> = BTreeSet::new();
        for (&name, others) in &reached {
            if others.contains(name) {
                let back = |other: &&Name| reached[*other].contains(name);
                circles.insert(others.iter().filter(back).cloned().collect());
            }
        }
        circles.into_iter().collect()
    }

    /// A path as it is written in a module, from the crate's root; `None` in another crate.
    fn absolute(&self, module: &Name, path: &[String], depth: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let from = |base: &[String]| Some([base, rest].concat());
        match first.as_str() {
            "crate" => from(&[]),
            "self" => match rest.first().map(String::as_str) {
                Some("super") => self.absolute(module, rest, depth),
                _ => from(module),
            },
            "super" => {
                let (_, parent) = module.split_last()?;
                let parent = parent.to_vec();
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(&parent, rest, depth),
                    _ => from(&parent),
                }
            }
            name => {
                let child = [module.as_slice(), &[name.to_owned()]].concat();
                if self.0.contains_key(&child) {
                    return from(&child);
                }
                let import = self.0.get(module)?.uses.iter().find(|import| {
                    // An import that begins with its own name is of another crate.
                    import.name == name && import.path.first() != Some(first)
                })?;
                if depth > 8 {
                    return None;
                }
                let base = self.absolute(module, &import.path, depth + 1)?;
                from(&base)
            }
        }
    }

    /// The module whose file holds an item, re-exports followed.
    fn home(&self, path: &[String], depth: usize) -> Option<Name> {
        let at = (0..=path.len())
            .rev()
            .find(|&at| self.0.contains_key(&path[..at]))?;
        let module = path[..at].to_vec();
        let Some(item) = path.get(at) else {
            return Some(module);
        };
        let passed_on = self.0[&module].uses.iter().find(|import| {
            import.name == *item && import.path.first().is_some_and(|first| first != item)
        });
        if let Some(import) = passed_on
            && depth < 8
            && let Some(mut target) = self.absolute(&module, &import.path, 0)
        {
            target.extend_from_slice(&path[at + 1..]);
            return self.home(&target, depth + 1);
        }
        Some(module)
    }
}

/// Reads one tree of a `use` declaration, from the token at `at` on.
fn tree(tokens: &[String], at: &mut usize, base: &Name, exported: bool, uses: &mut Vec<Use>) {
    let mut path = base.clone();
    loop {
        let Some(token) = tokens.get(*at) else {
            return;
        };
        *at += 1;
        match token.as_str() {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|next| next != "}") {
                    tree(tokens, at, &path, exported, uses);
                    if tokens.get(*at).is_some_and(|next| next == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "as" => {
                let name = tokens.get(*at).cloned().unwrap_or_default();
                *at += 1;
                uses.push(Use {
                    path,
                    name,
                    exported,
                });
                return;
            }
            // `{self}` is the module itself.
            "self" if !path.is_empty() => {}
            _ => path.push(token.clone()),
        }
        if matches!(
            tokens.get(*at).map(String::as_str),
            None | Some("," | ";" | "}")
        ) {
            let name = path.last().cloned().unwrap_or_default();
            if name == "*" {
                path.pop();
            }
            uses.push(Use {
                path,
                name,
                exported,
            });
            return;
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single characters.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(next) = chars.next() {
        if next.is_whitespace() {
        } else if next.is_alphanumeric() || next == '_' {
            let mut name = next.to_string();
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(more);
            }
            tokens.push(name);
        } else if next == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else {
            tokens.push(next.to_string());
        }
    }
    tokens
}

/// The code of a file: no comments, no text of strings, nothing that is for tests only.
pub(crate) fn code(text: &str) -> String {
    let mut bare = strip(text);
    while let Some(start) = bare.find("#[cfg(test)]") {
        let end = item_end(&bare, start + "#[cfg(test)]".len());
        bare.replace_range(start..end, "");
    }
    bare
}

/// The modules that a file declares for tests only.
pub(crate) fn test_modules(text: &str) -> BTreeSet<String> {
    let bare = strip(text);
    let after = bare.split("#[cfg(test)]").skip(1).map(tokens);
    let name = |tokens: Vec<String>| {
        let at = tokens.iter().take(5).position(|token| token == "mod")?;
        tokens.get(at + 1).cloned()
    };
    after.filter_map(name).collect()
}

/// The end of the item that begins at a position: its `;`, or the brace that closes its first one.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The text without comments and without what is inside of strings and characters.
fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        what.chars()
            .enumerate()
            .all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let mut out = String::new();
    let mut at = 0;
    while let Some(&next) = chars.get(at) {
        if starts(at, "//") {
            while chars.get(at).is_some_and(|c| *c != '\n') {
                at += 1;
            }
        } else if starts(at, "/*") {
            while at < chars.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if next == '"' {
            // The mark before a raw string says how many signs end it.
            let hashes = chars[..at].iter().rev().take_while(|c| **c == '#').count();
            let raw = at > hashes && chars[at - hashes - 1] == 'r';
            let end = format!("\"{}", "#".repeat(if raw { hashes } else { 0 }));
            at += 1;
            while at < chars.len() && !starts(at, &end) {
                at += if !raw && chars[at] == '\\' { 2 } else { 1 };
            }
            at += end.len();
            out.push_str("\"\"");
        } else if next == '\''
            && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\''))
        {
            at += if chars.get(at + 1) == Some(&'\\') {
                3
            } else {
                2
            };
            while chars.get(at).is_some_and(|c| *c != '\'') {
                at += 1;
            }
            at += 1;
            out.push_str("' '");
        } else {
            out.push(next);
            at += 1;
        }
    }
    out
}
