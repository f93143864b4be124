//! How a socket is written.

use std::mem::offset_of;

use super::program::{NOW, SOCKET, Walk};
use super::{LENGTH_AT, RECORD};
use crate::wire::bpf::Register::{R0, R1, R2, R8, R9, R10};
use crate::wire::bpf::Width::{Byte, Double, Half, Word};
use crate::wire::bpf::{Alu, Label, When};
use crate::wire::inet_diag::{DiagMsg, attribute};

// Where the fields of the message lie that is read again.
const FAMILY: i16 = place(offset_of!(DiagMsg, family));
const STATE: i16 = place(offset_of!(DiagMsg, state));
const TIMER: i16 = place(offset_of!(DiagMsg, timer));
const RETRANS: i16 = place(offset_of!(DiagMsg, retrans));
const SPORT: i16 = place(offset_of!(DiagMsg, local_port));
const DPORT: i16 = place(offset_of!(DiagMsg, peer_port));
const SRC: i16 = place(offset_of!(DiagMsg, local));
const DST: i16 = place(offset_of!(DiagMsg, peer));
const INTERFACE: i16 = place(offset_of!(DiagMsg, interface));
const COOKIE: i16 = place(offset_of!(DiagMsg, cookie));
const EXPIRES: i16 = place(offset_of!(DiagMsg, expires));
const RQUEUE: i16 = place(offset_of!(DiagMsg, recv_q));
const WQUEUE: i16 = place(offset_of!(DiagMsg, send_q));
const UID: i16 = place(offset_of!(DiagMsg, uid));
const INODE: i16 = place(offset_of!(DiagMsg, inode));
/// Where the attributes begin.
const ATTRIBUTES: i16 = place(size_of::<DiagMsg>());

/// An offset within a record, as an instruction has it.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a record has 128 bytes")]
const fn place(offset: usize) -> i16 {
    assert!(offset < RECORD, "it is in the record");
    offset as i16
}

const AF_INET6: i32 = 10;
/// `enum` in `include/net/tcp_states.h`.
const TCP_SYN_RECV: i32 = 3;
const TCP_TIME_WAIT: i32 = 6;
const TCP_NEW_SYN_RECV: i32 = 12;
/// `ICSK_TIME_*` in `include/net/inet_connection_sock.h`.
const TIME_RETRANS: i32 = 1;
const TIME_PROBE0: i32 = 3;
const TIME_LOSS_PROBE: i32 = 5;
const TIME_REO_TIMEOUT: i32 = 6;

