//! Connections without TLS: in silence, or with the first message of another protocol.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::context::FollowUp;
use crate::probe::active::detect::{self, Answer, Opener};
use crate::probe::active::plan::Preface;
use crate::probe::active::reach;
use crate::probe::report::Finding;
use crate::probe::rules;

/// Least time of silence after which a server that closes has done so by itself.
const AT_ONCE: Duration = Duration::from_millis(250);

impl FollowUp<'_> {
    /// Returns whether the server closes a silent connection, and so every one.
    pub(super) async fn left_alone(&mut self) -> bool {
        let Some(limit) = self.limit() else {
            return false;
        };
        let ended = match reach::connect(self.address, limit).await {
            Ok((mut tcp, took)) => {
                let wait = limit.min(AT_ONCE.max(5 * took));
                match timeout(wait, tcp.read(&mut [0; 16])).await {
                    Ok(Ok(0)) => &rules::TCP_CLOSED_AT_ONCE,
                    Ok(Err(_)) => &rules::TCP_RESET,
                    // It waits for the client, or speaks first.
                    Ok(Ok(_)) | Err(_) => return false,
                }
            }
            Err(finding) => finding.rule,
        };
        let attempt = format!("a connection in silence: {}", ended.summary);
        self.report.looks.push(attempt);
        let detail = "left in silence, the connection ended as well";
        self.conclude(ended, detail);
        true
    }

    /// Tries other protocols in plaintext, until one of them is answered.
    pub(super) async fn identify(&mut self, openers: Vec<Opener>) -> bool {
        let tls_was_tried = self.plan.preface == Preface::Direct;
        for word in openers {
            let Some(limit) = self.limit() else {
                return false;
            };
            let answer = detect::send(&word, self.address, limit).await;
            self.report.looks.push(format!("{}: {answer}", word.name));
            if let Some(rule) = answer.rule(tls_was_tried) {
                let detail = format!("to {} it answered with {answer}", word.name);
                self.conclude(rule, &detail);
                return true;
            }
        }
        false
    }

    pub(super) async fn check_plaintext(&mut self) {
        let Some(limit) = self.limit() else {
            return;
        };
        let word = detect::LOGIN;
        let answer = detect::send(&word, self.address, limit).await;
        self.report.looks.push(format!("{}: {answer}", word.name));
        if let Answer::Bytes { first: b'R', .. } = answer {
            let detail = "a login without TLS went on to authentication";
            self.report
                .find(Finding::new(&rules::PG_PLAINTEXT_ALLOWED, detail));
        }
    }
}
