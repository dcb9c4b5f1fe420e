//! Frames as files, and that no size and no text breaks the screen.
//!
//! `DBGATE_REFRESH=1 cargo test --bin dbgate frames` writes the files anew.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::paint::{Skin, Theme};
use super::*;
use crate::top::app::App;
use crate::top::example::{app, noon, type_in};

const UNICODE: Skin = Skin {
    theme: Theme::Auto,
    ascii: false,
};

fn drawn(app: &App, (width, height): (u16, u16), skin: Skin) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, skin)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width)
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Scenes by name: the keys that lead there.
const SCENES: &[(&str, &str)] = &[
    ("sessions", ""),
    ("sessions-selected", "jjj"),
    ("sessions-details", "jj<enter>"),
    ("sessions-filter", "/db:orders age>"),
    ("sessions-filter-wrong", "/stat:open"),
    ("sessions-kill", "jjK"),
    ("sessions-sorted", "<lt><lt>r"),
    ("sessions-paused", " "),
    ("databases", "2"),
    ("databases-details", "2j<enter>"),
    ("databases-drain", "2jd"),
    ("backends", "3"),
    ("rejects", "4"),
    ("rejects-details", "4j<enter>"),
    ("events", "5"),
    ("help", "?"),
    ("nothing-found", "/nowhere<enter>"),
];

fn scenes() -> Vec<(&'static str, App)> {
    let mut scenes: Vec<(&str, App)> = SCENES
        .iter()
        .map(|(name, keys)| {
            let mut app = app();
            type_in(&mut app, keys);
            app.now = noon() + Duration::from_secs(12);
            (*name, app)
        })
        .collect();
    let mut lost = app();
    lost.lost("the gateway closed the connection".to_owned());
    lost.now = noon() + Duration::from_secs(12);
    scenes.push(("lost", lost.clone()));
    lost.back();
    scenes.push(("back", lost));
    scenes.push(("empty", App::new(true, noon())));
    scenes
}

#[test]
fn frames() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/top");
    let refresh = std::env::var_os("DBGATE_REFRESH").is_some();
    let mut stale = Vec::new();
    for (name, app) in scenes() {
        for size @ (width, height) in [(80, 24), (120, 40), (60, 15)] {
            let frame = text(&drawn(&app, size, UNICODE));
            let file = dir.join(format!("{name}-{width}x{height}.txt"));
            if refresh {
                fs::create_dir_all(&dir).unwrap();
                fs::write(&file, &frame).unwrap();
            }
            let kept = fs::read_to_string(&file).unwrap_or_default();
            if kept != frame {
                stale.push(format!("--- {}\n{frame}", file.display()));
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{}\nnot as kept; DBGATE_REFRESH=1 cargo test --bin dbgate frames",
        stale.join("\n")
    );
}

#[test]
fn no_size_breaks_it() {
    let small = (1..=20).flat_map(|width| (1..=5).map(move |height| (width, height)));
    let odd = [
        (1, 60),
        (200, 1),
        (200, 2),
        (33, 9),
        (61, 16),
        (300, 100),
        (5, 30),
    ];
    for size in small.chain(odd) {
        for (_, app) in scenes() {
            drawn(&app, size, UNICODE);
        }
    }
}

#[test]
fn ascii_is_ascii() {
    let skin = Skin {
        ascii: true,
        ..UNICODE
    };
    for (name, app) in scenes() {
        let frame = text(&drawn(&app, (120, 40), skin));
        assert!(frame.is_ascii(), "{name}\n{frame}");
    }
}

#[test]
fn hostile_names_are_spelled_out() {
    for (name, app) in scenes() {
        let frame = text(&drawn(&app, (200, 60), UNICODE));
        for c in frame.chars() {
            assert!(c == '\n' || !c.is_control(), "{name}: {c:?}\n{frame}");
            assert_ne!(c, '\u{202e}', "{name}\n{frame}");
        }
        if name == "rejects" {
            assert!(
                frame.contains("x\\u{1b}]0;owned\\u{7}\\u{202e}.example"),
                "{frame}"
            );
        }
    }
}

#[test]
fn only_the_terminals_own_colours_and_no_background() {
    for theme in [Theme::Auto, Theme::Dark, Theme::Light, Theme::Plain] {
        let skin = Skin {
            theme,
            ascii: false,
        };
        let mut colours = Vec::new();
        for (name, app) in scenes() {
            for cell in drawn(&app, (120, 40), skin).content() {
                assert_eq!(cell.bg, Color::Reset, "{name} {theme:?}");
                assert!(
                    !matches!(
                        cell.fg,
                        Color::Rgb(..) | Color::Indexed(_) | Color::White | Color::Black
                    ),
                    "{name} {theme:?} {:?}",
                    cell.fg
                );
                if cell.fg != Color::Reset {
                    colours.push(cell.fg);
                }
            }
        }
        assert_eq!(colours.is_empty(), theme == Theme::Plain, "{theme:?}");
    }
}
