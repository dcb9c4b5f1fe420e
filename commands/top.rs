//! `dbgate top`: a running gateway at a glance, kept up to date.
//!
//! Exit codes: 0 done, 1 the gateway refused or the terminal failed, 2 usage (no terminal to show
//! it on included), 3 gateway not reachable at the start, 128 and more ended by a signal (129 also where the terminal is gone).
//!
//! The parts: the connection ([`link`]) and the terminal ([`terminal`]) have threads of their own
//! and pass on what comes; the state ([`app`]) takes it in, and is drawn ([`view`]).

pub(crate) mod app;
pub(crate) mod dialog;
#[cfg(test)]
mod example;
pub(crate) mod filter;
mod input;
pub(crate) mod keys;
mod link;
pub(crate) mod meter;
pub(crate) mod mirror;
mod once;
pub(crate) mod row;
pub(crate) mod tabs;
mod terminal;
pub(crate) mod value;
pub(crate) mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use dbgate::control::client::ClientError;
use rustix::process::Signal;

use self::app::{App, KeyOutcome};
use self::input::{Input, Message};
use self::link::{Connection, Sender};
use self::terminal::Screen;
use self::view::paint::{Skin, Theme};
use crate::cli::{TopArgs, TopOutput};
use crate::failure::{Failure, REFUSED, USAGE};
use crate::{out, socket};

/// Inputs that wait to be handled before the threads that bring them have to wait.
const WAITING: usize = 64;

/// Time between two frames while nothing comes in: times on the screen go on.
const TICK: Duration = Duration::from_secs(1);

/// The longest time without a frame while something keeps coming.
const LONGEST_FRAME: Duration = Duration::from_millis(100);

/// Shows the gateway.
pub(crate) fn run(args: &TopArgs) -> ExitCode {
    match show(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(args.output == TopOutput::Json),
    }
}

fn show(args: &TopArgs) -> Result<u8, Failure> {
    let usage = |text: String| Failure::new(USAGE, text);
    let mut app = App::new(args.read_only, SystemTime::now());
    if let Some(tab) = args.tab {
        app.open_tab(tab);
    }
    if let Some(sort) = &args.sort {
        app.sort_by(sort)
            .map_err(|e| usage(format!("--sort {sort}: {e}")))?;
    }
    if let Some(filter) = &args.filter {
        app.filter_by(filter)
            .map_err(|e| usage(format!("--filter: {e}")))?;
    }
    if !args.once {
        if !io::stdout().is_terminal() {
            let text = "standard output is not a terminal: `dbgate top --once` prints one frame as text, with -o json as JSON";
            return Err(usage(text.to_owned()));
        }
        if terminal::is_dumb() {
            let text =
                "this terminal cannot show a screen: `dbgate top --once` prints one frame as text";
            return Err(usage(text.to_owned()));
        }
    }
    let socket = args.socket.clone().unwrap_or_else(socket::find);
    let failed = |error| Failure::from_client(error, &socket);
    let connection = Connection::open(&socket, args.interval).map_err(failed)?;
    app.read_only |= connection.read_only;
    if args.once {
        return once(args, app, connection).map_err(failed);
    }
    let (inputs, waiting) = mpsc::sync_channel(WAITING);
    let broken = |e: io::Error| Failure::new(REFUSED, format!("the terminal: {e}"));
    // Before the terminal is taken, so that no signal leaves it in our hands.
    terminal::start_signals(inputs.clone()).map_err(broken)?;
    let mut screen = Screen::take().map_err(broken)?;
    terminal::start_keys(inputs.clone()).map_err(broken)?;
    let sender = link::start(connection, socket, args.interval, inputs).map_err(broken)?;
    let skin = skin(args.theme, args.ascii, |name| std::env::var(name).ok());
    let ended = watch(&mut app, &mut screen, skin, &waiting, &sender);
    drop(screen);
    match ended {
        // As SIGHUP would have ended it, which may come later, or to others only.
        Err(error) if terminal::is_gone(&error) => Ok(ended_by(Signal::HUP)),
        ended => ended.map_err(broken),
    }
}

/// Two refreshes, so that there are rates.
fn once(args: &TopArgs, mut app: App, mut connection: Connection) -> Result<u8, ClientError> {
    let mut refreshes = 0;
    while refreshes < 2 {
        if let Message::Update(update) = connection.next()?
            && app.apply(*update)
        {
            refreshes += 1;
        }
    }
    let text = match args.output {
        TopOutput::Table => once::table(&app),
        TopOutput::Json => format!("{:#}\n", once::json(&mut app, args.tab)),
    };
    out::print(&text)?;
    Ok(0)
}

