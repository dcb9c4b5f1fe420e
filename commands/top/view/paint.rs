//! Text in places: cut to size, in tones that work on light and dark terminals, in characters
//! that the terminal has.
//!
//! Only the terminal's own 16 colours are used and no background is painted; whatever a colour
//! says, a word or a sign says too.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

pub(crate) use crate::cli::Theme;
use crate::table::escape;

/// The role of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Like any text.
    Normal,
    /// A heading.
    Strong,
    /// A chosen tab or column.
    Chosen,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Under the cursor.
    Marked,
}

/// Colours and characters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skin {
    /// The colours.
    pub(crate) theme: Theme,
    /// No character beyond ASCII.
    pub(crate) ascii: bool,
}

impl Skin {
    fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let (chosen, warn, bad) = match self.theme {
            Theme::Auto => (Color::Green, Color::Magenta, Color::Red),
            Theme::Dark => (Color::Cyan, Color::Yellow, Color::LightRed),
            Theme::Light => (Color::Blue, Color::Magenta, Color::Red),
            Theme::Plain => (Color::Reset, Color::Reset, Color::Reset),
        };
        match tone {
            Tone::Normal => style,
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Chosen => style.fg(chosen).add_modifier(Modifier::BOLD),
            Tone::Warn => style.fg(warn),
            Tone::Bad => style.fg(bad).add_modifier(Modifier::BOLD),
            Tone::Marked => style.add_modifier(Modifier::REVERSED),
        }
    }
}

/// A place to put text.
pub(crate) struct Paint<'a> {
    buffer: &'a mut Buffer,
    skin: Skin,
}

impl<'a> Paint<'a> {
    /// Paints on this buffer.
    pub(crate) fn new(buffer: &'a mut Buffer, skin: Skin) -> Self {
        Self { buffer, skin }
    }

    /// Puts text at the left end of an area's first line, cut to fit; returns its width.
    pub(crate) fn put(&mut self, area: Rect, text: &str, tone: Tone) -> u16 {
        let area = area.intersection(self.buffer.area);
        if area.is_empty() {
            return 0;
        }
        let text = self.spell(&fit(&escape(text), area.width.into()));
        let style = self.skin.style(tone);
        let width = usize::from(area.width);
        let (end, _) = self.buffer.set_stringn(area.x, area.y, text, width, style);
        end.saturating_sub(area.x)
    }

    /// Puts text at the right end of an area's first line.
    pub(crate) fn put_right(&mut self, area: Rect, text: &str, tone: Tone) {
        let text = fit(&escape(text), area.width.into());
        let width = u16::try_from(width(&text)).unwrap_or(area.width);
        self.put(
            right_of(area, area.width.saturating_sub(width)),
            &text,
            tone,
        );
    }

    /// Puts several texts side by side, two apart; those that do not fit are left out.
    pub(crate) fn put_all(&mut self, area: Rect, texts: &[(String, Tone)]) -> u16 {
        let mut used = 0;
        for (text, tone) in texts {
            let gap = if used == 0 { 0 } else { 2 };
            let needed = u16::try_from(width(text)).unwrap_or(u16::MAX);
            if used + gap + needed.min(u16::MAX - used - gap) > area.width {
                continue;
            }
            used += gap;
            used += self.put(right_of(area, used), text, *tone);
        }
        used
    }

    /// Marks an area's first line.
    pub(crate) fn mark(&mut self, area: Rect) {
        let line = Rect {
            height: 1.min(area.height),
            ..area
        };
        let area = line.intersection(self.buffer.area);
        self.buffer.set_style(area, self.skin.style(Tone::Marked));
    }

    /// Empties an area; returns what of it is on the screen.
    pub(crate) fn clear(&mut self, area: Rect) -> Rect {
        let area = area.intersection(self.buffer.area);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
        area
    }

    /// Empties an area and draws a box into it; returns what is inside.
    pub(crate) fn frame(&mut self, area: Rect, title: &str) -> Rect {
        let area = self.clear(area);
        if area.width < 4 || area.height < 3 {
            return area;
        }
        let inner = usize::from(area.width) - 2;
        let line = |y| Rect {
            y,
            height: 1,
            ..area
        };
        let title = fit(&format!("─ {title} "), inner);
        let top = format!("┌{title}{}┐", "─".repeat(inner - width(&title)));
        self.put(line(area.y), &top, Tone::Strong);
        for y in area.y + 1..area.bottom() - 1 {
            self.put(line(y), "│", Tone::Strong);
            self.put_right(line(y), "│", Tone::Strong);
        }
        let bottom = format!("└{}┘", "─".repeat(inner));
        self.put(line(area.bottom() - 1), &bottom, Tone::Strong);
        Rect::new(area.x + 2, area.y + 1, area.width - 4, area.height - 2)
    }

    /// In characters that the terminal has.
    fn spell(&self, text: &str) -> String {
        if !self.skin.ascii {
            return text.to_owned();
        }
        text.chars()
            .map(|c| match c {
                c if c.is_ascii() => c,
                '▲' => '^',
                '▼' => 'v',
                '…' => '~',
                '─' | '▃' => '-',
                '│' => '|',
                '┌' | '┐' | '└' | '┘' | '▅' => '+',
                '▁' => '.',
                '▂' => ':',
                '▄' => '=',
                '▆' => '*',
                '▇' => '#',
                '█' => '@',
                _ => '?',
            })
            .collect()
    }
}

/// The rest of an area's line behind `width`.
pub(crate) fn right_of(area: Rect, width: u16) -> Rect {
    let width = width.min(area.width);
    Rect {
        x: area.x + width,
        width: area.width - width,
        ..area
    }
}

/// The place of the line with this number in an area; empty if it has fewer.
pub(crate) fn line_of(area: Rect, number: u16) -> Rect {
    let height = u16::from(number < area.height);
    Rect {
        y: area.y + number.min(area.height),
        height,
        ..area
    }
}

/// A box of this size in the middle of an area.
pub(crate) fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    Span::raw(text).width()
}

/// A text that takes no more than `columns`; what is cut ends in a sign that says so.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        let wide = if c.is_ascii() {
            1
        } else {
            width(&c.to_string())
        };
        if used + wide > columns {
            break;
        }
        used += wide;
        cut.push(c);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// A line of bars, as high as the numbers compared with the largest.
pub(crate) fn bars(numbers: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    numbers
        .iter()
        .map(|&number| {
            if number == 0 {
                return ' ';
            }
            let height = u128::from(number) * 7 / u128::from(most);
            let height = usize::try_from(height).unwrap_or(0);
            BARS.get(height).copied().unwrap_or('█')
        })
        .collect()
}
