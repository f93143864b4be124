//! Blocks as lines of a width.

use unicode_width::UnicodeWidthStr;

use super::render::{Block, Run, Style, join};

/// One line of a page; an empty one parts what does not belong together.
pub type Line = Vec<Run>;

/// The narrowest text that is still wrapped.
const NARROWEST: usize = 20;

/// Wraps blocks to `width` columns. Code is never broken, so that it can be pasted.
#[must_use]
pub fn layout(blocks: &[Block], width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut before: Option<&Block> = None;
    for block in blocks {
        let together = matches!(
            (before, block),
            (None | Some(Block::Heading(_)), _)
                | (Some(Block::Item(_)), Block::Item(_))
                | (Some(Block::Code(_)), Block::Code(_))
        );
        if before.is_some() && !together {
            lines.push(Line::new());
        }
        match block {
            Block::Heading(text) => lines.push(vec![Run { style: Style::Heading, text: text.clone() }]),
            Block::Paragraph(runs) => wrap(runs, width, "", &mut lines),
            Block::Item(runs) => wrap(runs, width, "- ", &mut lines),
            Block::Code(text) => {
                let plain = Run { style: Style::Plain, text: "    ".into() };
                lines.push(vec![plain, Run { style: Style::Code, text: text.clone() }]);
            }
        }
        before = Some(block);
    }
    lines
}

/// Wraps runs between words; `mark` stands before the first line, blanks before the others.
fn wrap(runs: &[Run], width: usize, mark: &str, lines: &mut Vec<Line>) {
    let indent = mark.width();
    let width = width.max(NARROWEST).saturating_sub(indent);
    let start =
        |text: String| if indent == 0 { Line::new() } else { vec![Run { style: Style::Plain, text }] };
    let mut line = start(mark.to_owned());
    let mut used = 0;
    for word in words(runs) {
        let wide: usize = word.pieces.iter().map(|r| r.text.width()).sum();
        let gap = usize::from(word.gap && used > 0);
        if used > 0 && used + gap + wide > width {
            lines.push(std::mem::replace(&mut line, start(" ".repeat(indent))));
            used = 0;
        } else if gap == 1 {
            join(&mut line, Run { style: Style::Plain, text: " ".into() });
            used += 1;
        }
        used += wide;
        word.pieces.into_iter().for_each(|piece| join(&mut line, piece));
    }
    lines.push(line);
}

/// What is kept on one line: the pieces of a word, and whether a blank parts it from the word before.
struct Word {
    gap: bool,
    pieces: Vec<Run>,
}

/// Words of Latin text, and single characters of a script that is written without blanks.
fn words(runs: &[Run]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut gap, mut open) = (false, false);
    for run in runs {
        for c in run.text.chars() {
            if c == ' ' {
                (gap, open) = (true, false);
                continue;
            }
            // A number in groups is one word.
            let c = if c == '\u{a0}' { ' ' } else { c };
            let wide = unicode_width::UnicodeWidthChar::width(c) == Some(2);
            // A closing mark never begins a line.
            let closing = matches!(c, '，' | '。' | '：' | '；' | '、' | '）' | '”' | '！' | '？' | '」');
            if (!open || wide) && (gap || !closing) {
                words.push(Word { gap, pieces: Vec::new() });
                gap = false;
            }
            if let Some(word) = words.last_mut() {
                match word.pieces.last_mut() {
                    Some(last) if last.style == run.style => last.text.push(c),
                    _ => word.pieces.push(Run { style: run.style, text: c.into() }),
                }
            }
            open = !wide;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<Run> {
        vec![Run { style: Style::Plain, text: text.into() }]
    }

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|l| l.iter().map(|r| r.text.as_str()).collect()).collect()
    }

    #[test]
    fn words_are_kept_whole_and_items_hang() {
        let blocks = [Block::Item(plain("the quick brown fox jumps over")), Block::Item(plain("x"))];
        assert_eq!(text(&layout(&blocks, 20)), ["- the quick brown", "  fox jumps over", "- x"]);
    }

    #[test]
    fn a_style_can_change_inside_a_word() {
        let run = |style, text: &str| Run { style, text: text.into() };
        let runs =
            vec![run(Style::Plain, "see ("), run(Style::Code, "ss -tan"), run(Style::Plain, "), then")];
        let lines = layout(&[Block::Paragraph(runs)], 20);
        assert_eq!(text(&lines), ["see (ss -tan), then"]);
        assert_eq!(lines[0].iter().map(|r| r.style).filter(|s| *s == Style::Code).count(), 2);
    }

    #[test]
    fn code_is_never_broken_and_no_width_is_too_small() {
        let long = "ss -tan state time-wait dst 10.0.0.1:3306";
        let lines = layout(&[Block::Code(long.into()), Block::Paragraph(plain("a b"))], 0);
        assert_eq!(text(&lines), [format!("    {long}"), String::new(), "a b".into()]);
    }

    #[test]
    fn text_without_blanks_breaks_between_characters_and_not_before_a_closing_mark() {
        let lines = layout(&[Block::Paragraph(plain("这连接已经被对端关闭，程序没有关闭。"))], 20);
        assert_eq!(text(&lines), ["这连接已经被对端关", "闭，程序没有关闭。"].map(String::from));
    }
}
