//! Reports of a probe without what differs from run to run: ports, times, dates, days, serial
//! numbers, fingerprints, paths, versions of the system's servers.

use serde_json::{Value, json};

/// Hexadecimal digits that in a row are a fingerprint or a serial number; the parts of a JA4 have 12.
const HEX: usize = 16;

/// The versions that servers tell: the system decides about them.
pub(crate) fn versions(reports: &[Value]) -> Vec<(String, String)> {
    let told = reports
        .iter()
        .filter_map(|report| report["told"].as_object());
    told.flatten()
        .filter(|(key, _)| key.contains("version"))
        .filter_map(|(key, value)| Some((format!("{{{key}}}"), value.as_str()?.to_owned())))
        .collect()
}

/// The JSON of a report, with its keys in their order.
pub(crate) fn report(mut value: Value, words: &[(String, String)]) -> Value {
    walk(&mut value, words);
    value
}

fn walk(value: &mut Value, words: &[(String, String)]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, words)),
        Value::String(text) => *text = scrub(text, words),
        Value::Object(fields) => {
            for (key, field) in fields {
                match key.as_str() {
                    "time" | "client" | "serial" | "sha256" | "days_left" => {
                        *field = json!(format!("({key})"));
                    }
                    "phases_ms" => {
                        let phases = field.as_object_mut().into_iter().flatten();
                        phases.for_each(|(_, ms)| unnumbered(ms));
                    }
                    _ => walk(field, words),
                }
            }
        }
        _ => {}
    }
}

/// A number, or those of an object.
fn unnumbered(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| unnumbered(field)),
        other => *other = json!("N"),
    }
}

/// The text of a report.
pub(crate) fn text(text: &str, words: &[(String, String)]) -> String {
    let text = scrub(text, words);
    let lines = text.lines().map(|line| {
        if line.starts_with("  phases") || line.contains(" min ") {
            // The 99 of p99 stays.
            let free = |before: &str| before.ends_with(' ');
            numbers(line, |before, _| free(before).then_some("N")) + "\n"
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

/// One line, with one space between words.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn scrub(text: &str, words: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in words {
        text = whole(&text, value, name);
    }
    text = dates(&text);
    text = hexadecimal(&text);
    numbers(&text, |before, after| {
        if is_time(after) {
            Some("N")
        } else if before.ends_with("127.0.0.1:") {
            Some("PORT")
        } else {
            None
        }
    })
}

/// Returns whether the text behind a number makes it one that changes with the day; "825 days" alone does not.
fn is_time(after: &str) -> bool {
    let mut words = after.split_whitespace();
    match words.next() {
        Some("day" | "days") => words.next().is_some_and(|word| {
            ["ago", "left", "from"]
                .iter()
                .any(|it| word.starts_with(it))
        }),
        Some(unit) => unit.starts_with("ms"),
        None => false,
    }
}

/// Replaces a value where no digit or letter stands beside it.
fn whole(text: &str, value: &str, name: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, found) = rest.split_at(at);
        let after = &found[value.len()..];
        let beside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let part = beside(before.chars().next_back()) || beside(after.chars().next());
        done += before;
        done += if part { value } else { name };
        rest = after;
    }
    done + rest
}

/// `2026-01-02` or `2026-01-02T03:04:05.678Z`.
fn dates(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| date(&rest[*at..]))
    {
        done += &rest[..at];
        done += "DATE";
        let tail = &rest[at + "2026-01-02".len()..];
        let of_time = |c: char| c.is_ascii_digit() || "T:.Z".contains(c);
        let end = if tail.starts_with('T') {
            tail.find(|c| !of_time(c)).unwrap_or(tail.len())
        } else {
            0
        };
        rest = &tail[end..];
    }
    done + rest
}

fn date(text: &str) -> bool {
    let shape = b"dddd-dd-dd";
    let fits = |(byte, wanted): (&u8, &u8)| match wanted {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    text.len() >= shape.len() && text.as_bytes().iter().zip(shape).all(fits)
}

fn hexadecimal(text: &str) -> String {
    runs(
        text,
        |c| c.is_ascii_hexdigit(),
        |run, _, _| (run.len() >= HEX).then_some("HEX"),
    )
}

/// Replaces numbers; `by` sees what stands before and after.
fn numbers(text: &str, by: impl Fn(&str, &str) -> Option<&'static str>) -> String {
    runs(
        text,
        |c| c.is_ascii_digit() || c == '.',
        |run, before, after| {
            let number = run.parse::<f64>().is_ok();
            number.then(|| by(before, after)).flatten()
        },
    )
}

/// Replaces runs of characters of a kind; `by` sees the run and what stands before and after.
fn runs(
    text: &str,
    kind: impl Fn(char) -> bool,
    by: impl Fn(&str, &str, &str) -> Option<&'static str>,
) -> String {
    let mut done = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = rest.find(|c| !kind(c)).unwrap_or(rest.len());
        if length == 0 {
            let next = rest.chars().next().expect("a character");
            done.push(next);
            at += next.len_utf8();
            continue;
        }
        let run = &rest[..length];
        done += by(run, &text[..at], &rest[length..]).unwrap_or(run);
        at += length;
    }
    done
}

#[test]
fn what_differs_is_taken_out_and_nothing_else() {
    let words = [("{port}".to_owned(), "54321".to_owned())];
    for (text, wanted) in [
        ("127.0.0.1:54321 of 154321", "127.0.0.1:{port} of 154321"),
        ("from 127.0.0.1:40000, 5.25 ms", "from 127.0.0.1:PORT, N ms"),
        (
            "ended 2021-01-01T00:00:00Z, 2148 days ago",
            "ended DATE, N days ago",
        ),
        ("on 2021-01-01.", "on DATE."),
        ("89 days left; 825 days", "N days left; 825 days"),
        ("TLS 1.3 in 2 records", "TLS 1.3 in 2 records"),
        ("serial 1000000000000001", "serial HEX"),
        (
            "t13d1011h2_61a7ad8aa9b6_3a8073edd8ef",
            "t13d1011h2_61a7ad8aa9b6_3a8073edd8ef",
        ),
    ] {
        assert_eq!(scrub(text, &words), wanted);
    }
    let phases = "  phases      dns 1.0  tls 12.5 ms\n";
    assert_eq!(
        super::normal::text(phases, &[]),
        "  phases      dns N  tls N ms\n"
    );
}
