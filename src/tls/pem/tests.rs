//! Texts that people have, and what they are told of them.

use proptest::prelude::*;

use super::*;

const KEY: &str = include_str!("../../../tests/data/keys/p256.pem");
const SEC1: &str = include_str!("../../../tests/data/keys/p256-sec1.pem");
const ENCRYPTED: &str = include_str!("../../../tests/data/keys/encrypted.pem");
const TRADITIONAL: &str = include_str!("../../../tests/data/keys/encrypted-traditional.pem");

/// The base64 of [`KEY`], which no error may hold any of.
fn secret() -> Vec<String> {
    KEY.lines()
        .filter(|line| !line.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

fn certificate() -> String {
    let der = crate::cert::throwaway("a.example", std::time::SystemTime::now());
    section("CERTIFICATE", &der.unwrap().0)
}

fn section(name: &str, bytes: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {name}-----\n{text}\n-----END {name}-----\n")
}

fn key(text: &[u8]) -> Result<Line, PemError> {
    parse(text)?.key().map(|(line, _)| line)
}

fn first_certificate(text: &[u8]) -> Result<Line, PemError> {
    parse(text)?
        .certificates()
        .map(|found| found.first().map_or(0, |(line, _)| *line))
}

#[test]
fn a_key_is_found_however_it_was_kept() {
    let cert = certificate();
    let utf8_mark = format!("\u{feff}{KEY}");
    for (text, line) in [
        (KEY.to_owned(), 1),
        (SEC1.to_owned(), 1),
        (KEY.replace('\n', "\r\n"), 1),
        (KEY.replace('\n', "\r"), 1),
        (KEY.replace('\n', "  \n"), 1),
        (KEY.trim_end().to_owned(), 1),
        (utf8_mark, 1),
        (format!("Bag Attributes\n    friendlyName: a\n{KEY}"), 3),
        (format!("{}{SEC1}", section("EC PARAMETERS", b"curve")), 4),
        (format!("{cert}{KEY}"), 4),
        (format!("{KEY}{cert}"), 1),
    ] {
        assert_eq!(key(text.as_bytes()), Ok(line), "{text}");
    }
}

#[test]
fn a_text_without_a_usable_key_says_why() {
    let cert = certificate();
    let swapped = PemError::NoKey {
        found: Some((1, Label::Certificate)),
    };
    let no_end = PemError::NoEnd {
        line: 1,
        what: Label::Key,
    };
    let several = PemError::SeveralKeys {
        count: 2,
        first: 1,
        second: 6,
    };
    let base64 = |line| PemError::Base64 {
        begin: 1,
        what: Label::Key,
        line,
    };
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(KEY.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let lines: Vec<&str> = KEY.lines().collect();
    let der = parse(KEY.as_bytes()).unwrap().key().unwrap().1;
    let request = section("CERTIFICATE REQUEST", b"");
    for (text, expected) in [
        (b"".to_vec(), PemError::Empty),
        (b" \r\n\xef\xbb\xbf".to_vec(), PemError::NoPem),
        (b"\xef\xbb\xbf\n".to_vec(), PemError::Empty),
        (b"hunter2".to_vec(), PemError::NoPem),
        (utf16, PemError::Utf16),
        (der.secret_der().to_vec(), PemError::Der(Der::Other)),
        (
            KEY.replace('\n', "\\n").into(),
            PemError::EscapedLineEnds(1),
        ),
        (
            format!("key = \"{}\"", KEY.replace('\n', "\\n")).into(),
            PemError::EscapedLineEnds(1),
        ),
        (
            format!("{}\n{}\\n{}", lines[0], lines[1], lines[2..].join("\n")).into(),
            PemError::EscapedLineEnds(2),
        ),
        (KEY.replace('\n', " ").into(), PemError::OneLine(1)),
        (KEY.replace('\n', "").into(), PemError::OneLine(1)),
        (
            format!("{}\n{}", lines[0], lines[1..].concat()).into(),
            PemError::OneLine(2),
        ),
        (
            format!("key: |\n  {}", KEY.replace('\n', "\n  ")).into(),
            PemError::Indented(2),
        ),
        (lines[..lines.len() - 1].join("\n").into(), no_end.clone()),
        (
            KEY.replace("END PRIVATE", "END RSA PRIVATE").into(),
            no_end.clone(),
        ),
        (format!("{}\n{KEY}", lines[..3].join("\n")).into(), no_end),
        (KEY.replacen(lines[1], "!", 1).into(), base64(Some(2))),
        (
            KEY.replacen(lines[2], &lines[2][3..], 1).into(),
            base64(None),
        ),
        (ENCRYPTED.into(), PemError::Encrypted(1)),
        (TRADITIONAL.into(), PemError::Encrypted(1)),
        (format!("{KEY}{SEC1}").into(), several),
        (cert.into(), swapped),
        (
            request.into(),
            PemError::NoKey {
                found: Some((1, Label::Request)),
            },
        ),
    ] {
        let shown = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(key(&text), Err(expected), "{shown}");
    }
}

#[test]
fn a_text_without_a_certificate_says_why() {
    let der = crate::cert::throwaway("a.example", std::time::SystemTime::now());
    let der = der.unwrap().0;
    let other = |label| PemError::NoCertificate {
        found: Some((1, label)),
    };
    for (text, expected) in [
        (der.to_vec(), PemError::Der(Der::Certificate)),
        (KEY.into(), other(Label::Key)),
        (ENCRYPTED.into(), other(Label::EncryptedKey)),
        (section("PKCS7", b"").into(), other(Label::Pkcs7)),
        (
            section("TRUSTED CERTIFICATE", b"").into(),
            other(Label::Trusted),
        ),
        // PKCS#12: SEQUENCE, INTEGER 3.
        (
            b"\x30\x82\x01\x00\x02\x01\x03\x30".to_vec(),
            PemError::Der(Der::Pkcs12),
        ),
    ] {
        let told = first_certificate(&text).unwrap_err();
        assert_eq!(told, expected);
    }
    assert_eq!(first_certificate(certificate().as_bytes()), Ok(1));
}

#[test]
fn every_sentence_says_what_to_do_or_where() {
    let sentence = |text: &str| key(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        sentence(ENCRYPTED),
        "the private key on line 1 is encrypted, and the gateway cannot ask for its passphrase: \
         `openssl pkey -in ENCRYPTED -out PLAIN` decrypts it"
    );
    assert_eq!(
        sentence(&certificate()),
        "holds no private key that can be used, but a certificate on line 1: are the files of \
         certificate and key interchanged?"
    );
    assert_eq!(
        sentence(&section("OPENSSH PRIVATE KEY", b"")),
        "holds no private key that can be used, but one in OpenSSH's form on line 1: \
         `ssh-keygen -p -m PKCS8 -f FILE` converts it in its place"
    );
    assert_eq!(
        sentence(&format!("{KEY}{KEY}{KEY}")),
        "holds 3 private keys, on lines 1 and 6 and below: leave only the certificate's"
    );
    assert_eq!(
        first_certificate(KEY.as_bytes()).unwrap_err().to_string(),
        "holds no certificate, but a private key on line 1: are the files of certificate and key \
         interchanged?"
    );
}

proptest! {
    #[test]
    fn no_error_holds_a_piece_of_the_text(
        at in 0..KEY.len(),
        length in 0..80_usize,
        with in prop_oneof!["", "\\\\n", "\n", " ", "-", "-----", "\\PC{0,4}"],
    ) {
        let mut text = KEY.as_bytes().to_vec();
        let end = (at + length).min(text.len());
        text.splice(at..end, with.bytes());
        if let Err(error) = key(&text) {
            let told = format!("{error} {error:?}");
            for line in secret() {
                for piece in line.as_bytes().windows(8) {
                    let piece = std::str::from_utf8(piece).unwrap();
                    prop_assert!(!told.contains(piece), "{told}");
                }
            }
        }
    }
}
