//! Nothing is left of a lab, however it ends.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tcptop::lab::{Host, Lab};
use tcptop::sys::rtnl::{Rtnl, VethEnd};

use crate::harness::{lab, wait_for};

const PROBE: &str = "probe";
const CHILD: &str = "TCPTOP_LAB_CHILD";

/// Connects the calling thread's namespace with the lab's: the interface here goes when the namespace there does.
fn probe(lab: &Lab) {
    let mut here = Rtnl::open().unwrap();
    let (ours, theirs) =
        (VethEnd { name: PROBE, mac: [2, 0, 0, 0, 1, 1] }, VethEnd { name: PROBE, mac: [2, 0, 0, 0, 1, 2] });
    here.add_veth(ours, theirs, lab.near().namespace().as_fd()).unwrap();
}

fn has_probe(host: &Host) -> bool {
    host.run(|| Rtnl::open().unwrap().index(PROBE).is_ok()).unwrap()
}

fn wait_for_the_end(outside: &Host) {
    wait_for("end of the namespace", || {
        if has_probe(outside) { Err("it is still there".into()) } else { Ok(()) }
    });
}

fn named_namespaces() -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(" - nsfs ")).count()
}

#[test]
fn a_lab_ends_with_its_value_and_has_no_name_meanwhile() {
    lab(|| {
        let outside = Host::new().unwrap();
        let before = named_namespaces();
        let mut lab = Lab::new().unwrap();
        outside.run(|| probe(&lab)).unwrap();
        let specimen = lab.established().unwrap();
        assert_eq!(named_namespaces(), before);
        assert!(has_probe(&outside));
        drop((lab, specimen));
        wait_for_the_end(&outside);
    });
}

#[test]
fn a_lab_ends_with_a_panic() {
    lab(|| {
        let outside = Host::new().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut lab = Lab::new().unwrap();
            outside.run(|| probe(&lab)).unwrap();
            let _specimens = (lab.closing().unwrap(), lab.time_wait().unwrap());
            assert!(!has_probe(&outside), "on purpose");
        }));
        assert!(panicked.is_err());
        wait_for_the_end(&outside);
    });
}

#[test]
fn a_lab_ends_with_ctrl_c() {
    lab(|| {
        let outside = Host::new().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["cleanup::child_in_a_lab", "--exact", "--ignored", "--nocapture"]).env(CHILD, "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = outside.run(|| command.spawn()).unwrap().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("child is ready")), "the child ended early");
        assert!(has_probe(&outside));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert!(!child.wait().unwrap().success());
        wait_for_the_end(&outside);
    });
}

#[test]
#[ignore = "the child of another test, which sends it SIGINT"]
fn child_in_a_lab() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut lab = Lab::new().unwrap();
    probe(&lab);
    let _specimens = (lab.fin_wait1_held().unwrap(), lab.keepalive_unanswered().unwrap());
    println!("child is ready");
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    panic!("the parent went without a signal");
}
