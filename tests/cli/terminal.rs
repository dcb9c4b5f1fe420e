//! A terminal: what a program writes to it, what it shows then, and keys for the program.
//!
//! Nothing here sleeps: every wait is for the screen or for a line, and ends in a panic that shows
//! the screen when it takes longer than [`LIMIT`].

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use crate::gate::LIMIT;

/// A terminal of 24 by 100 with a program in it, which ends with the test.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    pub(crate) keys: ChildStdin,
    pub(crate) seen: Arc<(Mutex<Seen>, Condvar)>,
}

pub(crate) struct Seen {
    pub(crate) screen: vt100::Parser,
    /// All that was written.
    pub(crate) bytes: Vec<u8>,
    ended: bool,
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}

impl Terminal {
    /// Runs a script of `sh` in a new terminal.
    pub(crate) fn run(script: &str) -> Self {
        let mut command = Command::new("script");
        command
            .args(["-qec", script, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = Seen {
            screen: vt100::Parser::new(size(24), size(100), 0),
            bytes: Vec::new(),
            ended: false,
        };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let reader = seen.clone();
        let mut out = child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                let read = out.read(&mut piece).unwrap_or(0);
                let mut seen = reader.0.lock().unwrap();
                seen.screen.process(&piece[..read]);
                seen.bytes.extend(&piece[..read]);
                seen.ended = read == 0;
                reader.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self {
            keys: child.stdin.take().unwrap(),
            child,
            seen,
        }
    }

    /// Waits until the screen is as wanted; what is on it then.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        self.wait(what, |seen| {
            let screen = seen.screen.screen();
            wanted(screen).then(|| screen.contents())
        })
    }

    /// Waits until what was written so far gives an answer.
    pub(crate) fn wait<T>(&self, what: &str, answer: impl Fn(&Seen) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            if let Some(answer) = answer(&seen) {
                return answer;
            }
            let left = until.saturating_duration_since(Instant::now());
            if seen.ended || left.is_zero() {
                let screen = seen.screen.screen().contents();
                drop(seen);
                panic!("{what} never came, but\n{screen}");
            }
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contents().contains(text))
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
