//! Redis: `PING`.

use tokio::io::AsyncWriteExt;
use tokio_rustls::client::TlsStream;

use super::answer::{NoAnswer, answer};
use crate::probe::active::attempt::Attempt;
use crate::probe::active::handshake::Wire;
use crate::probe::active::plan::Plan;
use crate::probe::{Finding, Rule, rules};
use crate::wire::{escape, printable};

/// The command in the form that every version understands, and no other protocol.
pub(in crate::probe::active) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// The longest first line of an answer.
const MAX_LINE: usize = 1024;

pub(super) async fn ask(
    tls: &mut TlsStream<Wire>,
    plan: &Plan,
    attempt: &mut Attempt,
) -> Result<(), NoAnswer> {
    tls.write_all(PING).await?;
    tls.flush().await?;
    let reply = answer(tls, MAX_LINE, plan.limit, |all| all.contains(&b'\n')).await?;
    let line = reply
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    // The certificate may be why; a further connection finds out.
    let proven = attempt.certs.presented;
    let Some(rule) = classify(line) else {
        attempt
            .told
            .insert("answer", printable(&String::from_utf8_lossy(line)));
        if !proven {
            attempt.findings.push(Finding::new(
                &rules::REDIS_OPEN,
                "PING was answered by PONG, and no password was asked for",
            ));
        }
        return Ok(());
    };
    let said = match std::str::from_utf8(line) {
        Ok(text) => printable(text),
        Err(_) => escape(line),
    };
    attempt.told.insert("answer", said.clone());
    attempt
        .findings
        .push(Finding::new(rule, format!("it answered PING with: {said}")));
    Ok(())
}

/// Classifies an answer; `None` for `PONG`.
fn classify(line: &[u8]) -> Option<&'static Rule> {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    Some(match word {
        b"+PONG" => return None,
        // NOPERM: a login without a password that may not even PING.
        b"-NOAUTH" | b"-NOPERM" => &rules::REDIS_NOAUTH,
        b"-DENIED" => &rules::REDIS_PROTECTED_MODE,
        [b'-', ..] => &rules::REDIS_NOT_READY,
        _ => &rules::REDIS_UNEXPECTED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_rules() {
        for (line, code) in [
            ("+PONG", None),
            (
                "-NOAUTH Authentication required.",
                Some("redis-needs-password"),
            ),
            (
                "-DENIED Redis is running in protected mode",
                Some("redis-protected-mode"),
            ),
            (
                "-LOADING Redis is loading the dataset in memory",
                Some("redis-not-ready"),
            ),
            (
                "-MASTERDOWN Link with MASTER is down",
                Some("redis-not-ready"),
            ),
            (
                "-ERR max number of clients reached",
                Some("redis-not-ready"),
            ),
            ("HTTP/1.1 400 Bad Request", Some("redis-unexpected-answer")),
            ("", Some("redis-unexpected-answer")),
        ] {
            assert_eq!(
                classify(line.as_bytes()).map(|rule| rule.code),
                code,
                "{line}"
            );
        }
    }
}
