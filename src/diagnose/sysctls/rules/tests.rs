use super::*;
use crate::diagnose::testing::{Bench, fired};
use crate::model::{InterfaceRpFilter, TcpState};
use crate::testkit;

fn bench(pairs: &[(&str, &str)]) -> Bench {
    let mut b = Bench::new();
    for (name, value) in pairs {
        b.set_sysctl(name, value);
    }
    b
}

fn found(rule: &mut dyn Rule, b: &mut Bench) -> Vec<(Severity, Subject)> {
    fired(&b.judge(rule)).into_iter().map(|d| (d.severity, d.subject)).collect()
}

fn sysctl(name: &str) -> Subject {
    Subject::Sysctl { name: name.into() }
}

fn evidence<'a>(draft: &'a Draft, name: &str) -> &'a Value {
    &draft.evidence.iter().find(|e| e.name == name).unwrap().value
}

#[test]
fn harmful_is_a_warning_doubtful_information_and_recycling_critical() {
    let fin = "net.ipv4.tcp_fin_timeout";
    let mut rule = Audited("sysctl-fin-timeout");
    assert_eq!(found(&mut rule, &mut bench(&[(fin, "5")])), [(Severity::Warning, sysctl(fin))]);
    assert_eq!(found(&mut rule, &mut bench(&[(fin, "90")])), [(Severity::Info, sysctl(fin))]);
    assert_eq!(bench(&[(fin, "60")]).judge(&mut rule), Verdict::Quiet);
    let recycle = "net.ipv4.tcp_tw_recycle";
    let mut rule = Audited(TW_RECYCLE);
    assert_eq!(found(&mut rule, &mut bench(&[(recycle, "1")])), [(Severity::Critical, sysctl(recycle))]);
}

#[test]
fn a_sysctl_that_this_kernel_or_namespace_does_not_have_is_not_examined() {
    let why = |rule| Bench::new().judge(&mut Audited(rule));
    let none = Verdict::NotExamined("this kernel has no net.ipv4.tcp_tw_recycle".into());
    assert_eq!(why(TW_RECYCLE), none);
    let hosts = "net.ipv4.tcp_max_orphans is the host's, and not shown in this namespace";
    assert_eq!(why("sysctl-max-orphans-low"), Verdict::NotExamined(hosts.into()));
    assert!(matches!(Bench::new().judge(&mut PortRange), Verdict::NotExamined(_)));
    assert!(matches!(Bench::new().judge(&mut RpFilter), Verdict::NotExamined(_)));
}

#[test]
fn the_value_and_this_kernels_own_are_the_evidence() {
    let mut b = bench(&[("net.core.somaxconn", "100")]);
    let drafts = fired(&b.judge(&mut Audited("sysctl-somaxconn-low")));
    assert_eq!(evidence(&drafts[0], "value"), &Value::Number(100));
    assert_eq!(evidence(&drafts[0], "default"), &Value::Number(4096));
}

#[test]
fn the_sysctls_of_one_rule_are_one_finding() {
    let prefix = "net.netfilter.nf_conntrack_tcp_timeout_";
    let (established, fin_wait) = (format!("{prefix}established"), format!("{prefix}fin_wait"));
    let mut b = bench(&[(&established, "5"), (&fin_wait, "2")]);
    let drafts = fired(&b.judge(&mut Audited("sysctl-conntrack-timeouts")));
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].subject, sysctl(&established));
    assert_eq!(evidence(&drafts[0], "also"), &Value::Text(format!("{fin_wait} = 2").as_str().into()));
}

#[test]
fn listeners_inside_the_range_are_information_and_a_warning_among_services() {
    let range = "net.ipv4.ip_local_port_range";
    let listening = |b: &mut Bench| b.rows = vec![testkit::socket(TcpState::Listen, "0.0.0.0:33060", "")];
    let mut b = bench(&[(range, "32768\t60999")]);
    assert_eq!(b.judge(&mut PortRange), Verdict::Quiet);
    listening(&mut b);
    let drafts = fired(&b.judge(&mut PortRange));
    assert_eq!((drafts[0].severity, drafts[0].variant), (Severity::Info, Some("listeners")));
    assert_eq!(evidence(&drafts[0], "ports"), &Value::Text("33060".into()));
    b.set_sysctl("net.ipv4.ip_local_reserved_ports", "33060-33061");
    assert_eq!(b.judge(&mut PortRange), Verdict::Quiet);
    let mut b = bench(&[(range, "1024\t65535")]);
    assert_eq!(found(&mut PortRange, &mut b), [(Severity::Info, sysctl(range))]);
    listening(&mut b);
    assert_eq!(found(&mut PortRange, &mut b), [(Severity::Warning, sysctl(range))]);
    assert!(matches!(bench(&[(range, "9 x")]).judge(&mut PortRange), Verdict::NotExamined(_)));
}

#[test]
fn a_filter_is_judged_as_it_is_in_force() {
    let all = "net.ipv4.conf.all.rp_filter";
    let with = |interfaces: &[(&str, u8)], value: &str| {
        let mut b = bench(&[(all, value)]);
        let filter =
            |(name, value): &(&str, u8)| InterfaceRpFilter { interface: (*name).into(), value: *value };
        b.facts.rp_filters = Reading::Known(interfaces.iter().map(filter).collect());
        fired(&b.judge(&mut RpFilter))
    };
    assert!(with(&[("lo", 1), ("eth0", 0)], "0").is_empty(), "loopback has one way");
    assert!(with(&[("eth0", 1), ("eth1", 2)], "2").is_empty(), "loose wins");
    assert!(with(&[("eth0", 0), ("eth1", 0)], "0").is_empty());
    let drafts = with(&[("eth0", 0), ("eth1", 1)], "0");
    assert_eq!((drafts[0].severity, &drafts[0].subject), (Severity::Info, &sysctl(all)));
    assert_eq!(evidence(&drafts[0], "strict_interfaces"), &Value::Text("eth1".into()));
    let mut b = bench(&[(all, "1")]);
    b.facts.rp_filters = Reading::Unreadable("no".into());
    assert_eq!(b.judge(&mut RpFilter), Verdict::NotExamined("no".into()));
}
