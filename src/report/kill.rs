//! What is going to be closed, and what became of it, for people.

use std::fmt::Display;
use std::io::{self, Write};

use super::table::Table;
use crate::analysis::World;
use crate::model::plural;
use crate::query::Align::{Left, Right};
use crate::query::kill::{Fate, NO_LISTENER, Outcome, Plan, Reason, Target};

type Lines = Table<5>;

const fn lines(last: &'static str) -> Lines {
    Table::new([("STATE", Left), ("LOCAL", Left), ("PEER", Left), ("INODE", Right), (last, Left)])
}

fn line(world: &World, target: &Target, last: &dyn Display) -> [String; 5] {
    let row = &target.row;
    let peer = if row.state.has_peer() { row.peer_endpoint().to_string() } else { "-".to_owned() };
    let held = world.owners().and_then(|owners| {
        let first = owners.holders(row.inode).first()?;
        let process = owners.process(*first)?;
        Some(format!("{}[{}]: ", process.comm, process.pid))
    });
    let inode = if row.inode == 0 { "-".to_owned() } else { row.inode.to_string() };
    let state = row.state.name().to_owned();
    [state, row.local_endpoint().to_string(), peer, inode, format!("{}{last}", held.unwrap_or_default())]
}

/// So many sockets in words.
#[must_use]
pub fn sockets(n: usize) -> String {
    format!("{n} socket{}", plural(n))
}

/// Writes which sockets will be closed with what effect, and which will not and why; `refused` is why none will.
///
/// # Errors
/// Those of the writer.
pub fn write_plan(
    world: &World,
    plan: &Plan,
    refused: Option<&Reason>,
    mut out: impl Write,
) -> io::Result<()> {
    if plan.targets.is_empty() && plan.refused.is_empty() {
        writeln!(out, "no socket matches")?;
        return out.flush();
    }
    write!(out, "{} to close", sockets(plan.targets.len()))?;
    match refused.filter(|_| !plan.targets.is_empty()) {
        Some(why) => writeln!(out, ", which the kernel would refuse: {why}")?,
        None => writeln!(out)?,
    }
    let mut table = lines("WHAT WILL HAPPEN");
    for (target, effect) in &plan.targets {
        table.push(line(world, target, effect));
    }
    if !table.is_empty() {
        table.write(&mut out, "", "")?;
    }
    if !plan.refused.is_empty() {
        writeln!(out, "\n{} not to be closed", sockets(plan.refused.len()))?;
        let mut table = lines("WHY NOT");
        for (target, refusal) in &plan.refused {
            table.push(line(world, target, refusal));
        }
        table.write(&mut out, "", "")?;
    }
    out.flush()
}

/// Writes what is gone and what is still there.
///
/// # Errors
/// Those of the writer.
pub fn write_outcome(world: &World, outcome: &Outcome, mut out: impl Write) -> io::Result<()> {
    let before = outcome.fates.iter().filter(|(_, fate)| *fate == Fate::EndedBefore).count();
    let (deaf, left) = (outcome.no_listeners(), outcome.remaining().count());
    if outcome.gone() > 0 || deaf == 0 {
        write!(out, "{} gone", sockets(outcome.gone()))?;
        if before > 0 {
            write!(out, ", {before} of them had ended before, or with the other end")?;
        }
        writeln!(out)?;
    }
    if deaf > 0 {
        writeln!(out, "{} {NO_LISTENER}", sockets(deaf))?;
    }
    if left > 0 {
        writeln!(out, "\n{} still there", sockets(left))?;
        let mut table = lines("WHY");
        for (target, fate) in &outcome.fates {
            if let Fate::Remains(reason) = fate {
                table.push(line(world, target, reason));
            }
        }
        table.write(&mut out, "", "")?;
    }
    out.flush()
}
