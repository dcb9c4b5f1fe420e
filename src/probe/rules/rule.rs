//! A rule: one cause with its stable code, its texts and how bad it is.

use serde::Serialize;

/// Stage of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Finding the address of the name.
    Dns,
    /// Connecting to the address.
    Tcp,
    /// The protocol's messages before TLS.
    Preface,
    /// The TLS handshake.
    Tls,
    /// The certificate shown in it.
    Certificate,
    /// The database's own protocol, inside TLS.
    Protocol,
    /// The recording, not what was recorded.
    Capture,
    /// All the way through.
    #[default]
    Done,
}

impl Stage {
    /// The word used in texts and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Preface => "preface",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Capture => "capture",
            Self::Done => "done",
        }
    }
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It works, but not as it should, or not for all clients.
    Warn,
    /// It does not work.
    Fail,
}

impl Severity {
    /// The word used in texts and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One cause.
#[derive(Debug)]
pub struct Rule {
    /// Stable code: lower case words joined by hyphens.
    pub code: &'static str,
    /// Stage at which it happens.
    pub stage: Stage,
    /// Usual severity.
    pub severity: Severity,
    /// Origin: `server`, `client`, `network`, `certificate`, `capture`, `this machine`.
    pub said_by: &'static str,
    /// The event, in one sentence without a full stop.
    pub summary: &'static str,
    /// Meaning, and what clients print for it.
    pub meaning: &'static str,
    /// Remedy.
    pub remedy: &'static str,
}

/// Declares the rules of a file, and `ALL` of them.
macro_rules! rules {
    ($($name:ident: $code:literal, $stage:ident, $severity:ident, $said_by:literal,
        $summary:literal,
        means $meaning:literal,
        remedy $remedy:literal;)*) => {
        $(
            #[doc = concat!("`", $code, "`.")]
            pub static $name: $crate::probe::rules::Rule = $crate::probe::rules::Rule {
                code: $code,
                stage: $crate::probe::rules::Stage::$stage,
                severity: $crate::probe::rules::Severity::$severity,
                said_by: $said_by,
                summary: $summary,
                meaning: $meaning,
                remedy: $remedy,
            };
        )*
        pub(super) static ALL: &[&$crate::probe::rules::Rule] = &[$(&$name),*];
    };
}
pub(super) use rules;
