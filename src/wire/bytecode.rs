//! `INET_DIAG_REQ_BYTECODE`: a condition as the program that the kernel runs on each socket of a dump
//! (`inet_diag_bc_run` and `inet_diag_bc_audit` in `net/ipv4/inet_diag.c`).
//!
//! An instruction is `{code: u8, yes: u8, no: u16}` and its operands. `yes` and `no` are distances in bytes from its
//! beginning; a socket is taken when the program ends exactly at its length, and left out when it goes four bytes beyond.
//! Here `yes` always leads to the next instruction, as the audit demands.

use crate::model::{Condition, Ip};

const JMP: u8 = 1;
const S_GE: u8 = 2;
const S_LE: u8 = 3;
const D_GE: u8 = 4;
const D_LE: u8 = 5;
const AUTO: u8 = 6;
const S_COND: u8 = 7;
const D_COND: u8 = 8;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Distances are 16 bits wide; so is the length of the attribute that carries the program.
const MAX_LEN: usize = 60_000;

/// The program of a condition; `None` when it would be too long for a request.
#[must_use]
pub fn program(condition: &Condition) -> Option<Vec<u8>> {
    let mut assembler = Assembler::default();
    let reject = assembler.label();
    assembler.emit(condition, reject)?;
    // Four bytes beyond the end is where the kernel says no.
    let end = assembler.code.len();
    assembler.place(reject, end + 4);
    assembler.finish()
}

/// A place in the program that may not be known yet.
#[derive(Clone, Copy)]
struct Label(usize);

