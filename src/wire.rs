//! Bounds-checked reading of a peer's bytes, and the one way to show them to a human.
//!
//! [`Reader`] is the only place in the crate that slices bytes which a peer has sent. It knows
//! nothing of any protocol: big-endian integers and length-prefixed vectors are all that TLS
//! (RFC 8446 section 3, "Presentation Language") and the Postgres protocol need; the MySQL and
//! MongoDB protocols have their integers the other way round.

/// The input ended before the field did.
///
/// It says nothing about blame: a caller that can still receive bytes waits, any other rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the input ended before the field did")]
pub struct Short;

/// Reads fields from the front of a borrowed input; a failed read takes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// True if every byte has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Number of bytes that have not been read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that have not been read yet; reading goes on unchanged.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer than `n` are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the next `n` bytes, or all that is left when it is less.
    pub fn take_up_to(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .unwrap_or((self.rest, Default::default()));
        self.rest = rest;
        taken
    }

    /// Drops the next `n` bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer than `n` are left.
    pub fn skip(&mut self, n: usize) -> Result<(), Short> {
        self.take(n).map(drop)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`Short`] when none is left.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    /// Takes a big-endian integer of two bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a big-endian integer of three bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u24(&mut self) -> Result<u32, Short> {
        self.array()
            .map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Takes a big-endian integer of four bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a little-endian integer of two bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u16_le(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    /// Takes a little-endian integer of three bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u24_le(&mut self) -> Result<u32, Short> {
        self.array()
            .map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Takes a little-endian integer of four bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    pub fn u32_le(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a vector whose length, in bytes, precedes it in one byte.
    ///
    /// # Errors
    /// [`Short`] when the length or what it announces is incomplete.
    pub fn vec_u8(&mut self) -> Result<Reader<'a>, Short> {
        self.vec(|length| length.u8().map(u32::from))
    }

    /// Takes a vector whose length, in bytes, precedes it in two bytes.
    ///
    /// # Errors
    /// [`Short`] when the length or what it announces is incomplete.
    pub fn vec_u16(&mut self) -> Result<Reader<'a>, Short> {
        self.vec(|length| length.u16().map(u32::from))
    }

    /// Takes a vector whose length, in bytes, precedes it in three bytes.
    ///
    /// # Errors
    /// [`Short`] when the length or what it announces is incomplete.
    pub fn vec_u24(&mut self) -> Result<Reader<'a>, Short> {
        self.vec(Reader::u24)
    }

    /// Takes the bytes before the next NUL, and the NUL, which is not part of the result.
    ///
    /// # Errors
    /// [`Short`] when no NUL is left.
    pub fn until_nul(&mut self) -> Result<&'a [u8], Short> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or(Short)?;
        let text = self.take(end)?;
        self.skip(1)?;
        Ok(text)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Short)?;
        self.rest = rest;
        Ok(*array)
    }

    fn vec(
        &mut self,
        length: impl FnOnce(&mut Reader<'a>) -> Result<u32, Short>,
    ) -> Result<Reader<'a>, Short> {
        // On a copy, so that a vector which is not all there leaves the length unread, too.
        let mut ahead = *self;
        let length = length(&mut ahead)?;
        let body = ahead.take(usize::try_from(length).map_err(|_| Short)?)?;
        *self = ahead;
        Ok(Reader::new(body))
    }
}

/// The most bytes of a peer that [`escape`] shows: a DNS name in its wire form (RFC 1035).
pub const ESCAPE_LIMIT: usize = 255;

/// Makes a peer's bytes safe for a log line, a terminal and a table.
///
/// ASCII graphic characters stay; all others, and the quote and the backslash, become `\xNN`.
/// The bytes behind the first [`ESCAPE_LIMIT`] are left out without a mark.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(bytes.len().min(ESCAPE_LIMIT));
    for &byte in bytes.iter().take(ESCAPE_LIMIT) {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Makes a peer's text safe for a log line, a terminal and a table, and leaves it readable.
///
/// Letters of every script stay. What a terminal obeys, what is not seen, and what turns the order
/// of letters round becomes `\u{NN}`. Behind [`ESCAPE_LIMIT`] characters the rest is left out, marked
/// by `...`.
#[must_use]
pub fn printable(text: &str) -> String {
    one_line(text, ESCAPE_LIMIT + CUT.len())
}

/// The same with another limit, in characters of the result, its `...` included.
///
/// The result of a second call is the same, so a sentence may hold parts that were made safe before.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(limit));
    let mut length = 0;
    // Where to cut so that the mark has room.
    let mut cut = 0;
    for c in text.chars() {
        if length + CUT.len() <= limit {
            cut = safe.len();
        }
        if is_unseen(c) {
            let before = safe.len();
            safe.extend(c.escape_unicode());
            length += safe.len() - before;
        } else {
            safe.push(c);
            length += 1;
        }
        if length > limit {
            safe.truncate(cut);
            safe.push_str(CUT);
            break;
        }
    }
    safe
}

