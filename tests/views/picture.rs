//! The picture of the README: a frame as SVG, made from the program itself.
//!
//! `TCPTOP_WRITE_PICTURE=1 cargo test --test views picture` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use tcptop::diagnose::RuleBook;

use crate::rig::Rig;
use crate::worlds;

const CELL: (u16, u16) = (9, 18);
const BACKGROUND: &str = "#16181d";
const TEXT: &str = "#d0d4dc";

/// What a usual dark terminal makes of the sixteen colours.
fn hex(color: Color, default: &'static str) -> &'static str {
    match color {
        Color::Black => "#16181d",
        Color::Red => "#d9606a",
        Color::Green => "#8fbf6f",
        Color::Yellow => "#e0b95f",
        Color::Blue => "#5b9be0",
        Color::Magenta => "#b98ae0",
        Color::Cyan => "#5fc2c7",
        Color::Gray => "#aab0bc",
        Color::DarkGray => "#666e7c",
        Color::LightRed => "#ff7a85",
        Color::LightGreen => "#a9dc86",
        Color::LightYellow => "#ffd675",
        Color::LightBlue => "#7fb6f5",
        Color::LightMagenta => "#d3a6f7",
        Color::LightCyan => "#80dbe0",
        Color::White => "#ffffff",
        _ => default,
    }
}

fn colours(cell: &Cell) -> (&'static str, Option<&'static str>) {
    let (fg, bg) = (hex(cell.fg, TEXT), hex(cell.bg, BACKGROUND));
    let (fg, bg) = if cell.modifier.contains(Modifier::REVERSED) { (bg, fg) } else { (fg, bg) };
    (fg, (bg != BACKGROUND).then_some(bg))
}

fn svg(buffer: &Buffer) -> String {
    let (w, h) = CELL;
    let (width, height) = (buffer.area.width * w + 24, buffer.area.height * h + 24);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            let (fg, bg) = colours(cell);
            let bold = cell.modifier.contains(Modifier::BOLD);
            let mut text = String::new();
            let from = x;
            // A run of cells that look the same.
            while x < buffer.area.width {
                let next = &buffer[(x, y)];
                let same = colours(next) == (fg, bg) && next.modifier.contains(Modifier::BOLD) == bold;
                if !same {
                    break;
                }
                text.push_str(next.symbol());
                x += 1;
            }
            let (left, top, run) = (12 + from * w, 12 + y * h, (x - from) * w);
            if let Some(bg) = bg {
                writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{run}\" height=\"{h}\" fill=\"{bg}\"/>"
                )
                .unwrap();
            }
            if text.trim().is_empty() {
                continue;
            }
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let weight = if bold { " font-weight=\"bold\"" } else { "" };
            writeln!(
                out,
                "<text x=\"{left}\" y=\"{}\" fill=\"{fg}\"{weight} textLength=\"{run}\" xml:space=\"preserve\">{text}</text>",
                top + 14
            )
            .unwrap();
        }
    }
    out.push_str("</svg>\n");
    out
}

#[test]
fn the_picture_of_the_readme_is_what_the_program_draws() {
    // The rules judge what the screen shows.
    let mut judge = RuleBook::defaults().unwrap().judge();
    let mut findings = Vec::new();
    for n in 1..=40 {
        let world = worlds::busy(n);
        findings = judge.look(&world.host, &world.snapshots[0], &mut |_| None).findings;
    }
    let mut rig = Rig::new(112, 34);
    rig.judged(&worlds::busy(40), findings);
    let drawn = svg(rig.frame().backend().buffer());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screen.svg");
    if std::env::var_os("TCPTOP_WRITE_PICTURE").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == drawn,
        "assets/screen.svg is out of date: TCPTOP_WRITE_PICTURE=1 cargo test --test views picture"
    );
}
