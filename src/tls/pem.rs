//! PEM: the certificates, private keys and revocation lists in a text, and in our own words why there are none.
//!
//! No error holds anything of the text but line numbers: it may be a private key that somebody
//! damaged.
//!
//! Not here: files ([`super::files`]). Source: RFC 7468; RFC 1421 section 4.6 (encrypted keys in
//! OpenSSL's traditional form).

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A line of the text, counted from 1.
pub type Line = usize;

/// The reason why a text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// No byte but white space.
    #[error("holds no certificate and no key: it is empty")]
    Empty,
    /// UTF-16, as some editors and PowerShell write it.
    #[error("is UTF-16 text, and PEM is ASCII: `iconv -f utf-16 -t ascii FILE -o NEW` converts it")]
    Utf16,
    /// DER, the binary form.
    #[error("is DER, and not PEM: `{0}` converts it")]
    Der(Der),
    /// No section at all.
    #[error("holds no certificate and no key: it is not PEM, since no line begins with -----BEGIN")]
    NoPem,
    /// `-----BEGIN` with something before it, such as spaces or a quote.
    #[error(
        "line {0}: -----BEGIN has to be the first on its line, without spaces or quotes before it"
    )]
    Indented(Line),
    /// Line feeds that were turned into the two characters `\n`.
    #[error(
        "line {0}: the line ends have been turned into the two characters \\n, as in JSON or an \
         environment variable: write the file with real line ends (`printf '%b' \"$PEM\" > FILE`)"
    )]
    EscapedLineEnds(Line),
    /// `-----BEGIN` and what follows it on one line.
    #[error(
        "line {0}: the line ends are missing: -----BEGIN …-----, the base64 and -----END …----- \
         have to be lines of their own"
    )]
    OneLine(Line),
    /// The text ends, or another section begins, before the section does.
    #[error(
        "the PEM of the {what} on line {line} has no end: its -----END line is missing or differs, so the file was cut short or altered"
    )]
    NoEnd {
        /// Where it begins.
        line: Line,
        /// What it is.
        what: Label,
    },
    /// What is between the two lines is not base64.
    #[error("the PEM of the {what} on line {begin} is damaged: {}", bad_base64(*line))]
    Base64 {
        /// Where the section begins.
        begin: Line,
        /// What it is.
        what: Label,
        /// The first line with a character that base64 does not have.
        line: Option<Line>,
    },
    /// The text has other sections only.
    #[error("holds no certificate{}", instead_of_certificate(*found))]
    NoCertificate {
        /// The first section.
        found: Option<(Line, Label)>,
    },
    /// The text has other sections only.
    #[error("holds no private key{}", instead_of_key(*found))]
    NoKey {
        /// The first section.
        found: Option<(Line, Label)>,
    },
    /// The text has other sections only.
    #[error("holds no revocation list (-----BEGIN X509 CRL-----){}", instead_of_list(*found))]
    NoCrl {
        /// The first section.
        found: Option<(Line, Label)>,
    },
    /// The private key needs a password.
    #[error(
        "the private key on line {0} is encrypted, and there is nobody to ask for its passphrase: \
         `openssl pkey -in ENCRYPTED -out PLAIN` decrypts it"
    )]
    Encrypted(Line),
    /// More than one private key.
    #[error("holds {count} private keys, on lines {first} and {second}{}: leave only the certificate's", if *count > 2 { " and below" } else { "" })]
    SeveralKeys {
        /// How many.
        count: usize,
        /// Where the first begins.
        first: Line,
        /// Where the second begins.
        second: Line,
    },
}

/// What the binary form seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Der {
    /// A certificate.
    Certificate,
    /// A revocation list.
    Crl,
    /// A PKCS#12 store (`.p12`, `.pfx`) of certificates and keys.
    Pkcs12,
    /// Most likely a key.
    Other,
}

