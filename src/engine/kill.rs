//! Closes sockets, then looks what is really gone.

use std::io;

use rustix::io::Errno;

use crate::model::TcpState;
use crate::query::kill::{Fate, Outcome, Plan, Reason, Session, Target};
use crate::sys::current_netns;
use crate::sys::destroy::{Destroyer, ancestors_sockets, ssh_connection};

/// The session that this program runs in.
#[must_use]
pub fn session() -> Session {
    let endpoint = |a: std::net::SocketAddr| crate::model::Endpoint { addr: a.ip().into(), port: a.port() };
    Session {
        connections: ssh_connection()
            .map(|(local, peer)| (endpoint(local), endpoint(peer)))
            .into_iter()
            .collect(),
        inodes: ancestors_sockets(),
        netns: current_netns().inode,
    }
}

/// Closes the targets of a plan, one after the other, and then asks the kernel for each of them again.
///
/// # Errors
/// Nothing could be asked at all: no `sock_diag` socket.
pub fn execute(plan: &Plan) -> io::Result<Outcome> {
    let mut destroyer = Destroyer::open()?;
    let targets = plan.targets.iter().map(|(t, _)| *t);
    let answers: Vec<_> = targets.map(|t| (t, destroyer.destroy(&t.row, t.origin.ifindex))).collect();
    let mut fates = Vec::with_capacity(answers.len());
    for (target, answer) in answers {
        let fate = match destroyer.is_there(&target.row, target.origin.ifindex) {
            Ok(there) => fate(&target, answer, there),
            Err(e) => Fate::Remains(Reason::Other(format!("asking for it again: {e}"))),
        };
        fates.push((target, fate));
    }
    Ok(Outcome { fates })
}

fn fate(target: &Target, answer: io::Result<()>, there: bool) -> Fate {
    let held = target.row.inode != 0;
    let reason = match answer {
        Ok(()) if !there && target.row.state == TcpState::Listen => return Fate::NoListener,
        Ok(()) if !there => return Fate::Closed,
        Err(_) if !there => return Fate::EndedBefore,
        Ok(()) if held => Reason::Ignored,
        Ok(()) => Reason::IgnoredOrphan,
        Err(e) => match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM | Errno::ACCESS) => Reason::NotPermitted,
            Some(Errno::OPNOTSUPP) if is_mini(target) => Reason::OldKernel,
            Some(Errno::OPNOTSUPP) => Reason::NotBuilt,
            _ => Reason::Other(e.to_string()),
        },
    };
    Fate::Remains(reason)
}

fn is_mini(target: &Target) -> bool {
    target.row.inode == 0 && matches!(target.row.state, TcpState::TimeWait | TcpState::FinWait2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Origin, SocketRow};
    use crate::query::RowId;
    use crate::testkit::socket;

    fn after(row: SocketRow, errno: Option<Errno>, there: bool) -> Fate {
        let target = Target { id: RowId { ns: 0, row: 0 }, netns: 1, row, origin: Origin::default() };
        fate(&target, errno.map_or(Ok(()), |e| Err(e.into())), there)
    }

    #[test]
    fn what_the_kernel_says_is_checked_against_what_is_there() {
        let held = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        let mini = socket(TcpState::TimeWait, "10.0.0.1:80", "10.9.9.9:5000");
        let mut orphan = socket(TcpState::FinWait1, "10.0.0.1:80", "10.9.9.9:5000");
        orphan.inode = 0;
        assert_eq!(after(held, None, false), Fate::Closed);
        let listener = socket(TcpState::Listen, "10.0.0.1:80", "");
        assert_eq!(after(listener, None, false), Fate::NoListener);
        assert_eq!(after(held, Some(Errno::NOENT), false), Fate::EndedBefore);
        assert_eq!(after(held, Some(Errno::PERM), true), Fate::Remains(Reason::NotPermitted));
        assert_eq!(after(held, Some(Errno::OPNOTSUPP), true), Fate::Remains(Reason::NotBuilt));
        assert_eq!(after(mini, Some(Errno::OPNOTSUPP), true), Fate::Remains(Reason::OldKernel));
        assert_eq!(after(orphan, None, true), Fate::Remains(Reason::IgnoredOrphan));
        assert_eq!(after(held, None, true), Fate::Remains(Reason::Ignored));
        assert!(matches!(after(held, Some(Errno::NOENT), true), Fate::Remains(Reason::Other(_))));
    }
}
