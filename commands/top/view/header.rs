//! The lines above the table: the gateway as a whole, the tabs, and whether it can be reached.

use ratatui::layout::Rect;

use super::paint::{Paint, Tone, bars, right_of};
use crate::table::{size, span};
use crate::top::app::{App, LinkState};
use crate::top::meter::KEPT_MS;
use crate::top::tabs::Tab;
use crate::top::value::{clock, whole};

type Line = fn(&mut Paint, Rect, &App);

/// The lines that a header of at most `room` lines has, the least dispensable kept.
pub(super) fn lines(app: &App, room: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = match room {
        0 => Vec::new(),
        1 => vec![tabs],
        2 => vec![totals, tabs],
        3..=12 => vec![title, totals, tabs],
        _ => vec![title, clients, traffic, tabs],
    };
    if app.link != LinkState::Up {
        if lines.len() >= usize::from(room) {
            lines.pop();
        }
        if room > 0 {
            lines.push(banner);
        }
    }
    lines
}

fn title(paint: &mut Paint, area: Rect, app: &App) {
    let mut flags = Vec::new();
    let down = app.mirror().databases_down();
    if app.read_only {
        flags.push("read-only".to_owned());
    }
    if let Some(paused) = app.paused() {
        flags.push(format!("PAUSED {}", said(paused)));
    }
    let flags = flags.join("  ");
    let left = area
        .width
        .saturating_sub(flags.len().try_into().unwrap_or(0));
    paint.put_right(area, &flags, Tone::Warn);
    let mirror = app.mirror();
    let totals = &mirror.totals;
    let area = Rect {
        width: left.saturating_sub(u16::from(!flags.is_empty())),
        ..area
    };
    let mut facts = Vec::new();
    facts.extend(outage(down));
    facts.extend([
        (format!("dbgate {}", totals.version), Tone::Strong),
        (format!("up {}", span(mirror.now)), Tone::Normal),
        (format!("revision {}", totals.revision), Tone::Normal),
        (format!("pid {}", totals.pid), Tone::Normal),
    ]);
    paint.put_all(area, &facts);
}

/// The databases of which no backend is ready.
fn outage(down: usize) -> Option<(String, Tone)> {
    let words = match down {
        0 => return None,
        1 => "1 database down".to_owned(),
        down => format!("{down} databases down"),
    };
    Some((words, Tone::Bad))
}

fn about_clients(app: &App) -> Vec<(String, Tone)> {
    let mirror = app.mirror();
    let totals = &mirror.totals;
    let sessions = match totals.handshakes {
        0 => format!("sessions {}", totals.sessions),
        open => format!("sessions {} ({open} in handshake)", totals.sessions),
    };
    let rejects = mirror.rejects_a_minute();
    let tone = if rejects == 0 {
        Tone::Normal
    } else {
        Tone::Warn
    };
    vec![
        (sessions, Tone::Normal),
        (
            format!("handshakes {:.1}/s", mirror.handshakes()),
            Tone::Normal,
        ),
        (format!("rejects {rejects}/min"), tone),
    ]
}

fn about_traffic(app: &App) -> Vec<(String, Tone)> {
    let mirror = app.mirror();
    let (rate_in, rate_out) = mirror.rates();
    let rate = |rate: f64| size(whole(rate));
    let window = span(mirror.window());
    vec![
        (format!("in {}/s", rate(rate_in)), Tone::Normal),
        (format!("out {}/s", rate(rate_out)), Tone::Normal),
        (format!("rates over {window}"), Tone::Normal),
    ]
}

/// All in one line, for low screens; what does not fit is left out.
fn totals(paint: &mut Paint, area: Rect, app: &App) {
    let totals = &app.mirror().totals;
    let mut facts: Vec<_> = outage(app.mirror().databases_down()).into_iter().collect();
    facts.push((format!("sessions {}", totals.sessions), Tone::Normal));
    facts.extend(about_traffic(app));
    facts.extend(about_clients(app).into_iter().skip(1).rev());
    paint.put_all(area, &facts);
}

fn clients(paint: &mut Paint, area: Rect, app: &App) {
    let mut facts = about_clients(app);
    let totals = &app.mirror().totals;
    let since = format!(
        "since the start: {} sessions, {} rejects",
        totals.sessions_total, totals.rejects
    );
    facts.push((since, Tone::Normal));
    paint.put_all(area, &facts);
}

fn traffic(paint: &mut Paint, area: Rect, app: &App) {
    let used = paint.put_all(area, &about_traffic(app));
    let rest = right_of(area, used + 2);
    let mirror = app.mirror();
    let label = format!("in and out, last {} ", span(KEPT_MS));
    let slots = usize::from(rest.width).saturating_sub(label.len()).min(60);
    if slots < 10 {
        return;
    }
    let (of_in, of_out) = mirror.traffic.history(mirror.now, slots);
    let both: Vec<u64> = of_in.iter().zip(&of_out).map(|(a, b)| a + b).collect();
    paint.put_right(rest, &format!("{label}{}", bars(&both)), Tone::Normal);
}

fn tabs(paint: &mut Paint, area: Rect, app: &App) {
    let mirror = app.mirror();
    let tab = |tab: Tab, with_count: bool| {
        let number = tab.number() + 1;
        let text = if with_count {
            format!("{number} {} {}", tab.title(), mirror.count(tab))
        } else {
            format!("{number} {}", tab.title())
        };
        let tone = if tab == app.tab {
            Tone::Chosen
        } else {
            Tone::Normal
        };
        (text, tone)
    };
    let all: Vec<_> = Tab::ALL.map(|t| tab(t, true)).into();
    let wide: usize = all.iter().map(|(text, _)| text.len() + 2).sum();
    if wide <= usize::from(area.width) + 2 {
        paint.put_all(area, &all);
        return;
    }
    let bare: Vec<_> = Tab::ALL.map(|t| tab(t, false)).into();
    let wide: usize = bare.iter().map(|(text, _)| text.len() + 2).sum();
    if wide <= usize::from(area.width) + 2 {
        paint.put_all(area, &bare);
        return;
    }
    let (text, tone) = tab(app.tab, true);
    paint.put(area, &text, tone);
}

fn banner(paint: &mut Paint, area: Rect, app: &App) {
    if let LinkState::Lost { since, why } = &app.link {
        let gone = app.now.duration_since(*since).unwrap_or_default();
        let at = humantime::format_rfc3339_seconds(*since).to_string();
        let text = format!(
            "GATEWAY LOST {} ago (since {} UTC), trying again; last frame kept. {why}",
            said(gone),
            clock(&at)
        );
        paint.put(area, &text, Tone::Bad);
    }
}

fn said(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs() * 1000;
    span(seconds)
}
