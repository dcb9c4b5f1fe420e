//! Cuts a configuration into pieces to be read one after the other: a file with very many
//! databases is never in memory as one tree, which would be thirty times its size.
//!
//! The cuts are before lines that begin with `[database.` or lead from there to another section.
//! Such a line may stand inside a string or a list of several lines, too; but then the piece
//! before it ends in the middle of that, which is a syntax error. So pieces without one say
//! together what the whole says, unless two of them speak of the same section.
//!
//! Not here: reading the pieces.

use std::ops::Range;

/// Bytes of a piece with databases: enough that what each costs by itself does not count, and few
/// enough that its tree stays in the processor's cache.
pub(super) const PIECE: usize = 16 * 1024;

/// The start of the headers of databases.
const DATABASE: &str = "[database.";

/// A text in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Byte ranges that hold databases, several each.
    pub(super) databases: Vec<Range<usize>>,
    /// Byte ranges of all else.
    pub(super) others: Vec<Range<usize>>,
}

impl Pieces {
    /// Cuts a text; each byte is in one piece. Those with databases have `most` bytes, unless one
    /// section has more.
    pub(super) fn new(text: &str, most: usize) -> Self {
        let mut pieces = Self::default();
        let mut start = 0;
        let headers = text.match_indices("\n[").map(|(at, _)| at + 1);
        for end in headers.chain([text.len()]) {
            let section = text.get(start..end).unwrap_or_default();
            let (ranges, limit) = if section.starts_with(DATABASE) {
                (&mut pieces.databases, most)
            } else {
                (&mut pieces.others, usize::MAX)
            };
            match ranges.last_mut() {
                Some(last) if last.end == start && end - last.start <= limit => last.end = end,
                _ => ranges.push(start..end),
            }
            start = end;
        }
        pieces
    }

    /// The text without its databases: spaces before what follows on them, so that everything is
    /// in its place.
    pub(super) fn without_databases(&self, text: &str) -> String {
        let mut rest = String::new();
        for other in &self.others {
            rest.extend(std::iter::repeat_n(' ', other.start - rest.len()));
            rest.push_str(text.get(other.clone()).unwrap_or_default());
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::proptest;
    use proptest::sample::select;

    use super::*;
    use crate::config::{as_whole, in_pieces};

    /// Lines that are well in some places, and elsewhere wrong, or not what they look like.
    const LINES: [&str; 24] = [
        "[database.a]",
        "[database.\"a\"]",
        "[database.b]",
        "  [database.b]",
        "[database.b.c]",
        "[database . c]",
        "[[database.d]]",
        "[database]",
        "[data",
        "[log]",
        "  [limits]",
        "[listener.main]",
        "[listener.x]",
        "bind = [\"127.0.0.1:1\"]",
        "backends = [\"10.0.0.1:5432\"]",
        "backends = [",
        "\"10.0.0.1:5432\"]",
        "]",
        "hosts = [\"ü.example\", \"a.example\"]",
        "hosts = [\"a.example\"]",
        "access_to = \"\"\"",
        "\"\"\"",
        "tls = \'\'\'passthrough\'\'\'",
        "max_sessions = 0 # none",
    ];

    proptest! {
        #[test]
        fn pieces_tell_what_the_whole_tells(lines in vec(select(&LINES[..]), 0..12)) {
            let (text, file) = (lines.join("\n"), Path::new("gate.toml"));
            if let Some(parsed) = in_pieces(&text, file, 1) {
                let whole = as_whole(&text, file);
                assert_eq!(parsed.problems, whole.problems, "{text}");
                assert_eq!(parsed.config, whole.config, "{text}");
            }
        }
    }

    #[test]
    fn databases_between_other_sections_are_read_in_pieces() {
        let text = "[log]\n[database.a]\nhosts = [\"x\"]\n[limits]\n[database.b]\nbackend = 1\n";
        let file = Path::new("gate.toml");
        let parsed = in_pieces(text, file, PIECE).expect("no need for the whole");
        assert_eq!(parsed.problems, as_whole(text, file).problems);
        assert_eq!(parsed.problems.len(), 3, "{:?}", parsed.problems);
    }

    #[test]
    fn the_pieces_are_the_whole() {
        let section = |n: usize| format!("[database.db{n}]\nbackends = [\"10.0.0.1:5432\"]\n");
        let many: String = (0..5_000).map(section).collect();
        let text = format!("# first\n[log]\n{many}[tls]\n[limits]\n{many}");
        let pieces = Pieces::new(&text, PIECE);
        let mut all: Vec<_> = pieces.databases.iter().chain(&pieces.others).collect();
        all.sort_by_key(|piece| piece.start);
        let parts: String = all.iter().map(|piece| &text[(*piece).clone()]).collect();
        assert_eq!(parts, text);
        assert_eq!(pieces.others.len(), 2, "{:?}", pieces.others);
        assert!(pieces.databases.len() > 4, "{:?}", pieces.databases);
        for piece in pieces.databases {
            assert!(piece.len() <= PIECE && text[piece].starts_with(DATABASE));
        }
    }

    #[test]
    fn what_is_no_database_stays_in_its_place() {
        let text = "a = 1\n[database.x]\nb = 2\n[log]\nc = 3\n[database.y]\n";
        let rest = Pieces::new(text, PIECE).without_databases(text);
        let blank = " ".repeat("[database.x]\nb = 2\n".len());
        assert_eq!(rest, format!("a = 1\n{blank}[log]\nc = 3\n"));
    }
}
