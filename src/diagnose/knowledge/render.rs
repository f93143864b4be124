//! A document as blocks that a screen or a report can draw.

use pulldown_cmark::{Event, Parser, Tag, TagEnd, TextMergeStream};

use super::features::select;
use super::places::fill;
use super::{Document, Live};

/// How a piece of text stands out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Style {
    /// It does not.
    Plain,
    /// A name or a command.
    Code,
    /// Important.
    Strong,
    /// A heading.
    Heading,
}

/// A piece of text of one style. Safe for a terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// How it stands out.
    pub style: Style,
    /// The text, without line breaks.
    pub text: String,
}

/// A part of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph, to be wrapped.
    Paragraph(Vec<Run>),
    /// An item of a list, to be wrapped.
    Item(Vec<Run>),
    /// One line of code, not to be wrapped.
    Code(String),
}

/// The body of a document on this machine, placeholders filled.
#[must_use]
pub fn render(document: &Document, live: Live<'_>) -> Vec<Block> {
    let text = select(document.body, live.kernel());
    let mut blocks = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    let (mut style, mut in_code_block) = (Style::Plain, false);
    let mut of_process = false;
    for event in TextMergeStream::new(Parser::new(&text)) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code_block = true,
            Event::End(TagEnd::CodeBlock) => {
                in_code_block = false;
                let which = live.several_processes().filter(|_| std::mem::take(&mut of_process));
                let run = |text| Run { style: Style::Plain, text };
                blocks.extend(which.map(|who| Block::Paragraph(vec![run(format!("PID is one of: {who}."))])));
            }
            Event::Text(code) if in_code_block => {
                of_process = code.contains("{pid}");
                blocks.extend(code.lines().map(|line| Block::Code(fill(line, |name| live.code(name)))));
            }
            Event::Start(Tag::Strong) => style = Style::Strong,
            Event::End(TagEnd::Strong) => style = Style::Plain,
            Event::Text(text) => join(&mut runs, Run { style, text: fill(&text, |name| live.text(name)) }),
            Event::Code(code) => {
                join(&mut runs, Run { style: Style::Code, text: fill(&code, |name| live.code(name)) });
            }
            Event::SoftBreak | Event::HardBreak => join(&mut runs, Run { style, text: " ".into() }),
            Event::End(TagEnd::Heading(_)) => {
                blocks.push(Block::Heading(runs.drain(..).map(|r| r.text).collect()));
            }
            // Code inside an item ends the item's text.
            Event::End(TagEnd::Item) if !runs.is_empty() => {
                blocks.push(Block::Item(std::mem::take(&mut runs)));
            }
            Event::End(TagEnd::Paragraph) => blocks.push(Block::Paragraph(std::mem::take(&mut runs))),
            _ => {}
        }
    }
    blocks
}

/// Adds text to a line, to the last run if it has the same style.
pub(super) fn join(line: &mut Vec<Run>, run: Run) {
    match line.last_mut() {
        Some(last) if last.style == run.style => last.text.push_str(&run.text),
        _ => line.push(run),
    }
}
