//! Every cause that dbgate can name, with a stable code: what happened, who said it, what it
//! means, what to do.
//!
//! A code, once published, keeps its meaning. No rule covers two causes: where one symptom has
//! several, the probe connects again until it knows which. The texts address the person in front
//! of the terminal; what was seen this time (names, numbers) is the finding's own sentence.

mod capture;
mod certificate;
mod client;
mod preface;
mod protocol;
mod reach;
mod rule;
mod tls;

pub use capture::*;
pub use certificate::*;
pub use client::*;
pub use preface::*;
pub use protocol::*;
pub use reach::*;
pub use rule::{Rule, Severity, Stage};
pub use tls::*;

/// Every rule, in the order of the stages.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        reach::ALL,
        preface::ALL,
        tls::ALL,
        client::ALL,
        certificate::ALL,
        protocol::ALL,
        capture::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The rule with this code.
#[must_use]
pub fn by_code(code: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn codes_are_unique_words_joined_by_hyphens() {
        let mut seen = BTreeSet::new();
        for rule in all() {
            assert!(seen.insert(rule.code), "{} is there twice", rule.code);
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(rule.code.chars().all(legal), "{}", rule.code);
        }
    }

    /// The text of every source file below a folder, the rules' own kept apart.
    fn sources(dir: &Path, code: &mut String, rules: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, code, rules);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let to = if dir.ends_with("rules") {
                    &mut *rules
                } else {
                    &mut *code
                };
                to.push_str(&text);
            }
        }
    }

    #[test]
    fn every_rule_is_found_by_somebody_and_every_fault_of_a_certificate_has_one() {
        let (mut code, mut rules) = (String::new(), String::new());
        for folder in ["src", "commands"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            sources(&folder, &mut code, &mut rules);
        }
        let mut unfound = Vec::new();
        for rule in all() {
            let quoted = format!("\"{}\"", rule.code);
            let declared = rules.lines().find(|line| line.contains(&quoted)).unwrap();
            let constant = declared.trim().split(':').next().unwrap();
            // A certificate's rule is named by the code of its fault, all others by the constant.
            let found = code.contains(&quoted) || code.contains(&format!("rules::{constant}"));
            if !found {
                unfound.push(rule.code);
            }
        }
        assert!(unfound.is_empty(), "nothing finds {unfound:?}");
        let is_code = |text: &str| {
            text.len() > "cert-".len()
                && text.starts_with("cert-")
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        for fault in code.split('"').filter(|text| is_code(text)) {
            assert!(by_code(fault).is_some(), "no rule for {fault}");
        }
    }

    #[test]
    fn no_two_rules_share_a_sentence() {
        let mut seen = BTreeSet::new();
        for rule in all() {
            for text in [rule.summary, rule.meaning] {
                assert!(!text.is_empty(), "{}", rule.code);
                assert!(seen.insert(text), "{}: {text}", rule.code);
            }
            assert!(!rule.remedy.is_empty(), "{}", rule.code);
            assert!(!rule.summary.ends_with('.'), "{}", rule.code);
            assert!(rule.meaning.ends_with('.'), "{}", rule.code);
            assert!(rule.remedy.ends_with('.'), "{}", rule.code);
        }
    }
}
