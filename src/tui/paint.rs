//! Putting text, bars and frames into the buffer, cut by their width on the screen. Nothing here can write outside
//! the area that it was given.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme::{Glyphs, Role, Theme};

/// A text no wider than `width`; what is cut off is marked.
#[must_use]
pub fn cut<'a>(text: &'a str, width: u16, glyphs: &Glyphs) -> Cow<'a, str> {
    let width = usize::from(width);
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let room = width.saturating_sub(glyphs.ellipsis.width());
    let mut short = String::with_capacity(width * 2);
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        short.push(c);
    }
    if width > 0 {
        short.push_str(glyphs.ellipsis);
    }
    Cow::Owned(short)
}

/// The width of a text on the screen.
#[must_use]
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// A piece of the screen to draw on.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    /// How it looks.
    pub theme: &'a Theme,
}

impl<'a> Canvas<'a> {
    /// A canvas over a frame's buffer.
    pub fn new(buffer: &'a mut Buffer, theme: &'a Theme) -> Self {
        Self { buffer, theme }
    }

    /// The characters of this terminal.
    #[must_use]
    pub const fn glyphs(&self) -> &'static Glyphs {
        self.theme.glyphs
    }

    fn room(&self, x: u16, y: u16, width: u16) -> u16 {
        let area = self.buffer.area;
        let inside = y >= area.top() && y < area.bottom() && x >= area.left();
        if inside { width.min(area.right().saturating_sub(x)) } else { 0 }
    }

    /// Writes text from `x` on, at most `width` cells. Returns where the next text may start.
    pub fn styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let room = self.room(x, y, width);
        if room == 0 || text.is_empty() {
            return x;
        }
        let text = cut(text, room, self.theme.glyphs);
        if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return self.plain(x, y, room, &text, style);
        }
        self.buffer.set_stringn(x, y, &text, usize::from(room), style).0
    }

    /// Writes text of which each byte is a cell, without looking for what belongs together in one.
    fn plain(&mut self, x: u16, y: u16, room: u16, text: &str, style: Style) -> u16 {
        let mut end = x;
        for byte in text.bytes().take(usize::from(room)) {
            if let Some(cell) = self.buffer.cell_mut((end, y)) {
                cell.set_char(char::from(byte)).set_style(style);
            }
            end += 1;
        }
        end
    }

    /// Puts a glyph of the theme, one cell wide, into a cell.
    fn glyph(&mut self, x: u16, y: u16, glyph: &'static str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_symbol(glyph).set_style(style);
        }
    }

    /// Writes text in the style of a role.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        self.styled(x, y, width, text, self.theme.style(role))
    }

    /// Writes text so that it ends at the right edge of `width` cells.
    pub fn right(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) {
        let text = cut(text, width, self.theme.glyphs);
        let used = self::width(&text);
        self.text(x + width.saturating_sub(used), y, used.min(width), &text, role);
    }

    /// Lays a style over an area.
    pub fn tint(&mut self, area: Rect, role: Role) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.theme.style(role));
    }

    /// Adds a modifier to what stands in an area.
    pub fn modify(&mut self, area: Rect, modifier: Modifier) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, Style::default().add_modifier(modifier));
    }

    /// Empties an area.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// Draws a frame with a title. Nothing is drawn where it would have no inside.
    pub fn frame(&mut self, area: Rect, title: &str) {
        if area.width < 2 || area.height < 2 {
            return;
        }
        let [tl, tr, bl, br, h, v] = self.glyphs().frame;
        let style = self.theme.style(Role::Border);
        let (left, right) = (area.left(), area.right() - 1);
        let (top, bottom) = (area.top(), area.bottom() - 1);
        for x in left + 1..right {
            self.glyph(x, top, h, style);
            self.glyph(x, bottom, h, style);
        }
        for y in top + 1..bottom {
            self.glyph(left, y, v, style);
            self.glyph(right, y, v, style);
        }
        for (x, y, corner) in [(left, top, tl), (right, top, tr), (left, bottom, bl), (right, bottom, br)] {
            self.glyph(x, y, corner, style);
        }
        if area.width > 6 && !title.is_empty() {
            let end = self.text(left + 2, top, area.width - 4, &format!(" {title} "), Role::Title);
            debug_assert!(end <= right);
        }
    }

    /// Draws a horizontal bar of `ratio` (0 to 1) of `width` cells; anything above nothing is visible.
    pub fn bar(&mut self, x: u16, y: u16, width: u16, ratio: f64, role: Role) -> u16 {
        let parts = self.glyphs().bar;
        let steps = parts.len();
        let total = usize::from(width) * steps;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "both are small and positive"
        )]
        let filled = if ratio > 0.0 { ((ratio.min(1.0) * total as f64).round() as usize).max(1) } else { 0 };
        let mut text = String::new();
        if let Some(full) = parts.last() {
            text.push_str(&full.repeat(filled / steps));
        }
        if let Some(part) = (filled % steps).checked_sub(1).and_then(|at| parts.get(at)) {
            text.push_str(part);
        }
        self.text(x, y, width, &text, role)
    }

    /// Draws a bar on a track, so that what is left can be seen.
    pub fn gauge(&mut self, x: u16, y: u16, width: u16, ratio: f64, role: Role) {
        let end = self.bar(x, y, width, ratio, role);
        let left = width.saturating_sub(end.saturating_sub(x));
        self.text(end, y, left, &self.glyphs().track.repeat(usize::from(left)), Role::Border);
    }

    /// Draws the newest of `values` (oldest first) as heights, ending at the right edge. A change of a few is noise.
    pub fn spark(&mut self, x: u16, y: u16, width: u16, values: impl DoubleEndedIterator<Item = u32>) {
        let text = sparkline(values.map(f64::from), width, 4.0, self.glyphs());
        self.right(x, y, width, &text, Role::Spark);
    }
}