impl Walk<'_> {
    /// Writes the socket whose address is kept as `SOCKET`, and which R9 is as `sock_common`, to the record R8.
    pub(super) fn record(&mut self) {
        let (l, types) = (self.layout, self.layout.types);
        let [time_wait, request, attributed, written] = [(); 4].map(|()| self.p.label());
        self.common();
        self.p.load(Byte, R1, R9, l.common.state);
        self.p.store(Byte, R8, STATE, R1);
        self.p.jump_if_number(When::Equal, R1, TCP_TIME_WAIT, time_wait);
        self.p.jump_if_number(When::Equal, R1, TCP_NEW_SYN_RECV, request);
        self.full(written);

        self.p.here(time_wait);
        self.mini(types.time_wait);
        self.p.load(Byte, R1, R9, l.tw_substate);
        self.p.store(Byte, R8, STATE, R1);
        self.p.store_number(Half, R8, TIMER, 3);
        self.p.load(Double, R1, R9, l.tw_expires);
        self.expires();
        self.p.load(Word, R1, R9, l.tw_mark);
        self.p.jump(attributed);

        self.p.here(request);
        self.mini(types.request);
        self.p.store_number(Byte, R8, STATE, TCP_SYN_RECV);
        self.running(1, l.num_retrans, l.rsk_expires);
        self.expires();
        self.p.load(Word, R1, R9, l.ir_mark);

        self.p.here(attributed);
        let mut at = ATTRIBUTES;
        if self.viewer.marks {
            at = self.attribute(at, attribute::MARK, 4);
            self.p.store(Word, R8, at - 4, R1);
        }
        self.p.store_number(Word, R8, LENGTH_AT, at.into());

        self.p.here(written);
        self.settle();
    }

    /// What every socket has (`inet_diag_msg_common_fill`).
    fn common(&mut self) {
        let c = self.layout.common;
        let [v6, addressed] = [(); 2].map(|()| self.p.label());
        self.p.load(Double, R1, R9, c.cookie);
        self.cookie();
        self.p.load(Half, R1, R9, c.num);
        self.p.half_to_network(R1);
        self.p.store(Half, R8, SPORT, R1);
        self.p.load(Half, R1, R9, c.dport);
        self.p.store(Half, R8, DPORT, R1);
        self.p.load(Word, R1, R9, c.interface);
        self.p.store(Word, R8, INTERFACE, R1);
        self.p.load(Half, R1, R9, c.family);
        self.p.store(Byte, R8, FAMILY, R1);
        self.p.jump_if_number(When::Equal, R1, AF_INET6, v6);
        self.p.load(Word, R1, R9, c.saddr);
        self.p.store(Word, R8, SRC, R1);
        self.p.load(Word, R1, R9, c.daddr);
        self.p.store(Word, R8, DST, R1);
        self.p.jump(addressed);
        self.p.here(v6);
        for (from, to) in [(c.v6_saddr, SRC), (c.v6_daddr, DST)] {
            for n in (0..16).step_by(4) {
                self.p.load(Word, R1, R9, from + n);
                self.p.store(Word, R8, to + n, R1);
            }
        }
        self.p.here(addressed);
    }

    /// Writes the cookie in R1. In the message it is not aligned to its size.
    fn cookie(&mut self) {
        self.p.store(Word, R8, COOKIE, R1);
        self.p.alu_number(Alu::Rsh, R1, 32);
        self.p.store(Word, R8, COOKIE + 4, R1);
    }

    /// R9 = the socket as a mini-socket of this type, which has no queues, no owner and no file.
    fn mini(&mut self, of: u32) {
        self.p.load(Double, R1, R10, SOCKET);
        self.cast(of);
        self.p.alu(Alu::Mov, R9, R0);
        for field in [RQUEUE, WQUEUE, UID, INODE] {
            self.p.store_number(Word, R8, field, 0);
        }
    }

    /// Writes the head of an attribute; returns where the next begins.
    fn attribute(&mut self, at: i16, kind: u16, payload: i16) -> i16 {
        self.p.store_number(Half, R8, at, (4 + payload).into());
        self.p.store_number(Half, R8, at + 2, kind.into());
        at + 4 + (payload + 3) / 4 * 4
    }

    /// A full socket (`inet_sk_diag_fill`), and on to `written`.
    fn full(&mut self, written: Label) {
        let f = self.layout.full;
        self.p.load(Double, R1, R10, SOCKET);
        self.cast(self.layout.types.full);
        self.p.alu(Alu::Mov, R9, R0);
        self.p.load(Word, R1, R9, f.uid);
        self.p.store(Word, R8, UID, R1);
        self.p.load(Double, R1, R9, f.inode);
        self.p.store(Word, R8, INODE, R1);
        self.queues();
        self.timer();

        let mut at = self.attribute(ATTRIBUTES, attribute::SHUTDOWN, 1);
        self.p.load(Byte, R1, R9, f.shutdown);
        self.p.store(Word, R8, at - 4, R1);
        if self.viewer.marks {
            at = self.attribute(at, attribute::MARK, 4);
            self.p.load(Word, R1, R9, f.mark);
            self.p.store(Word, R8, at - 4, R1);
        }
        at = self.attribute(at, attribute::CGROUP_ID, 8);
        self.p.load(Double, R1, R9, f.cgroup);
        self.p.load(Double, R1, R1, self.layout.cgroup_kn);
        self.p.load(Double, R1, R1, self.layout.kn_id);
        self.p.store(Word, R8, at - 8, R1);
        self.p.alu_number(Alu::Rsh, R1, 32);
        self.p.store(Word, R8, at - 4, R1);
        at = self.attribute(at, attribute::SOCKOPT, 2);
        self.p.load(Double, R1, R9, f.flags);
        self.p.alu_number(Alu::Rsh, R1, f.bind_no_port);
        self.p.alu_number(Alu::And, R1, 1);
        // The lowest bit of the second byte.
        self.p.alu_number(Alu::Lsh, R1, 8);
        self.p.store(Word, R8, at - 4, R1);
        self.p.store_number(Word, R8, LENGTH_AT, at.into());
        self.p.jump(written);
    }

    /// `tcp_diag_get_info`.
    fn queues(&mut self) {
        let f = self.layout.full;
        let ahead = self.p.label();
        self.p.load(Word, R1, R9, f.rcv_nxt);
        self.p.load(Word, R2, R9, f.copied_seq);
        self.p.subtract_words(R1, R2);
        self.p.store(Word, R8, RQUEUE, R1);
        self.p.load(Word, R2, R9, f.snd_una);
        self.p.jump_if_word(When::SignedAbove, R1, 0, ahead);
        self.p.store_number(Word, R8, RQUEUE, 0);
        self.p.here(ahead);
        self.p.load(Word, R1, R9, f.write_seq);
        self.p.subtract_words(R1, R2);
        self.p.store(Word, R8, WQUEUE, R1);
    }

    /// The timer that a dump tells: retransmission, then window probes, then keepalive.
    fn timer(&mut self) {
        let f = self.layout.full;
        let [retransmit, probe, expiring, none, told] = [(); 5].map(|()| self.p.label());
        self.p.load(Byte, R1, R9, f.pending);
        for kind in [TIME_RETRANS, TIME_LOSS_PROBE, TIME_REO_TIMEOUT] {
            self.p.jump_if_number(When::Equal, R1, kind, retransmit);
        }
        self.p.jump_if_number(When::Equal, R1, TIME_PROBE0, probe);
        self.p.load(Double, R1, R9, f.keepalive_pending);
        self.p.jump_if_number(When::Equal, R1, 0, none);
        self.running(2, f.probes_out, f.keepalive_expires);
        self.p.jump(expiring);

        self.p.here(none);
        self.p.store_number(Half, R8, TIMER, 0);
        self.p.store_number(Word, R8, EXPIRES, 0);
        self.p.jump(told);

        self.p.here(probe);
        self.running(4, f.probes_out, f.retransmit_expires);
        self.p.jump(expiring);

        self.p.here(retransmit);
        self.running(1, f.retransmits, f.retransmit_expires);

        self.p.here(expiring);
        self.expires();
        self.p.here(told);
    }

    /// Writes which timer runs and how often it has run out; R1 = the tick at which it does so next.
    fn running(&mut self, timer: i32, repeats: i16, expires: i16) {
        self.p.store_number(Byte, R8, TIMER, timer);
        self.p.load(Byte, R1, R9, repeats);
        self.p.store(Byte, R8, RETRANS, R1);
        self.p.load(Double, R1, R9, expires);
    }

    /// Writes how long it is until the tick in R1, in milliseconds (`jiffies_delta_to_msecs`): rounded up, 0 for the past.
    fn expires(&mut self) {
        let ahead = self.p.label();
        self.p.load(Double, R2, R10, NOW);
        self.p.alu(Alu::Sub, R1, R2);
        self.p.jump_if_number(When::SignedAbove, R1, 0, ahead);
        self.p.alu_number(Alu::Mov, R1, 0);
        self.p.here(ahead);
        let hz = self.viewer.hz.cast_signed();
        if 1000 % hz == 0 {
            self.p.alu_number(Alu::Mul, R1, 1000 / hz);
        } else {
            self.p.alu_number(Alu::Mul, R1, 1000);
            self.p.alu_number(Alu::Add, R1, hz - 1);
            self.p.alu_number(Alu::Div, R1, hz);
        }
        self.p.store(Word, R8, EXPIRES, R1);
    }

    /// Keeps the record. A socket whose memory became another's while it was read has another cookie now; without one it is
    /// asked for by its addresses.
    fn settle(&mut self) {
        let same = self.p.label();
        self.p.load(Double, R1, R10, SOCKET);
        self.word(R1, self.layout.common.cookie);
        self.p.load(Word, R2, R8, COOKIE + 4);
        self.p.alu_number(Alu::Lsh, R2, 32);
        self.p.load(Word, R0, R8, COOKIE);
        self.p.alu(Alu::Or, R2, R0);
        self.p.jump_if(When::Equal, R1, R2, same);
        self.p.alu_number(Alu::Mov, R1, 0);
        self.cookie();
        self.p.here(same);
    }
}
