//! Callers who may look and not touch: what they are refused, and what they are not shown.

use serde_json::Value;

use super::answer::Answer;
use super::error::CommandError;

/// The error for a change.
pub(super) fn refusal() -> CommandError {
    CommandError::refused("nothing changed: this control socket is for reading only")
        .hint("changes are made on the gateway's other one, by those who may open it")
}

/// An answer without what may be secret: the queries of URLs.
pub(super) fn shown(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Show(show) => show.database.settings.values_mut().for_each(cut_values),
        Answer::Diff(diff) => {
            for row in &mut diff.differences {
                cut_values(&mut row.running);
                cut_values(&mut row.file);
            }
        }
        Answer::Export(export) => export.toml = cut_lines(&export.toml),
        Answer::Watch(watch) => watch.read_only = true,
        _ => {}
    }
    answer
}

/// A text up to the query of the URL in it; `None` if there is none.
fn cut(text: &str) -> Option<String> {
    let (scheme, url) = text.split_once("://")?;
    let (address, _) = url.split_once('?')?;
    Some(format!("{scheme}://{address}?..."))
}

fn cut_values(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(shown) = cut(text) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut_values),
        Value::Object(fields) => fields.values_mut().for_each(cut_values),
        _ => {}
    }
}

/// The same for TOML that has a text with a URL on a line of its own, as `export` writes it.
fn cut_lines(toml: &str) -> String {
    let lines = toml
        .lines()
        .map(|line| match (cut(line), line.chars().last()) {
            (Some(shown), Some(quote)) => format!("{shown}{quote}\n"),
            _ => format!("{line}\n"),
        });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_of_urls_are_cut_off() {
        let mut settings = json!({
            "backends": ["a:1"], "why": "really?",
            "wake": {"http": "POST http://starter:80/a?token=\"s3cret\""},
            "more": [["GET http://b/?s3cret", "GET http://b/"]],
        });
        cut_values(&mut settings);
        let shown = json!({
            "backends": ["a:1"], "why": "really?",
            "wake": {"http": "POST http://starter:80/a?..."},
            "more": [["GET http://b/?...", "GET http://b/"]],
        });
        assert_eq!(settings, shown);
    }

    #[test]
    fn what_is_exported_stays_a_configuration() {
        for secret in ["s3cret", "\"s3cret\"", "'s3cret'", "a=1&b=s3cret"] {
            let table = |query: &str| {
                let http = format!("POST http://starter:80/a?{query}");
                json!({"database": {"a": {"hold": "5s", "wake": {"http": http}}}})
            };
            let shown = cut_lines(&toml::to_string(&table(secret)).unwrap());
            let read: Value = toml::from_str(&shown).unwrap();
            assert_eq!(read, table("..."), "{shown}");
        }
    }
}
