//! PEM: the certificates, private keys and revocation lists in a text.
//!
//! No error holds anything of the text but line numbers: it may be a damaged private key.
//!
//! Not here: files ([`super::files`]). Source: RFC 7468; RFC 1421 section 4.6 (encrypted keys in
//! OpenSSL's traditional form).

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

mod error;

pub use error::{Der, Label, PemError};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A line of the text, counted from 1.
pub type Line = usize;

/// The content of a text.
#[derive(Debug, Default)]
pub struct Contents {
    /// In the order of the text, each with the line that it begins on.
    pub certificates: Vec<(Line, CertificateDer<'static>)>,
    /// In the order of the text; those that need no password.
    pub keys: Vec<(Line, PrivateKeyDer<'static>)>,
    /// In the order of the text.
    pub crls: Vec<(Line, CertificateRevocationListDer<'static>)>,
    /// The first key that needs a password.
    pub encrypted: Option<Line>,
    first: Option<(Line, Label)>,
}

impl Contents {
    /// The certificates.
    ///
    /// # Errors
    /// There is none.
    pub fn certificates(self) -> Result<Vec<(Line, CertificateDer<'static>)>, PemError> {
        if self.certificates.is_empty() {
            return Err(PemError::NoCertificate { found: self.first });
        }
        Ok(self.certificates)
    }

    /// The revocation lists.
    ///
    /// # Errors
    /// There is none.
    pub fn crls(self) -> Result<Vec<(Line, CertificateRevocationListDer<'static>)>, PemError> {
        if self.crls.is_empty() {
            return Err(PemError::NoCrl { found: self.first });
        }
        Ok(self.crls)
    }

    /// Its one private key.
    ///
    /// # Errors
    /// There is none, it is encrypted, or there are several.
    pub fn key(mut self) -> Result<(Line, PrivateKeyDer<'static>), PemError> {
        match (self.keys.as_slice(), self.encrypted) {
            ([(first, _), (second, _), ..], _) => Err(PemError::SeveralKeys {
                count: self.keys.len(),
                first: *first,
                second: *second,
            }),
            ([], Some(line)) => Err(PemError::Encrypted(line)),
            _ => self.keys.pop().ok_or(PemError::NoKey { found: self.first }),
        }
    }
}

/// Reads all sections; text between them is passed over, and a byte order mark before them.
///
/// # Errors
/// One is damaged, or there is none.
pub fn parse(text: &[u8]) -> Result<Contents, PemError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(PemError::Empty);
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(PemError::Utf16);
    }
    let mut found = Contents::default();
    let mut misplaced = None;
    let mut lines = lines(text);
    while let Some((number, line)) = lines.next() {
        if !line.starts_with(BEGIN) {
            if misplaced.is_none() && contains(line, BEGIN) {
                misplaced = Some(begin_inside(number, line));
            }
            continue;
        }
        let label = begin(number, line)?;
        let body = body(&mut lines, number, label, line)?;
        found.first = found.first.or(Some((number, label)));
        match label {
            Label::EncryptedKey => found.encrypted = found.encrypted.or(Some(number)),
            Label::Key if body.is_encrypted() => {
                found.encrypted = found.encrypted.or(Some(number));
            }
            Label::Certificate => {
                let der = body.decode()?;
                found.certificates.push((number, der));
            }
            Label::Key => found.keys.push((number, body.decode()?)),
            Label::Crl => found.crls.push((number, body.decode()?)),
            _ => {}
        }
    }
    match (found.first, misplaced) {
        (None, Some(error)) => Err(error),
        (None, None) => Err(der(text).map_or(PemError::NoPem, PemError::Der)),
        _ => Ok(found),
    }
}

/// The lines, numbered from 1, without their ends: LF, CR LF, or CR alone where there is no LF.
fn lines(text: &[u8]) -> impl Iterator<Item = (Line, &[u8])> {
    let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    (1..).zip(
        text.split(move |byte| *byte == end)
            .map(<[u8]>::trim_ascii_end),
    )
}

fn contains(line: &[u8], words: &[u8]) -> bool {
    line.windows(words.len()).any(|window| window == words)
}

/// A line with `-----BEGIN` somewhere else than at its start.
fn begin_inside(number: Line, line: &[u8]) -> PemError {
    if contains(line, b"\\n") {
        PemError::EscapedLineEnds(number)
    } else {
        PemError::Indented(number)
    }
}

/// The kind of section that a line begins.
fn begin(number: Line, line: &[u8]) -> Result<Label, PemError> {
    if contains(line, b"\\n") {
        return Err(PemError::EscapedLineEnds(number));
    }
    line.strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(DASHES))
        .filter(|name| !contains(name, DASHES))
        .map(Label::of)
        .ok_or(PemError::OneLine(number))
}

