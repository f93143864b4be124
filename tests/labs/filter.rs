//! The filter language against ss, on sockets in every state. The expressions are in `filter.corpus`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream};
use std::process::{Command, Output};

use tcptop::lab::{Host, listen};

use crate::harness::{lab_with_ss, wait_for};
use crate::states::zoo;
use crate::tool::TCPTOP;

const CORPUS: &str = include_str!("filter.corpus");

/// How a line of the corpus wants ss and us to agree.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Wanted<'a> {
    Same,
    SameAndSome,
    OnlyWe(&'a str),
    Neither,
    Other,
}

struct Line<'a> {
    number: usize,
    expression: &'a str,
    wanted: Wanted<'a>,
}

/// Where the cgroup v2 hierarchy is mounted.
fn cgroup_mount() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mount =
        mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&"cgroup2"))?;
    Some(mount[1].to_owned())
}

fn corpus(text: &str) -> Vec<Line<'_>> {
    let lines = (1..).zip(text.lines()).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    lines.map(|(number, line)| read(number, line)).collect()
}

fn read(number: usize, line: &str) -> Line<'_> {
    let (mark, rest) = line.split_once(' ').unwrap();
    let reasoned = || rest.split_once(" # ").unwrap_or_else(|| panic!("line {number} needs a reason")).0;
    let (expression, wanted) = match mark {
        "=" => (rest, Wanted::Same),
        "==" => (rest, Wanted::SameAndSome),
        "-" => (rest, Wanted::Neither),
        "~" => (reasoned(), Wanted::Other),
        "+" => {
            let (ours, theirs) = rest.split_once(" => ").unwrap();
            (ours, Wanted::OnlyWe(theirs))
        }
        other => panic!("line {number} begins with {other:?}"),
    };
    Line { number, expression, wanted }
}

fn on(host: &Host, command: &mut Command) -> Output {
    host.run(|| command.output()).unwrap().unwrap()
}

/// The cookies that ss shows, or what it says against the expression.
fn by_ss(host: &Host, expression: &str) -> Result<BTreeSet<u64>, String> {
    let output = on(host, Command::new("ss").arg("-Htanoe").args(expression.split_whitespace()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() || !said.is_empty() {
        return Err(said);
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let cookie =
        |line: &str| line.split(" sk:").nth(1).and_then(|c| c.split_whitespace().next().map(str::to_owned));
    Ok(text.lines().filter_map(cookie).map(|c| u64::from_str_radix(&c, 16).unwrap()).collect())
}

/// The cookies that we show. Bound sockets are left out: ss before 6.8 does not ask for them.
fn by_us(host: &Host, expression: &str) -> Result<BTreeSet<u64>, String> {
    let arguments = ["list", "--csv", "--columns", "state,cookie"];
    let output = on(host, Command::new(TCPTOP).args(arguments).args(expression.split_whitespace()));
    match output.status.code() {
        Some(0) => {}
        Some(2) => return Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        other => panic!("{expression}: {other:?}, {}", String::from_utf8_lossy(&output.stderr)),
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip(1).filter_map(|l| l.split_once(','));
    Ok(rows.filter(|(state, _)| *state != "BOUND_INACTIVE").map(|(_, c)| c.parse().unwrap()).collect())
}

/// What is wrong with a line, if anything.
fn objection(host: &Host, line: &Line<'_>) -> Option<String> {
    let (theirs, ours) = (by_ss(host, line.expression), by_us(host, line.expression));
    let different = |theirs: &BTreeSet<u64>, ours: &BTreeSet<u64>| {
        (theirs != ours).then(|| {
            let only = |a: &BTreeSet<u64>, b: &BTreeSet<u64>| a.difference(b).copied().collect::<Vec<_>>();
            format!("only ss shows {:?}, only we show {:?}", only(theirs, ours), only(ours, theirs))
        })
    };
    match (line.wanted, theirs, ours) {
        (Wanted::Same, Ok(theirs), Ok(ours)) => different(&theirs, &ours),
        (Wanted::SameAndSome, Ok(theirs), Ok(ours)) => different(&theirs, &ours).or_else(|| {
            let all = by_ss(host, "").unwrap().len();
            (ours.is_empty() || ours.len() >= all)
                .then(|| format!("{} of {all} match, which proves little", ours.len()))
        }),
        (Wanted::OnlyWe(same), Err(_), Ok(ours)) => match by_ss(host, same) {
            Ok(theirs) => different(&theirs, &ours),
            Err(said) => Some(format!("ss refuses {same:?}, too: {said}")),
        },
        (Wanted::Neither, Err(_), Err(ours)) => {
            (!ours.contains("in the filter: ")).then(|| format!("we say {ours:?}"))
        }
        (Wanted::Other, Ok(theirs), Ok(ours)) => (theirs == ours).then(|| "no difference".to_owned()),
        (_, theirs, ours) => Some(format!("ss: {theirs:?}; we: {ours:?}")),
    }
}

/// Listeners and connections that the other specimens do not show: bound to an interface, on ports that the kernel chose.
fn more(host: &Host) -> (TcpListener, TcpListener, TcpStream) {
    // The address that the kernel makes of the cable's hardware address.
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
    let index = host.run(|| tcptop::sys::names::interface_index("cable")).unwrap().unwrap();
    let bound = wait_for("link-local address", || {
        let addr = SocketAddrV6::new(link_local, 8900, 0, index);
        host.run(|| listen(addr.into(), 1, &[])).unwrap().map_err(|e| e.to_string())
    });
    host.run(move || {
        let chosen = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(chosen.local_addr().unwrap()).unwrap();
        (bound, chosen, client)
    })
    .unwrap()
}

#[test]
fn every_expression_that_ss_takes_means_the_same_here() {
    lab_with_ss(|| {
        let (lab, _specimens) = zoo();
        let _more = more(lab.near());
        let mount = cgroup_mount();
        let text = CORPUS.replace("CGROUP2", mount.as_deref().unwrap_or(""));
        let mut wrong = String::new();
        for line in corpus(&text).iter().filter(|l| mount.is_some() || !l.expression.contains("cgroup ")) {
            // Sockets change while one looks and then the other.
            let last =
                (0..4).map(|_| objection(lab.near(), line)).take_while(Option::is_some).last().flatten();
            let settled = last.is_none() || objection(lab.near(), line).is_none();
            if let (false, Some(why)) = (settled, last) {
                writeln!(wrong, "line {} {:?} {}: {why}", line.number, line.wanted, line.expression).unwrap();
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
    });
}

#[test]
fn the_corpus_is_large_and_every_line_is_read() {
    let lines = corpus(CORPUS);
    assert!(lines.len() >= 150);
    let texts: BTreeSet<_> = lines.iter().map(|l| l.expression).collect();
    assert_eq!(texts.len(), lines.len(), "an expression stands twice");
}
