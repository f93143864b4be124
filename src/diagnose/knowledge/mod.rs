//! The explanations: one document per rule, state, limit and sysctl, embedded in the program.
//!
//! A document is TOML between two lines of `+++`, then Markdown with the headings of [`HEADINGS`]. It speaks of the
//! machine at hand in three ways: `{names}` are filled from a finding and from live values ([`Live`]), and lines between
//! `::when FEATURE`, `::else` and `::end` are there only where the kernel has the feature ([`FEATURES`]).
//!
//! A language is a folder; what it lacks is read in English.

mod catalogue;
mod document;
mod features;
mod layout;
mod live;
mod places;
mod render;
#[cfg(test)]
mod tests;
mod words;

use super::book::LIKE;
pub use document::{Document, HEADINGS, Kind};
pub use features::{FEATURES, Feature};
pub use layout::{Line, layout};
pub use live::Live;
pub use render::{Block, Run, Style, render};
pub use words::{label, title, title_in};

/// The language in which every document exists.
pub const ENGLISH: &str = "en";

/// The English document of a rule, state, limit or sysctl, by its id or by a name that it is [about](Document::about).
#[must_use]
pub fn document(id: &str) -> Option<&'static Document> {
    document_in(ENGLISH, id)
}

/// The document in a language, in English where that language lacks it.
#[must_use]
pub fn document_in(lang: &str, id: &str) -> Option<&'static Document> {
    let of = |lang: &str| {
        let own = documents_of(lang).find(|d| d.id == id);
        own.or_else(|| documents_of(lang).find(|d| d.about.iter().any(|a| a == id)))
    };
    of(lang).or_else(|| of(ENGLISH))
}

/// Every document in a language, in English where that language lacks it, by kind and in reading order.
pub fn documents(lang: &str) -> impl Iterator<Item = &'static Document> {
    documents_of(ENGLISH)
        .map(move |english| documents_of(lang).find(|d| d.id == english.id).unwrap_or(english))
}

fn documents_of(lang: &str) -> impl Iterator<Item = &'static Document> {
    catalogue::all().iter().filter(move |d| d.lang == lang)
}

/// The documents that speak of a counter, by the kernel's name (`TcpExt.ListenDrops`) or as nstat prints it.
pub fn speaking_of(lang: &str, counter: &str) -> impl Iterator<Item = &'static Document> {
    let names = [counter.to_owned(), counter.replacen('.', "", 1)];
    documents(lang).filter(move |d| names.iter().any(|name| has_word(d.body, name)))
}

/// Whether a text has a word that does not go on after it.
fn has_word(text: &str, word: &str) -> bool {
    let ends = |at: usize| {
        let after = text.get(at + word.len()..).and_then(|rest| rest.chars().next());
        after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    };
    text.match_indices(word).any(|(at, _)| ends(at))
}

/// The document that a person means: letter case, `-` for `_`, the `state-`, `limit-` and `sysctl-` in front and the
/// `net.ipv4.` of a sysctl do not matter.
///
/// # Errors
/// The nearest names, best first, where nothing has that name.
pub fn find(lang: &str, said: &str) -> Result<&'static Document, Vec<&'static str>> {
    let plain = |name: &str| name.trim().to_ascii_lowercase().replace('_', "-");
    let wanted = plain(said);
    let ends = |name: &str| {
        let name = plain(name);
        let after = |c: char| name.rsplit(c).next() == Some(wanted.as_str());
        name == wanted
            || ["state-", "limit-", "sysctl-"].iter().any(|p| name.strip_prefix(p) == Some(&wanted))
            || after('.')
    };
    let exact = document_in(lang, said).or_else(|| documents(lang).find(|d| plain(d.id) == wanted));
    if let Some(found) = exact.or_else(|| documents(lang).find(|d| d.names().any(ends))) {
        return Ok(found);
    }
    let likeness = |d: &Document| {
        let short = |n: &str| plain(n.rsplit('.').next().unwrap_or(n));
        d.names().map(|n| strsim::jaro_winkler(&short(n), &wanted)).fold(0.0, f64::max)
    };
    let mut near: Vec<_> = documents(lang).map(|d| (likeness(d), d.shown_name())).collect();
    near.retain(|(likeness, _)| *likeness >= LIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    Err(near.into_iter().take(3).map(|(_, name)| name).collect())
}

/// The names of the evidence that the titles of a rule's document speak of: the rule has to give them.
#[must_use]
pub fn placeholders(id: &str) -> Vec<&'static str> {
    let Some(document) = document(id) else { return Vec::new() };
    let mut names: Vec<&'static str> = document
        .titles
        .values()
        .flat_map(|t| places::places(t))
        .filter(|name| document.evidence.contains_key(*name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Fails where no document of a rule speaks of such a draft: every title is filled, every piece of evidence has a label.
#[cfg(test)]
pub(super) fn assert_explained(draft: &super::Draft) {
    let lacks = documents(ENGLISH).filter(|d| d.kind == Kind::Rule).map(|d| (words::missing(d, draft), d.id));
    let (lacks, nearest) = lacks.min_by_key(|(lacks, _)| lacks.len()).unwrap_or_default();
    let names: Vec<_> = draft.evidence.iter().map(|e| e.name).collect();
    assert!(lacks.is_empty(), "no document explains {names:?}; {nearest} is nearest and lacks: {lacks:?}");
}