impl std::fmt::Display for Der {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "openssl x509 -inform der -in FILE -out NEW",
            Self::Crl => "openssl crl -inform der -in FILE -out NEW",
            Self::Pkcs12 => "openssl pkcs12 -in FILE -nodes -out NEW",
            Self::Other => "openssl pkey -inform der -in FILE -out NEW",
        })
    }
}

/// The kinds of section, by what stands behind `-----BEGIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// `CERTIFICATE`.
    Certificate,
    /// `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
    Key,
    /// `ENCRYPTED PRIVATE KEY`.
    EncryptedKey,
    /// `OPENSSH PRIVATE KEY`.
    OpenSsh,
    /// `DSA PRIVATE KEY`.
    Dsa,
    /// `PUBLIC KEY` and the like.
    PublicKey,
    /// `X509 CRL`.
    Crl,
    /// `CERTIFICATE REQUEST`.
    Request,
    /// `TRUSTED CERTIFICATE`, OpenSSL's own form with trust settings behind the certificate.
    Trusted,
    /// `PKCS7`.
    Pkcs7,
    /// Parameters of a key, and anything else.
    Other,
}

impl Label {
    fn of(name: &[u8]) -> Self {
        match name {
            b"CERTIFICATE" => Self::Certificate,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Self::Key,
            b"ENCRYPTED PRIVATE KEY" => Self::EncryptedKey,
            b"OPENSSH PRIVATE KEY" => Self::OpenSsh,
            b"DSA PRIVATE KEY" => Self::Dsa,
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Self::PublicKey,
            b"X509 CRL" => Self::Crl,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Self::Request,
            b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" => Self::Trusted,
            b"PKCS7" | b"CMS" => Self::Pkcs7,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate | Self::Trusted => "certificate",
            Self::Key => "private key",
            Self::EncryptedKey => "encrypted private key",
            Self::OpenSsh => "OpenSSH private key",
            Self::Dsa => "DSA private key",
            Self::PublicKey => "public key",
            Self::Crl => "revocation list",
            Self::Request => "certificate request",
            Self::Pkcs7 => "PKCS#7 bundle",
            Self::Other => "section of another kind",
        })
    }
}

fn bad_base64(line: Option<Line>) -> String {
    match line {
        Some(line) => format!("line {line} is not base64"),
        None => "its base64 is cut short or altered".to_owned(),
    }
}

fn instead_of_certificate(found: Option<(Line, Label)>) -> String {
    let Some((line, label)) = found else {
        return String::new();
    };
    let advice = match label {
        Label::Key | Label::EncryptedKey | Label::OpenSsh | Label::Dsa => {
            ": are the files of certificate and key interchanged?"
        }
        Label::Request => ": an authority has yet to sign it",
        Label::Trusted => " in OpenSSL's own form: `openssl x509 -in FILE -out NEW` converts it",
        Label::Pkcs7 => ": `openssl pkcs7 -in FILE -print_certs -out NEW` converts it",
        _ => "",
    };
    format!(", but a {label} on line {line}{advice}")
}

fn instead_of_list(found: Option<(Line, Label)>) -> String {
    found.map_or_else(String::new, |(line, label)| {
        format!(", but a {label} on line {line}")
    })
}

fn instead_of_key(found: Option<(Line, Label)>) -> String {
    let Some((line, label)) = found else {
        return String::new();
    };
    let advice = match label {
        Label::Certificate | Label::Trusted | Label::Pkcs7 => {
            ": are the files of certificate and key interchanged?"
        }
        Label::OpenSsh => ": `ssh-keygen -p -m PKCS8 -f FILE` converts it in its place",
        Label::Dsa => ", which TLS no longer uses: make a new key",
        _ => "",
    };
    let label = match label {
        Label::OpenSsh => "one in OpenSSH's form".to_owned(),
        Label::Dsa => "one for DSA".to_owned(),
        label => format!("a {label}"),
    };
    format!(" that can be used, but {label} on line {line}{advice}")
}

/// What a text holds.
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

    /// The one private key.
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
