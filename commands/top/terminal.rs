//! The terminal: taken over once, and given back whatever happens.

use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue, terminal};
use ratatui::{Frame, Terminal};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};

use super::input::Input;

/// True while the terminal is taken over.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Bytes of a frame that are written at a time: as a rule all of it.
const PIECE: usize = 256 * 1024;

/// The screen, ours until this is dropped.
pub(crate) struct Screen {
    /// Its own drop complains on standard error when the cursor cannot be shown, and panics where
    /// that is gone, too; [`give_back`] shows the cursor.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It is none, or cannot be written.
    pub(crate) fn take() -> io::Result<Self> {
        let hook = std::panic::take_hook();
        // Before the message, or it would be lost with the other screen. Whichever thread it is,
        // nothing goes on behind a terminal that was given back.
        std::panic::set_hook(Box::new(move |panic| {
            let taken = give_back();
            hook(panic);
            if taken {
                std::process::exit(101);
            }
        }));
        take_over().inspect_err(|_| {
            give_back();
        })?;
        let out = BufWriter::with_capacity(PIECE, stdout());
        let terminal = Terminal::new(CrosstermBackend::new(out)).inspect_err(|_| {
            give_back();
        })?;
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
        })
    }

    /// Draws a frame; terminals that can do so show it as a whole or not at all.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn draw(&mut self, frame: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(frame)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Stops as Ctrl-Z would have done, with the terminal as it was before; takes it over again
    /// when the process goes on.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_current_process_group(Signal::TSTP)?;
        take_over()?;
        self.wipe()
    }

    /// Empties the screen, so that the next frame is drawn as a whole.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn wipe(&mut self) -> io::Result<()> {
        // Terminal::clear would ask where the cursor is, and the answer goes to the thread that
        // reads keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, once; true if it had been taken.
fn give_back() -> bool {
    let taken = TAKEN.swap(false, Ordering::SeqCst);
    if taken {
        let mut out = stdout();
        // Where one of these fails, the others may still do.
        let _ = execute!(out, LeaveAlternateScreen);
        let _ = execute!(out, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
    taken
}

/// Passes on keys, on a thread that ends with the process.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start_keys(keys: SyncSender<Input>) -> io::Result<()> {
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            loop {
                let input = match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
                    Ok(Event::Resize(..)) => Input::Resize,
                    Ok(_) => continue,
                    Err(error) => Input::Closed(error),
                };
                let last = matches!(input, Input::Closed(_));
                if keys.send(input).is_err() || last {
                    return;
                }
            }
        })?;
    Ok(())
}

/// Passes on the signal that asks for the end, on a thread that ends with the process.
///
/// # Errors
/// A thread or a signal handler cannot be had.
pub(crate) fn start_signals(inputs: SyncSender<Input>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Registered before this returns: from here on no signal ends the process unseen.
    let mut signals = {
        let _within = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = signals.0.recv() => Signal::TERM,
                    _ = signals.1.recv() => Signal::INT,
                    _ = signals.2.recv() => Signal::HUP,
                }
            });
            let _ = inputs.send(Input::Signal(number));
        })?;
    Ok(())
}

/// True for an error of the terminal that says it is gone: its window was closed, the connection
/// that it belonged to broke.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::IO | Errno::NXIO | Errno::PIPE))
}

/// True if the terminal can only print lines.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb") || terminal::size().is_err()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that panics.
    const ON_PURPOSE: &str = "DBGATE_TEST_PANIC";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(ON_PURPOSE).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("on purpose");
        }
        let me = std::env::current_exe().unwrap();
        let name = "top::terminal::tests::a_panic_gives_the_terminal_back";
        let script = format!(
            "echo before $(stty -g); '{}' --exact {name} --nocapture; echo code $?; echo after $(stty -g)",
            me.display()
        );
        let output = Command::new("script")
            .args(["-qec", &script, "/dev/null"])
            .env(ON_PURPOSE, "1")
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let place = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("no {what:?} in {text:?}"))
        };
        assert!(place("\u{1b}[?1049h") < place("\u{1b}[?1049l"), "{text:?}");
        assert!(place("\u{1b}[?1049l") < place("on purpose"), "{text:?}");
        assert!(place("\u{1b}[?25h") < place("on purpose"), "{text:?}");
        place("code 101");
        let settings = |word: &str| text[place(word) + word.len()..].split_whitespace().next();
        assert_eq!(settings("before "), settings("after "), "{text:?}");
    }
}
