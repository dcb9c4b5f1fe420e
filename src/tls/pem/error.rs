//! The reasons why a text of PEM cannot be used, each with what to do about it.
//!
//! None holds anything of the text but line numbers.

use thiserror::Error;

use super::Line;

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
        /// Its first line.
        line: Line,
        /// Its kind.
        what: Label,
    },
    /// The content between the two lines is not base64.
    #[error("the PEM of the {what} on line {begin} is damaged: {}", bad_base64(*line))]
    Base64 {
        /// The first line of the section.
        begin: Line,
        /// Its kind.
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
        "the private key on line {0} is encrypted, and the gateway cannot ask for its passphrase: \
         `openssl pkey -in ENCRYPTED -out PLAIN` decrypts it"
    )]
    Encrypted(Line),
    /// More than one private key.
    #[error("holds {count} private keys, on lines {first} and {second}{}: leave only the certificate's", if *count > 2 { " and below" } else { "" })]
    SeveralKeys {
        /// The number.
        count: usize,
        /// The first line of the first.
        first: Line,
        /// The first line of the second.
        second: Line,
    },
}

/// The probable kind of a binary form.
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

/// The kinds of section, by the words after `-----BEGIN`.
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
    pub(super) fn of(name: &[u8]) -> Self {
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