/// Handles inputs and draws, until the end.
fn watch(
    app: &mut App,
    screen: &mut Screen,
    skin: Skin,
    waiting: &Receiver<Input>,
    sender: &Sender,
) -> io::Result<u8> {
    let mut draw = true;
    let mut drawn: Option<Instant> = None;
    loop {
        app.now = SystemTime::now();
        // Waiting inputs are handled before the frame is drawn, so that keys do not wait for a storm
        // of resizes; one that does not end is drawn all the same.
        let mut next = waiting.try_recv().ok();
        let due = drawn.is_none_or(|at| at.elapsed() >= LONGEST_FRAME);
        if draw && (next.is_none() || due) {
            screen.draw(|frame| view::draw(frame, app, skin))?;
            drawn = Some(Instant::now());
            draw = false;
        }
        if next.is_none() {
            next = match waiting.recv_timeout(TICK) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            };
        }
        let Some(input) = next else {
            draw = true;
            continue;
        };
        app.now = SystemTime::now();
        // Only the last line of a refresh is worth a frame.
        let mut worth = true;
        match input {
            Input::Message(Message::Update(update)) => worth = app.apply(*update),
            Input::Message(Message::Answer(answer)) => app.answered(answer),
            Input::Lost(why) => app.lost(why),
            Input::Back => app.back(),
            Input::Resize => {}
            Input::Closed(error) => return Err(error),
            Input::Signal(signal) => return Ok(ended_by(signal)),
            Input::Key(key) => match app.key(key) {
                KeyOutcome::Nothing => {}
                KeyOutcome::Quit => return Ok(0),
                KeyOutcome::Suspend => screen.suspend()?,
                KeyOutcome::Redraw => screen.wipe()?,
                KeyOutcome::Ask(request) => {
                    if let Err(why) = sender.send(&request) {
                        app.unsent(&why);
                    }
                }
            },
        }
        draw |= worth;
    }
}

/// The exit code after a signal, as in a shell.
fn ended_by(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(REFUSED)
}

/// Colours and characters: as asked for, else as the environment `says`.
fn skin(theme: Theme, ascii: bool, says: impl Fn(&str) -> Option<String>) -> Skin {
    let says = |name: &str| says(name).filter(|value| !value.is_empty());
    let theme = match theme {
        Theme::Auto if says("NO_COLOR").is_some() => Theme::Plain,
        // `15;0`: the number of the background is the last.
        Theme::Auto => match says("COLORFGBG").as_deref().and_then(background) {
            Some(0..=6 | 8) => Theme::Dark,
            Some(_) => Theme::Light,
            None => Theme::Auto,
        },
        chosen => chosen,
    };
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&says);
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    // The console of Linux has no bars.
    let console = says("TERM").as_deref() == Some("linux");
    Skin {
        theme,
        ascii: ascii || !utf8 || console,
    }
}

fn background(colours: &str) -> Option<u8> {
    colours.rsplit(';').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_what_was_not_asked_for() {
        for (asked, variables, theme, ascii) in [
            (Theme::Auto, "LANG=en_GB.UTF-8", Theme::Auto, false),
            (Theme::Auto, "LANG=C LC_ALL=C.utf8", Theme::Auto, false),
            (Theme::Auto, "LANG=C.UTF-8 LC_ALL=C", Theme::Auto, true),
            (Theme::Auto, "", Theme::Auto, true),
            (Theme::Auto, "LANG=C.UTF-8 TERM=linux", Theme::Auto, true),
            (
                Theme::Auto,
                "LC_ALL=C.UTF-8 NO_COLOR=1",
                Theme::Plain,
                false,
            ),
            (Theme::Dark, "LC_ALL=C.UTF-8 NO_COLOR=1", Theme::Dark, false),
            (Theme::Auto, "LC_ALL=C.UTF-8 NO_COLOR=", Theme::Auto, false),
            (
                Theme::Auto,
                "LC_ALL=C.UTF-8 COLORFGBG=15;0",
                Theme::Dark,
                false,
            ),
            (
                Theme::Auto,
                "LC_ALL=C.UTF-8 COLORFGBG=0;default;15",
                Theme::Light,
                false,
            ),
        ] {
            let says = |name: &str| {
                let pairs = variables.split(' ').filter_map(|pair| pair.split_once('='));
                pairs
                    .into_iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, value)| value.to_owned())
            };
            let skin = skin(asked, false, says);
            assert_eq!((skin.theme, skin.ascii), (theme, ascii), "{variables}");
        }
        assert!(skin(Theme::Auto, true, |_| Some("C.UTF-8".to_owned())).ascii);
    }
}