/// The mark of a text that was cut.
const CUT: &str = "...";

/// True for a character that is not seen, or changes how others are seen: controls, separators other
/// than the space, and format characters (Unicode category Cf).
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stays_readable_and_obeys_nobody() {
        for (text, safe) in [
            ("CN=Bücher, O=例え", "CN=Bücher, O=例え"),
            ("a\x1b[31mb\n", r"a\u{1b}[31mb\u{a}"),
            ("a\u{202e}b\u{200b}", r"a\u{202e}b\u{200b}"),
        ] {
            assert_eq!(printable(text), safe);
        }
        assert_eq!(
            printable(&"ü".repeat(300)).chars().count(),
            ESCAPE_LIMIT + 3
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_said_becomes_one_line(text in ".*|[\\u{0}-\\u{a0}\\u{2000}-\\u{2070}]*") {
            let safe = one_line(&text, 40);
            assert!(!safe.contains(is_unseen), "{safe:?}");
            assert!(safe.chars().count() <= 40, "{safe:?}");
            assert_eq!(one_line(&safe, 40), safe, "{text:?}");
        }
    }

    #[test]
    fn integers_are_big_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(reader.u8(), Ok(0x01));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u24(), Ok(0x0004_0506));
        assert_eq!(reader.u32(), Ok(0x0708_090a));
        assert_eq!(reader.left(), 1);
        assert_eq!(reader.u16(), Err(Short));
        assert_eq!(reader.rest(), [11], "a failed read takes nothing");
    }

    #[test]
    fn little_endian_integers() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(reader.u16_le(), Ok(0x0201));
        assert_eq!(reader.u24_le(), Ok(0x0005_0403));
        assert_eq!(reader.u32_le(), Ok(0x0908_0706));
        assert_eq!(reader.u16_le(), Err(Short));
        assert_eq!(reader.u24_le(), Err(Short));
        assert_eq!(reader.u32_le(), Err(Short));
        assert_eq!(reader.rest(), [10], "a failed read takes nothing");
    }

    #[test]
    fn vectors_are_whole_or_not_taken() {
        let mut reader = Reader::new(&[2, 7, 8, 0, 1, 9, 0, 0, 1, 6]);
        assert_eq!(reader.vec_u8().map(|v| v.rest()), Ok(&[7, 8][..]));
        assert_eq!(reader.vec_u16().map(|v| v.rest()), Ok(&[9][..]));
        assert_eq!(reader.vec_u24().map(|v| v.rest()), Ok(&[6][..]));
        assert!(reader.is_empty());

        for short in [&[][..], &[2], &[2, 1]] {
            let mut reader = Reader::new(short);
            assert!(reader.vec_u8().is_err());
            assert_eq!(reader.rest(), short);
        }
        assert!(Reader::new(&[0xff, 0xff, 1]).vec_u16().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 1]).vec_u24().is_err());
    }

    #[test]
    fn take_skip_and_nul() {
        let mut reader = Reader::new(b"ab\0\0cd");
        assert_eq!(reader.until_nul(), Ok(&b"ab"[..]));
        assert_eq!(reader.until_nul(), Ok(&b""[..]));
        assert_eq!(reader.until_nul(), Err(Short));
        assert_eq!(reader.take(3), Err(Short));
        assert_eq!(reader.skip(1), Ok(()));
        assert_eq!(reader.take_up_to(0), b"");
        assert_eq!(reader.take_up_to(9), b"d");
        assert_eq!(reader.skip(1), Err(Short));
    }

    #[test]
    fn escaping_leaves_nothing_that_a_terminal_obeys() {
        let cases: [(&[u8], &str); 4] = [
            (b"db-1.example", "db-1.example"),
            (b"a b\0\x1b[31m", r"a\x20b\x00\x1b[31m"),
            (b"\"\\'", r"\x22\x5c'"),
            ("é".as_bytes(), r"\xc3\xa9"),
        ];
        for (bytes, text) in cases {
            assert_eq!(escape(bytes), text);
        }
        assert_eq!(escape(&[b'a'; 300]).len(), ESCAPE_LIMIT);
    }
}
