//! What the numbers on the screen do not cover, in the order of how much it matters.

use crate::model::{Capability, Gap, Owners, Protocol, TableSource};

use super::app::App;
use super::format;
use super::page::seen;
use super::theme::Role;

/// One honest sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// How much it matters.
    pub role: Role,
    /// The sentence.
    pub text: String,
}

/// Where a table comes from without `sock_diag`.
const fn proc_files(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => TableSource::Procfs.name(),
        Protocol::Udp => "/proc/net/udp",
    }
}

/// What the files in /proc do not show.
const fn without(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "no cookies, backlogs, exact timers",
        Protocol::Udp => "no cookies, no buffers",
    }
}

/// Everything that has to be said about what is shown.
#[must_use]
pub fn notes(app: &App) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut say = |role, text: String| notes.push(Note { role, text });
    if let Some(notice) = app.notice {
        say(Role::Notice, notice.to_owned());
    }
    let stream = &app.stream;
    if stream.ended {
        say(Role::Critical, "looking has stopped; what is shown is the last look".to_owned());
    } else if let Some(why) = &stream.trouble {
        say(Role::Critical, format!("cannot look: {why}"));
    } else if let Some(seconds) = stream.silent {
        say(Role::Warning, format!("nothing new for {seconds} s"));
    }
    let Some(world) = stream.world() else { return notes };
    if stream.frozen {
        let newest = stream.newest.as_ref().map_or_else(|| seen(world), |j| seen(&j.world));
        let behind = newest.saturating_sub(seen(world));
        let behind = if behind.as_secs() == 0 {
            String::new()
        } else {
            format!(", {} behind", format::seconds(behind))
        };
        say(Role::Notice, format!("frozen{behind}"));
    }
    if let Some(shown) = &app.filter.shown
        && let Some(left_out) = shown.narrowed.left_out(world, &shown.by)
    {
        say(Role::Warning, left_out);
    }
    let several = world.snapshots.len() > 1;
    let mut quiet = Vec::new();
    for (_, snapshot) in world.of(Protocol::Tcp).chain(world.of(Protocol::Udp)) {
        let sample = &snapshot.sample;
        let mut whose = if several { format!("{}: ", sample.netns.name) } else { String::new() };
        if sample.protocol == Protocol::Udp {
            whose.push_str("UDP: ");
        }
        let complete = &sample.completeness;
        if complete.source == TableSource::Procfs {
            say(
                Role::Warning,
                format!("{whose}read from {}: {}", proc_files(sample.protocol), without(sample.protocol)),
            );
        }
        if complete.source == TableSource::Memory {
            let (from, nth) = (complete.source.name(), TableSource::BOUND_EVERY);
            quiet.push(format!("{whose}{from}; bound, unconnected sockets: every {nth}th look"));
        }
        for gap in &complete.gaps {
            match gap {
                Gap::BoundInactiveHidden => quiet.push(format!("{whose}{gap}")),
                _ => say(Role::Warning, format!("{whose}{gap}")),
            }
        }
        if complete.duplicates > 0 {
            quiet.push(format!("{whose}{} duplicates dropped", complete.duplicates));
        }
        if snapshot.counters_reset {
            quiet.push(format!("{whose}counters went backwards"));
        }
        if sample.facts.malformed > 0 {
            quiet.push(format!("{whose}{} fields of /proc not understood", sample.facts.malformed));
        }
    }
    if app.read_only {
        quiet.push("read-only: no connection can be closed".to_owned());
    }
    let left_out = &world.unexamined;
    if let [first, others @ ..] = &left_out[..] {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        say(Role::Warning, format!("netns {}{more} not examined: {}", first.netns.name, first.reason));
        quiet.extend(others.iter().map(|u| format!("netns {} not examined: {}", u.netns.name, u.reason)));
    }
    if !world.host.privileges.has(Capability::NetAdmin) {
        quiet.push("without CAP_NET_ADMIN: socket marks are hidden".to_owned());
    }
    if let Some(blindness) = world.owners().and_then(Owners::blindness) {
        quiet.push(blindness.to_string());
    }
    notes.extend(quiet.into_iter().map(|text| Note { role: Role::Dim, text }));
    notes
}
