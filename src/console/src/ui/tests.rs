//! What is drawn, as text: panes × sizes × (live, stale, down), and every size without a panic.

use crate::app::{App, Effect, Pane};
use crate::client::run::Event;
use crate::config::Dirs;
use crate::fake;
use crate::keymap::Keymap;
use crate::store::{Link, Peer, Store};
use crate::term::input::{Framer, Input};
use crate::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::time::{Duration, Instant};

pub(crate) fn app(now: Instant) -> App {
    let (theme, _) = Theme::load("default", None, false);
    let (keymap, _) = Keymap::load(None);
    let mut app = App::new(theme, keymap, Dirs::default());
    app.store = fake::store(now);
    app
}

/// Types keys as a terminal sends them.
fn press(app: &mut App, bytes: &str, now: Instant) {
    let mut framer = Framer::default();
    let mut input = framer.feed(bytes.as_bytes(), now);
    input.extend(framer.idle(now + Duration::from_secs(9)));
    for one in input {
        app.input(one, now);
    }
}

fn draw(app: &App, width: u16, height: u16, now: Instant) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    super::draw(app, area, &mut buffer, now);
    buffer
}

fn text(app: &App, width: u16, height: u16, now: Instant) -> String {
    let buffer = draw(app, width, height, now);
    let mut out = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn live_at_80_by_24() {
    let now = Instant::now();
    insta::assert_snapshot!(text(&app(now), 80, 24, now));
}

#[test]
fn live_at_200_by_50() {
    let now = Instant::now();
    insta::assert_snapshot!(text(&app(now), 200, 50, now));
}

#[test]
fn live_at_120_by_40() {
    let now = Instant::now();
    insta::assert_snapshot!(text(&app(now), 120, 40, now));
}

#[test]
fn stale_at_80_by_24() {
    let now = Instant::now();
    let mut app = app(now);
    let later = now + Duration::from_secs(14);
    app.store.link(
        Peer::Feed,
        Link::Down {
            error: "the other side closed the connection".to_owned(),
        },
    );
    let shown = text(&app, 80, 24, later);
    assert!(shown.contains("DATA 14 s OLD"), "{shown}");
    assert!(shown.contains("~3,612.40"), "{shown}");
    assert!(shown.matches("UNKNOWN").count() >= 4, "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn nothing_there_at_80_by_24() {
    let now = Instant::now();
    let mut app = app(now);
    app.store = Store::default();
    for (peer, path) in [
        (Peer::Feed, "feed.sock"),
        (Peer::Revoker, "operator.sock"),
        (Peer::Recorder, "append-operator.sock"),
        (Peer::Journal, "journal.db"),
    ] {
        app.store.link(
            peer,
            Link::Down {
                error: format!("/run/fusebox/{path} does not exist: is the daemon running?"),
            },
        );
    }
    insta::assert_snapshot!(text(&app, 80, 24, now));
}

#[test]
fn every_pane_in_the_lower_part() {
    let now = Instant::now();
    let mut out = String::new();
    for key in ["4", "5", "6", "7"] {
        let mut app = app(now);
        press(&mut app, key, now);
        let shown = text(&app, 80, 24, now);
        out.push_str(&shown.lines().skip(14).collect::<Vec<_>>().join("\n"));
        out.push_str("\n\n");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn an_entry_help_and_palette() {
    let now = Instant::now();
    let mut out = String::new();
    for keys in ["3j\r", "?", ":kill"] {
        let mut app = app(now);
        press(&mut app, keys, now);
        out.push_str(&text(&app, 80, 24, now));
        out.push('\n');
    }
    insta::assert_snapshot!(out);
}

fn kill_dialog(app: &mut App, now: Instant) {
    press(app, "\x0bk", now);
    app.ui
        .dialog
        .as_mut()
        .unwrap()
        .hear(Event::Plan(fake::plan()), now);
}

#[test]
fn the_kill_step_by_step() {
    let now = Instant::now();
    let mut app = app(now);
    kill_dialog(&mut app, now);
    press(&mut app, "rogue order on SOLUSDT", now);
    let mut out = text(&app, 80, 24, now);
    press(&mut app, "\r", now);
    let dialog = app.ui.dialog.as_mut().unwrap();
    dialog.hear(Event::Challenge(fake::challenge(), false), now);
    out += &text(&app, 80, 24, now + Duration::from_secs(13));
    let dialog = app.ui.dialog.as_mut().unwrap();
    dialog.hear(Event::Challenge(fake::challenge(), true), now);
    out += &text(&app, 80, 24, now);
    let dialog = app.ui.dialog.as_mut().unwrap();
    dialog.hear(Event::Touched, now);
    for step in fake::steps() {
        dialog.hear(Event::Step(step), now);
    }
    out += &text(&app, 80, 24, now + Duration::from_secs(2));
    app.ui
        .dialog
        .as_mut()
        .unwrap()
        .hear(Event::Done(fake::finished()), now);
    out += &text(&app, 80, 24, now);
    assert!(out.contains("UNTRUSTED") && out.contains("ALIVE") && out.contains("NO STOP"));
    insta::assert_snapshot!(out);
}

#[test]
fn the_editor_leaves_the_positions_in_view() {
    let now = Instant::now();
    let mut app = app(now);
    press(&mut app, "2je", now);
    press(
        &mut app,
        "Mean reversion after funding;\rwrong below 2,850.",
        now,
    );
    let shown = text(&app, 80, 24, now);
    assert!(
        shown.contains("ETHUSDT") && shown.contains("trade 7 ETH/USDT long"),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
    press(&mut app, "\x13", now);
    let [Effect::Append { body, .. }] = app.effects.as_slice() else {
        panic!("{:?}", app.effects);
    };
    assert_eq!(body["trade_id"], "7");
    assert_eq!(
        body["thesis"],
        "Mean reversion after funding;\nwrong below 2,850."
    );
}

#[test]
fn tiny_sizes_answer_the_first_questions() {
    let now = Instant::now();
    let mut out = String::new();
    for (width, height) in [(20, 4), (40, 4), (59, 15), (19, 3)] {
        out.push_str(&text(&app(now), width, height, now));
        out.push_str("--\n");
    }
    insta::assert_snapshot!(out);
}

/// Every place that can be reached, in every size: nothing panics, whatever fits is drawn.
#[test]
fn no_size_panics() {
    let now = Instant::now();
    let states: Vec<App> = places(now);
    let sizes = (0..=30u16).flat_map(|w| (0..=12u16).map(move |h| (w, h)));
    let larger = [60, 79, 80, 81, 119, 120, 180, 250]
        .into_iter()
        .flat_map(|w| [13, 16, 23, 24, 39, 40, 60].map(|h| (w, h)));
    for (width, height) in sizes.chain(larger) {
        for app in &states {
            draw(app, width, height, now);
            draw(app, width, height, now + Duration::from_secs(500));
        }
    }
}

fn places(now: Instant) -> Vec<App> {
    let mut states = Vec::new();
    for keys in [
        "", "z", "4", "4z", "5z", "6", "7z", "3\r", "3z\r", "?", ":x", "/halt", "e", "\x0b",
        "\x0br", "\x0bu",
    ] {
        let mut app = app(now);
        press(&mut app, keys, now);
        states.push(app);
    }
    for stage in 0..5 {
        let mut app = app(now);
        kill_dialog(&mut app, now);
        let dialog = app.ui.dialog.as_mut().unwrap();
        let events = [
            Event::Challenge(fake::challenge(), false),
            Event::Touched,
            Event::Step(fake::steps().remove(3)),
            Event::Done(fake::finished()),
        ];
        for event in events.into_iter().take(stage) {
            dialog.hear(event, now);
        }
        states.push(app);
    }
    let mut empty = app(now);
    empty.store = Store::default();
    states.push(empty);
    states
}

#[test]
fn no_letter_reaches_a_kill_and_a_text_field_takes_everything() {
    let now = Instant::now();
    let mut app = app(now);
    for c in (0x20u8..0x7f)
        .map(char::from)
        .filter(|c| !":/?eEnq".contains(*c))
    {
        press(&mut app, &c.to_string(), now);
        assert!(app.ui.dialog.is_none(), "{c}");
    }
    press(&mut app, "/\x0bk", now);
    assert!(app.ui.dialog.is_none(), "the filter has the keyboard");
}

#[test]
fn the_chord_is_dead_for_a_moment_after_paste_escape_and_focus() {
    let now = Instant::now();
    for before in ["\x1b[200~k\x1b[201~", "\x1b", "\x1b[I"] {
        let mut app = app(now);
        press(&mut app, before, now);
        press(&mut app, "\x0bk", now + Duration::from_millis(200));
        assert!(app.ui.dialog.is_none(), "{before:?}");
        press(&mut app, "\x0bk", now + Duration::from_millis(310));
        assert!(app.ui.dialog.is_some(), "{before:?}");
    }
}

#[test]
fn a_paste_outside_a_text_field_does_nothing() {
    let now = Instant::now();
    let mut app = app(now);
    app.input(
        Input::Paste {
            text: "q\x0bk".to_owned(),
            cut: false,
        },
        now,
    );
    assert!(app.effects.is_empty() && app.ui.dialog.is_none());
}

#[test]
fn a_frozen_picture_stands_while_data_goes_on() {
    let now = Instant::now();
    let mut app = app(now);
    press(&mut app, " ", now);
    app.store.page.total = 9_999;
    assert!(!text(&app, 80, 24, now).contains("9,999"));
    assert!(text(&app, 80, 24, now).contains("FROZEN"));
    press(&mut app, " ", now);
    assert!(text(&app, 80, 24, now).contains("9,999"));
}

#[test]
fn a_selected_row_stays_selected_when_new_ones_come() {
    let now = Instant::now();
    let mut app = app(now);
    press(&mut app, "3jj", now);
    let before = app.selected_entry().unwrap().seq;
    let mut rows = app.store.page.rows.clone();
    let mut newer = rows[0].clone();
    newer.seq += 1;
    rows.insert(0, newer);
    app.store.page.rows = rows;
    assert_eq!(app.selected_entry().unwrap().seq, before);
}

#[test]
fn what_cannot_be_done_says_why() {
    let now = Instant::now();
    let mut app = app(now);
    app.store.keys = None;
    press(&mut app, "\x0br", now);
    assert!(app.ui.dialog.is_none());
    assert!(text(&app, 80, 24, now).contains("the revoker's key registry is not known yet"));
}

#[test]
fn nothing_ages_and_nothing_wakes_without_data() {
    let now = Instant::now();
    let mut app = app(now);
    app.store = Store::default();
    assert_eq!(app.deadline(now), None);
    assert_eq!(app.ui.focus, Pane::Journal);
}

#[test]
fn a_running_kill_is_attached_to_and_not_begun_again() {
    let now = Instant::now();
    let mut app = app(now);
    let mut status = fake::status();
    status.runs.push(fusebox_wire::operator::RunSummary {
        run: "kill-9".to_owned(),
        action: "kill".to_owned(),
        trigger: "ladder".to_owned(),
        started_ms: 0,
        outcome: None,
    });
    app.store.revoker(status, None, now);
    press(&mut app, "\x0bk", now);
    let attach = crate::dialog::Command::Attach("kill-9".to_owned());
    assert!(matches!(app.effects.as_slice(), [Effect::Run(_, command)] if *command == attach));
}
