//! Drawing: the state as a screen. Nothing here changes the state.
//!
//! ```text
//! dbgate 0.1.0  pid 4711  up 4d2h  revision 7                    read-only  PAUSED 12s
//! sessions 312 (4 in handshake)  handshakes 4.0/s  rejects 3.0/min
//! in 1.2 MB/s  out 48.0 MB/s  over the last 10s                        ▁▁▂▃▅▂▁
//! 1 Sessions 312  2 Databases 5  3 Backends 7  4 Rejects 12  5 Events 80
//! table, or table and details
//! filter
//! keys, or what was done
//! ```

mod details;
mod header;
pub(crate) mod paint;
mod popup;
mod table;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;

use self::paint::{Paint, Skin};
use super::app::{App, InputMode};

/// The least height of the table.
const TABLE: u16 = 4;

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame, app: &App, skin: Skin) {
    let area = frame.area();
    let mut paint = Paint::new(frame.buffer_mut(), skin);
    let mut rest = area;
    let filter = !app.tab_state().filter.is_empty() || matches!(app.mode, InputMode::Filter(_));
    let footer = 1 + u16::from(filter);
    // Small screens: the table first, then the last line, then the lines above it.
    let room = area.height.saturating_sub(TABLE);
    let footer = footer.min(room);
    let lines = header::lines(app, room - footer);
    for line in lines {
        line(&mut paint, take_top(&mut rest, 1), app);
    }
    let bottom = take_bottom(&mut rest, footer);
    if app.details && rest.height > 2 {
        let height = details::height(app, rest);
        let pane = take_bottom(&mut rest, height);
        details::draw(&mut paint, pane, app);
    }
    table::draw(&mut paint, rest, app);
    popup::footer(&mut paint, bottom, app, filter);
    match &app.mode {
        InputMode::Help => popup::help(&mut paint, area, app),
        InputMode::Dialog(dialog) => popup::dialog(&mut paint, area, app, dialog),
        InputMode::Filter(_) | InputMode::Normal => {}
    }
}

fn take_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

fn take_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}