#[derive(Default)]
struct Assembler {
    code: Vec<u8>,
    labels: Vec<usize>,
    /// Instructions whose `no` leads to a label: where they begin.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() - 1)
    }

    fn place(&mut self, label: Label, at: usize) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = at;
        }
    }

    /// Goes on behind itself where the condition holds, and to `no` where it does not.
    fn emit(&mut self, condition: &Condition, no: Label) -> Option<()> {
        if self.code.len() > MAX_LEN {
            return None;
        }
        match condition {
            Condition::All(all) => {
                for condition in all {
                    self.emit(condition, no)?;
                }
            }
            Condition::Any(any) => {
                let end = self.label();
                let (last, others) = any.split_last()?;
                for condition in others {
                    let next = self.label();
                    self.emit(condition, next)?;
                    self.jump(end);
                    self.place(next, self.code.len());
                }
                self.emit(last, no)?;
                self.place(end, self.code.len());
            }
            Condition::Not(inner) => {
                let holds_not = self.label();
                self.emit(inner, holds_not)?;
                self.jump(no);
                self.place(holds_not, self.code.len());
            }
            Condition::AtLeast(peer, port) => self.compare(if *peer { D_GE } else { S_GE }, *port, no),
            Condition::AtMost(peer, port) => self.compare(if *peer { D_LE } else { S_LE }, *port, no),
            Condition::At { peer, network, port } => {
                self.host(if *peer { D_COND } else { S_COND }, *network, *port, no);
            }
            Condition::Autobound => self.instruction(AUTO, &[], no),
        }
        Some(())
    }

    fn instruction(&mut self, code: u8, operands: &[u8], no: Label) {
        self.jumps.push((self.code.len(), no));
        let len = u8::try_from(4 + operands.len()).unwrap_or(u8::MAX);
        self.code.extend([code, len, 0, 0]);
        self.code.extend(operands);
    }

    /// `JMP` always takes `no`; its `yes` is only for the audit.
    fn jump(&mut self, to: Label) {
        self.instruction(JMP, &[], to);
    }

    /// The port is in the `no` of a second, empty instruction.
    fn compare(&mut self, code: u8, port: u16, no: Label) {
        let [a, b] = port.to_ne_bytes();
        self.instruction(code, &[0, 0, a, b], no);
    }

    /// `struct inet_diag_hostcond`: family, prefix length, two bytes of padding, port (-1 for any), address.
    fn host(&mut self, code: u8, network: Option<(Ip, u8, bool)>, port: Option<u16>, no: Label) {
        let (family, len) = match network {
            None => (AF_UNSPEC, 0),
            Some((_, len, false)) => (AF_INET, len),
            Some((_, len, true)) => (AF_INET6, len),
        };
        let mut operands = Vec::with_capacity(24);
        operands.extend([family, len, 0, 0]);
        operands.extend(port.map_or(-1, i32::from).to_ne_bytes());
        match network {
            None => {}
            Some((addr, _, false)) => operands.extend(addr.v4_bits().unwrap_or(0).to_be_bytes()),
            Some((addr, _, true)) => operands.extend(addr.octets()),
        }
        self.instruction(code, &operands, no);
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.code.len() > MAX_LEN {
            return None;
        }
        for (at, label) in &self.jumps {
            let to = self.labels.get(label.0)?;
            let distance = u16::try_from(to.checked_sub(*at)?).ok()?;
            self.code.get_mut(at + 2..at + 4)?.copy_from_slice(&distance.to_ne_bytes());
        }
        Some(self.code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the kernel's interpreter looks at.
    #[derive(Clone, Copy, Debug)]
    struct Entry {
        v6: bool,
        addr: [Ip; 2],
        port: [u16; 2],
        auto: bool,
    }

    /// `inet_diag_bc_audit`: every jump leads to an instruction on the way, or to one of the two ends.
    fn audit(code: &[u8]) -> bool {
        let starts: Vec<usize> = {
            let (mut at, mut starts) = (0, Vec::new());
            while at < code.len() {
                starts.push(at);
                at += usize::from(code[at + 1]);
            }
            if at != code.len() {
                return false;
            }
            starts
        };
        starts.iter().all(|at| {
            let no = usize::from(u16::from_ne_bytes([code[at + 2], code[at + 3]]));
            let to = at + no;
            no >= 4 && no % 4 == 0 && (starts.contains(&to) || to == code.len() || to == code.len() + 4)
        })
    }

    /// `inet_diag_bc_run`
    fn run(code: &[u8], e: &Entry) -> bool {
        let mut at = 0;
        while at < code.len() {
            let op = &code[at..];
            let peer = usize::from(matches!(op[0], D_GE | D_LE | D_COND));
            let yes = match op[0] {
                JMP => false,
                S_GE | D_GE => e.port[peer] >= u16::from_ne_bytes([op[6], op[7]]),
                S_LE | D_LE => e.port[peer] <= u16::from_ne_bytes([op[6], op[7]]),
                AUTO => e.auto,
                S_COND | D_COND => {
                    let port = i32::from_ne_bytes([op[8], op[9], op[10], op[11]]);
                    let len = u32::from(op[5]);
                    let bits = e.addr[peer].bits();
                    let same = |a: u128, b: u128, width: u32| len == 0 || (a ^ b) >> (width - len) == 0;
                    let place = match op[4] {
                        AF_INET => {
                            let wanted = u32::from_be_bytes([op[12], op[13], op[14], op[15]]);
                            e.addr[peer].v4_bits().is_some_and(|is| same(is.into(), wanted.into(), 32))
                        }
                        AF_INET6 => {
                            let wanted = u128::from_be_bytes(op[12..28].try_into().unwrap());
                            e.v6 && same(bits, wanted, 128)
                        }
                        _ => true,
                    };
                    place && (port == -1 || port == i32::from(e.port[peer]))
                }
                other => panic!("no instruction: {other}"),
            };
            at += if yes { usize::from(op[1]) } else { usize::from(u16::from_ne_bytes([op[2], op[3]])) };
        }
        at == code.len()
    }

    fn holds(c: &Condition, e: &Entry) -> bool {
        match c {
            Condition::All(all) => all.iter().all(|c| holds(c, e)),
            Condition::Any(any) => any.iter().any(|c| holds(c, e)),
            Condition::Not(inner) => !holds(inner, e),
            Condition::AtLeast(peer, port) => e.port[usize::from(*peer)] >= *port,
            Condition::AtMost(peer, port) => e.port[usize::from(*peer)] <= *port,
            Condition::Autobound => e.auto,
            Condition::At { peer, network, port } => {
                let peer = usize::from(*peer);
                port.is_none_or(|p| p == e.port[peer])
                    && network.is_none_or(|(addr, len, v6)| {
                        let is = e.addr[peer];
                        let bits = u32::from(len) + if v6 { 0 } else { 96 };
                        (!v6 || e.v6) && (is.bits() ^ addr.bits()).checked_shr(128 - bits).unwrap_or(0) == 0
                    })
            }
        }
    }

    fn conditions() -> impl Strategy<Value = Condition> {
        let leaf = prop_oneof![
            Just(Condition::Autobound),
            (any::<bool>(), 0u16..4).prop_map(|(peer, port)| Condition::AtLeast(peer, port)),
            (any::<bool>(), 0u16..4).prop_map(|(peer, port)| Condition::AtMost(peer, port)),
            (any::<bool>(), prop::option::of((0u8..3, 24u8..=32, any::<bool>())), prop::option::of(0u16..4))
                .prop_map(|(peer, network, port)| Condition::At {
                    peer,
                    // An IPv6 condition on a mapped address: 96 bits more.
                    network: network.map(|(d, len, v6)| (
                        Ip::from_v4_octets([10, 0, 0, d]),
                        if v6 { len + 96 } else { len },
                        v6
                    )),
                    port,
                }),
        ];
        leaf.prop_recursive(5, 30, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::All),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Any),
                inner.prop_map(|c| Condition::Not(Box::new(c))),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_program_decides_what_the_condition_says(
            condition in conditions(), v6: bool, auto: bool, a in 0u8..3, b in 0u8..3, s in 0u16..4, d in 0u16..4
        ) {
            let code = program(&condition).unwrap();
            prop_assert!(audit(&code), "{condition:?}: {code:?}");
            let addr = [a, b].map(|d| Ip::from_v4_octets([10, 0, 0, d]));
            let entry = Entry { v6, addr, port: [s, d], auto };
            prop_assert_eq!(run(&code, &entry), holds(&condition, &entry), "{:?}: {:?}", condition, code);
        }
    }

    #[test]
    fn a_port_is_laid_out_as_inet_diag_hostcond() {
        let code = program(&Condition::At { peer: true, network: None, port: Some(80) }).unwrap();
        let [a, b] = 16u16.to_ne_bytes();
        let mut expected = vec![D_COND, 12, a, b, 0, 0, 0, 0];
        expected.extend(80i32.to_ne_bytes());
        assert_eq!(code, expected);
    }

    #[test]
    fn what_is_too_long_for_a_request_is_not_asked() {
        let many = |n| Condition::Any(vec![Condition::Autobound; n]);
        assert!(program(&many(7_000)).is_some());
        assert_eq!(program(&many(20_000)), None);
    }
}