/// The newest of `values` (oldest first) as heights, at most `width` of them. The full height is at least `least`.
#[must_use]
pub fn sparkline(
    values: impl DoubleEndedIterator<Item = f64>,
    width: u16,
    least: f64,
    glyphs: &Glyphs,
) -> String {
    let newest: Vec<f64> = values.rev().take(usize::from(width)).collect();
    let min = newest.iter().copied().fold(f64::INFINITY, f64::min);
    let max = newest.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let heights = glyphs.spark;
    // Noise stays flat: the full height is at least a tenth of the largest value.
    let span = (max - min).max(max / 10.0).max(least);
    let level = |value: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to the number of heights"
        )]
        let at = ((value - min) / span * heights.len().saturating_sub(1) as f64) as usize;
        heights.get(at).copied().unwrap_or(" ")
    };
    let glyph = |value: &f64| if *value == 0.0 || span <= 0.0 { " " } else { level(*value) };
    newest.iter().rev().map(glyph).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{ASCII, Builtin, UNICODE};

    fn drawn(width: u16, draw: impl FnOnce(&mut Canvas)) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let theme = Theme::builtin(Builtin::Dark, &UNICODE);
        draw(&mut Canvas::new(&mut buffer, &theme));
        buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn text_is_cut_by_its_width_on_the_screen() {
        assert_eq!(cut("abcdef", 6, &UNICODE), "abcdef");
        assert_eq!(cut("abcdef", 4, &UNICODE), "abc…");
        assert_eq!(cut("abcdef", 4, &ASCII), "abc~");
        assert_eq!(cut("日本語", 5, &UNICODE), "日本…");
        assert_eq!(cut("日本語", 4, &UNICODE), "日…");
        assert_eq!(cut("abc", 0, &UNICODE), "");
    }

    #[test]
    fn plain_text_is_what_any_text_would_be() {
        let style = Style::default().add_modifier(Modifier::BOLD);
        for text in [
            "",
            " ",
            "a b",
            "~",
            "as wide as it is",
            "wider than there is room for it",
            "a\tb\x1b[1m",
            "日本",
            "é",
        ] {
            for (x, width) in [(0, 16), (3, 5), (12, 40), (15, 1), (16, 1), (2, 0)] {
                let mut ours = Buffer::empty(Rect::new(0, 0, 16, 1));
                let mut plainly = ours.clone();
                let theme = Theme::builtin(Builtin::Dark, &ASCII);
                let end = Canvas::new(&mut ours, &theme).styled(x, 0, width, text, style);
                let room = width.min(16 - x);
                if room > 0 {
                    let expected = plainly.set_stringn(x, 0, cut(text, room, &ASCII), room.into(), style).0;
                    assert_eq!(end, expected, "{text:?} at {x}");
                }
                assert_eq!(ours, plainly, "{text:?} at {x}");
            }
        }
    }

    #[test]
    fn bars_show_eighths_and_never_hide_the_smallest() {
        let bar = |ratio| {
            drawn(4, |c| {
                c.bar(0, 0, 4, ratio, Role::Bar);
            })
        };
        assert_eq!(bar(0.0), "    ");
        assert_eq!(bar(0.0001), "▏   ");
        assert_eq!(bar(0.5), "██  ");
        assert_eq!(bar(0.53), "██▏ ");
        assert_eq!(bar(1.0), "████");
        assert_eq!(bar(7.0), "████");
        assert_eq!(bar(f64::NAN), "    ");
    }

    #[test]
    fn a_sparkline_shows_the_newest_and_keeps_noise_flat() {
        let spark = |values: &[u32]| drawn(4, |c| c.spark(0, 0, 4, values.iter().copied()));
        assert_eq!(spark(&[]), "    ");
        assert_eq!(spark(&[9, 9, 0, 50, 100, 25]), " ▄█▂");
        assert_eq!(spark(&[1000, 1001]), "  ▁▁");
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let theme = Theme::builtin(Builtin::Dark, &UNICODE);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 2));
        let mut canvas = Canvas::new(&mut buffer, &theme);
        canvas.text(2, 1, 50, "日本", Role::Text);
        canvas.text(9, 9, 50, "x", Role::Text);
        canvas.right(0, 7, 50, "x", Role::Text);
        canvas.frame(Rect::new(0, 0, 40, 40), "title");
        canvas.frame(Rect::new(0, 0, 1, 1), "title");
        canvas.tint(Rect::new(0, 0, 99, 99), Role::Selected);
        canvas.clear(Rect::new(2, 1, 99, 99));
    }
}