/// A section's lines between the first and the last.
struct Body<'a> {
    begin: Line,
    label: Label,
    head: &'a [u8],
    lines: Vec<(Line, &'a [u8])>,
}

/// Takes the lines up to the end of the section that `head` begins.
fn body<'a>(
    rest: &mut impl Iterator<Item = (Line, &'a [u8])>,
    begin: Line,
    label: Label,
    head: &'a [u8],
) -> Result<Body<'a>, PemError> {
    let name = head.strip_prefix(BEGIN).unwrap_or_default();
    let mut lines = Vec::new();
    for (number, line) in rest {
        if line.strip_prefix(END) == Some(name) {
            return Ok(Body {
                begin,
                label,
                head,
                lines,
            });
        }
        if contains(line, b"\\n") {
            return Err(PemError::EscapedLineEnds(number));
        }
        if line.starts_with(BEGIN) || line.starts_with(END) {
            break;
        }
        if contains(line, END) {
            return Err(PemError::OneLine(number));
        }
        lines.push((number, line));
    }
    Err(PemError::NoEnd {
        line: begin,
        what: label,
    })
}

impl Body<'_> {
    /// `Proc-Type: 4,ENCRYPTED`, the first header of an encrypted key in the traditional form.
    fn is_encrypted(&self) -> bool {
        self.lines.first().is_some_and(|(_, line)| {
            line.starts_with(b"Proc-Type:") && contains(line, b"ENCRYPTED")
        })
    }

    fn decode<T: PemObject>(&self) -> Result<T, PemError> {
        let damaged = |line| PemError::Base64 {
            begin: self.begin,
            what: self.label,
            line,
        };
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/= \t".contains(byte);
        if let Some((line, _)) = self
            .lines
            .iter()
            .find(|(_, line)| !line.iter().all(is_base64))
        {
            return Err(damaged(Some(*line)));
        }
        // The library's decoder takes the same time for every key.
        let mut section = self.head.to_vec();
        for (_, line) in &self.lines {
            section.push(b'\n');
            section.extend_from_slice(line);
        }
        section.push(b'\n');
        section.extend_from_slice(END);
        section.extend_from_slice(self.head.strip_prefix(BEGIN).unwrap_or_default());
        T::from_pem_slice(&section).map_err(|_| damaged(None))
    }
}

/// The binary form that the text seems to be.
fn der(text: &[u8]) -> Option<Der> {
    // A SEQUENCE of more than 127 bytes, and what comes first inside: PKCS#12 is version 3 of its
    // kind, keys are version 0 or 1.
    let [0x30, length @ 0x81..=0x84, rest @ ..] = text else {
        return None;
    };
    let inside = rest.get(usize::from(length & 0x0f)..)?;
    Some(match inside {
        [2, 1, 3, ..] => Der::Pkcs12,
        [2, 1, ..] => Der::Other,
        _ if x509_parser::parse_x509_certificate(text).is_ok() => Der::Certificate,
        _ if x509_parser::parse_x509_crl(text).is_ok() => Der::Crl,
        _ => Der::Other,
    })
}

#[cfg(test)]
mod tests;
