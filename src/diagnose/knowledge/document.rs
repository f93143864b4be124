//! One document: its front matter and its body.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The headings of every document, in this order.
pub const HEADINGS: [&str; 7] = [
    "What it means",
    "Why it happens",
    "How to confirm",
    "What to do now",
    "What to do for good",
    "What not to do",
    "When it is harmless",
];

/// What a document explains.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What a rule finds.
    Rule,
    /// A TCP state.
    State,
    /// A limit.
    Limit,
    /// A sysctl.
    Sysctl,
}

impl Kind {
    /// Every kind in reading order.
    pub const ALL: [Self; 4] = [Self::Rule, Self::State, Self::Limit, Self::Sysctl];

    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::State => "state",
            Self::Limit => "limit",
            Self::Sysctl => "sysctl",
        }
    }
}

/// An explanation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Id: that of the rule, `state-close-wait`, `limit-conntrack`, or the dotted name of the sysctl.
    pub id: &'static str,
    /// Language.
    pub lang: &'static str,
    /// What it explains.
    pub kind: Kind,
    /// Name for people.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Other names under which it is found: dotted sysctls, ids of the contract.
    pub about: Vec<String>,
    /// Kinds of subject that its findings can have, as in the contract; empty for what is no rule.
    pub subjects: Vec<String>,
    /// Evidence by name, with a label for people.
    pub evidence: BTreeMap<String, String>,
    /// Titles of a finding by variant; `default` is always there for a rule.
    pub titles: BTreeMap<String, String>,
    /// Markdown.
    pub(super) body: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    kind: Kind,
    name: String,
    summary: String,
    #[serde(default)]
    about: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    #[serde(default)]
    evidence: BTreeMap<String, String>,
    #[serde(default)]
    title: BTreeMap<String, String>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with its front matter.
    pub(super) fn parse(lang: &'static str, id: &'static str, text: &'static str) -> Result<Self, String> {
        let parts = text.strip_prefix("+++\n").and_then(|t| t.split_once("\n+++\n"));
        let Some((front, body)) = parts else {
            return Err(format!("{id}: no front matter between lines of +++"));
        };
        let front: Front = toml::from_str(front).map_err(|e| format!("{id}: {e}"))?;
        Ok(Self {
            id,
            lang,
            kind: front.kind,
            name: front.name,
            summary: front.summary,
            about: front.about,
            subjects: front.subject,
            evidence: front.evidence,
            titles: front.title,
            body,
        })
    }

    /// Every name under which it is found.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id).chain(self.about.iter().map(String::as_str))
    }

    /// The name that people type: `CLOSE_WAIT` for a state, else the id.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.kind == Kind::State { &self.name } else { self.id }
    }
}
