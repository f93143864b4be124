//! The explanations as text: the list of them, and one of them on this machine.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style as Ansi};
use unicode_width::UnicodeWidthStr;

use crate::diagnose::knowledge::{Block, Document, Kind, Live, Run, Style, documents, layout, render};

/// Where the sentences of the list begin.
const COLUMN: usize = 28;

/// Writes a document, wrapped to `width` columns, with the values of this machine.
///
/// # Errors
/// Those of the writer.
pub fn write_explanation(
    document: &Document,
    live: Live<'_>,
    width: usize,
    styled: bool,
    mut out: impl Write,
) -> io::Result<()> {
    let plain = |text: String| vec![Run { style: Style::Plain, text }];
    let heading = format!("{} ({})", document.shown_name(), document.kind.name());
    let mut blocks = vec![Block::Heading(heading), Block::Paragraph(plain(document.summary.clone()))];
    blocks.extend(render(document, live));
    for line in layout(&blocks, width) {
        write_line(&line, styled, &mut out)?;
    }
    out.flush()
}

/// Writes the names of all documents in a language with their summaries, by kind.
///
/// # Errors
/// Those of the writer.
pub fn write_explained_names(lang: &str, width: usize, styled: bool, mut out: impl Write) -> io::Result<()> {
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        let heading = match kind {
            Kind::Rule => "Rules",
            Kind::State => "States",
            Kind::Limit => "Limits",
            Kind::Sysctl => "Sysctls",
        };
        write_line(&[Run { style: Style::Heading, text: heading.into() }], styled, &mut out)?;
        for document in documents(lang).filter(|d| d.kind == kind) {
            write_name(document, width, styled, &mut out)?;
        }
    }
    out.flush()
}

fn write_name(document: &Document, width: usize, styled: bool, out: &mut impl Write) -> io::Result<()> {
    let name = document.shown_name();
    let first = Run { style: Style::Code, text: name.to_owned() };
    let blanks = |n: usize| Run { style: Style::Plain, text: " ".repeat(n) };
    let summary = Run { style: Style::Plain, text: document.summary.clone() };
    let mut lines = layout(&[Block::Paragraph(vec![summary])], width.saturating_sub(COLUMN)).into_iter();
    let used = name.width() + 2;
    if used < COLUMN {
        let mut line = vec![blanks(2), first, blanks(COLUMN - used)];
        line.extend(lines.next().unwrap_or_default());
        write_line(&line, styled, out)?;
    } else {
        write_line(&[blanks(2), first], styled, out)?;
    }
    for rest in lines {
        let mut line = vec![blanks(COLUMN)];
        line.extend(rest);
        write_line(&line, styled, out)?;
    }
    Ok(())
}

fn write_line(line: &[Run], styled: bool, out: &mut impl Write) -> io::Result<()> {
    for run in line {
        let style = match run.style {
            Style::Plain => Ansi::new(),
            Style::Code => AnsiColor::Cyan.on_default(),
            Style::Strong | Style::Heading => Ansi::new().bold(),
        };
        if styled {
            write!(out, "{style}{}{style:#}", run.text)?;
        } else {
            out.write_all(run.text.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}
