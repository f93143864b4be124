//! The check as JSON (`assets/schema/check.schema.json`).

use std::io::{self, Write};

use serde::Serialize;

use super::check_text::Extent;
use super::finding::{Finding, findings};
use super::host::Host;
use super::summary::Called;
use super::{SCHEMA, incomplete, time};
use crate::diagnose::Judged;
use crate::model::{Protocol, Protocols};

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    taken_at: Option<String>,
    host: Host<'a>,
    observed_ms: u64,
    /// What the rules that were judged are about; absent where all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'static str>,
    findings: Vec<Finding<'a>>,
    not_examined: Vec<NotExamined<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unexamined_namespaces: Vec<incomplete::NotEntered<'a>>,
}

/// A rule that could not be judged, and why.
#[derive(Serialize)]
struct NotExamined<'a> {
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<&'a str>,
    reason: String,
}

/// Writes the last look of a check.
///
/// # Errors
/// Those of the writer.
pub fn write_json(judged: &Judged, extent: Extent, mut out: impl Write) -> io::Result<()> {
    let world = &*judged.world;
    let Some(snapshot) = world.snapshots.first() else { return Ok(()) };
    let document = Document {
        schema: SCHEMA,
        taken_at: time::rfc3339(snapshot.sample.taken.wall),
        host: Host::of(world, snapshot),
        observed_ms: u64::try_from(snapshot.observed.as_millis()).unwrap_or(u64::MAX),
        about: (extent.about == Protocols::UDP).then(|| Protocol::Udp.name()),
        findings: findings(judged, &Called::nothing()),
        not_examined: unjudged(judged),
        unexamined_namespaces: incomplete::not_entered(world),
    };
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn unjudged(judged: &Judged) -> Vec<NotExamined<'_>> {
    let several = judged.world.snapshots.len() > 1;
    let mut all = Vec::new();
    for (judgement, snapshot) in judged.judgements.iter().zip(&judged.world.snapshots) {
        let netns = several.then(|| snapshot.sample.netns.name.raw());
        all.extend(judgement.unjudged().map(|(rule, reason)| NotExamined { rule, netns, reason }));
    }
    all
}
