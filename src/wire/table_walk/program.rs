//! How the table is walked.

use super::layout::Layout;
use super::{BLOCK, HEAD_SHIFT, HEADS, RECORD_SHIFT, RECORDS_AT, RESERVE, ROOM, Viewer};
use crate::wire::bpf::Register::{self, R0, R1, R2, R6, R7, R8, R9, R10};
use crate::wire::bpf::Width::{Byte, Double, Word};
use crate::wire::bpf::{Alu, Label, Program, When};

/// Helpers by their numbers in `enum bpf_func_id` (`include/uapi/linux/bpf.h`).
const JIFFIES64: i32 = 118;
const GET_CURRENT_TASK_BTF: i32 = 158;

// What a run is told and tells, behind R6; the last three are the program's own.
const BUCKET: i16 = 0;
const BUCKETS: i16 = 8;
const SOCKETS: i16 = 16;
const STRAYED: i16 = 24;
const CUT: i16 = 32;
const NETNS: i16 = 40;
const SCANNED: i16 = 48;
const FOUND: i16 = 56;
const NTH: i16 = 64;

// What is kept on the stack, and does not change from round to round but as a whole.
const NET: i16 = -8;
const NEXT: i16 = -16;
pub(super) const NOW: i16 = -24;
const END: i16 = -32;
const TABLE: i16 = -40;
pub(super) const SOCKET: i16 = -48;
const NUMBER: i16 = -56;

/// Bytes of a cache line; where it is another number, a few loads more or less are done.
const LINE: i16 = 64;

/// The program, for a map with this descriptor whose only value is the buffer. `None` where it cannot be written.
#[must_use]
pub fn program(layout: &Layout, viewer: Viewer, map: i32) -> Option<Vec<u8>> {
    if cfg!(target_endian = "big") || viewer.hz == 0 {
        return None;
    }
    let mut walk = Walk { p: Program::default(), layout, viewer, map };
    walk.write();
    walk.p.finish()
}

pub(super) struct Walk<'a> {
    pub(super) p: Program,
    pub(super) layout: &'a Layout,
    pub(super) viewer: Viewer,
    map: i32,
}

impl Walk<'_> {
    /// R6 is what the run is told and tells, R7 a node, R8 a place in the buffer, R9 a socket.
    fn write(&mut self) {
        let [found, touched, cut, done] = [(); 4].map(|()| self.p.label());
        self.begin();
        self.find(found);
        self.p.here(found);
        self.touch(touched);
        self.p.here(touched);
        self.walk(cut, done);
        self.p.here(cut);
        self.count(CUT);
        self.p.here(done);
        self.p.call_kernel(self.layout.types.unlock);
        self.p.alu_number(Alu::Mov, R0, 0);
        self.p.exit();
    }

    /// Finds the table of the network namespace of the thread that runs the program.
    fn begin(&mut self) {
        let l = self.layout;
        self.p.alu(Alu::Mov, R6, R1);
        self.p.call(GET_CURRENT_TASK_BTF);
        self.p.alu(Alu::Mov, R9, R0);
        self.p.call(JIFFIES64);
        self.p.store(Double, R10, NOW, R0);
        self.p.call_kernel(l.types.lock);
        self.p.load(Double, R1, R9, l.nsproxy);
        self.p.load(Double, R1, R1, l.net_ns);
        self.p.store(Double, R10, NET, R1);
        self.p.load(Word, R2, R1, l.ns_inum);
        self.p.store(Double, R6, NETNS, R2);
        self.p.load(Double, R7, R1, l.hashinfo);
        self.p.load(Word, R1, R7, l.ehash_mask);
        self.p.alu_number(Alu::Add, R1, 1);
        // Whole blocks: the table has a power of two of buckets, and more than a block.
        self.p.alu_number(Alu::And, R1, !(i32::from(BLOCK) - 1));
        self.p.store(Double, R10, END, R1);
        self.p.store(Double, R6, BUCKETS, R1);
        self.p.alu(Alu::Mov, R1, R7);
        self.word(R1, l.ehash);
        self.p.store(Double, R10, TABLE, R1);
        self.p.load(Double, R1, R6, BUCKET);
        self.p.store(Double, R6, SCANNED, R1);
        self.p.store_number(Double, R6, SOCKETS, 0);
        self.p.store_number(Double, R6, FOUND, 0);
    }

    /// Finds chains until the table or the list of them is at its end.
    fn find(&mut self, found: Label) {
        let [blocks, occupied, empty] = [(); 3].map(|()| self.p.label());
        self.p.here(blocks);
        self.p.unless_too_long(found);
        self.p.load(Double, R1, R6, SCANNED);
        self.p.load(Double, R2, R10, END);
        self.p.jump_if(When::AtLeast, R1, R2, found);
        self.p.load(Double, R2, R6, FOUND);
        self.p.jump_if_number(When::Above, R2, HEADS - i32::from(BLOCK), found);
        self.p.alu_number(Alu::Lsh, R1, 3);
        self.p.load(Double, R7, R10, TABLE);
        self.p.alu(Alu::Add, R7, R1);
        // Of an empty chain the lowest bit of its head is set (include/linux/list_nulls.h).
        self.p.alu_number(Alu::Mov, R8, 1);
        for n in 0..BLOCK {
            self.p.alu(Alu::Mov, R1, R7);
            self.word(R1, 8 * n);
            self.p.alu(Alu::And, R8, R1);
        }
        self.p.jump_if_number(When::Equal, R8, 0, occupied);
        self.p.jump(empty);
        self.p.here(occupied);
        for n in 0..BLOCK {
            let next = self.p.label();
            self.p.alu(Alu::Mov, R1, R7);
            self.word(R9, 8 * n);
            self.p.jump_if_number(When::AnyBit, R9, 1, next);
            self.p.load(Double, R2, R6, FOUND);
            self.head(R2, next);
            self.p.store(Double, R8, 0, R9);
            self.p.load(Double, R1, R6, SCANNED);
            self.p.alu_number(Alu::Add, R1, n.into());
            self.p.store(Double, R8, 8, R1);
            self.count(FOUND);
            self.p.here(next);
        }
        self.p.here(empty);
        self.p.load(Double, R1, R6, SCANNED);
        self.p.alu_number(Alu::Add, R1, BLOCK.into());
        self.p.store(Double, R6, SCANNED, R1);
        self.p.jump(blocks);
    }

    /// R8 = the place in the list of chains with the number in a register, which is lost; elsewhere if there is none.
    fn head(&mut self, number: Register, none: Label) {
        self.p.jump_if_number(When::AtLeast, number, HEADS, none);
        self.p.map_value(R8, self.map, 0);
        self.p.alu_number(Alu::Lsh, number, HEAD_SHIFT);
        self.p.alu(Alu::Add, R8, number);
    }

    /// Loads every cache line that will be read of the first socket of each chain. A socket's memory is cold, and a processor
    /// waits for what many loads in a row want at once; in the walk it would wait for one after the other.
    fn touch(&mut self, touched: Label) {
        let (f, c) = (self.layout.full, self.layout.common);
        let again = self.p.label();
        self.p.store_number(Double, R6, NTH, 0);
        self.p.here(again);
        self.p.unless_too_long(touched);
        self.next_head(touched);
        self.p.alu_number(Alu::Sub, R7, c.node.into());
        self.p.alu(Alu::Mov, R1, R7);
        self.cast(self.layout.types.full);
        let fields = [
            (Byte, c.state),
            (Double, c.cookie),
            (Byte, f.shutdown),
            (Double, f.inode),
            (Double, f.cgroup),
            (Double, f.flags),
            (Byte, f.pending),
            (Double, f.keepalive_pending),
            (Word, f.rcv_nxt),
            (Word, f.copied_seq),
            (Word, f.write_seq),
            (Word, f.snd_una),
            (Word, f.uid),
        ];
        let mut lines = Vec::new();
        for (width, field) in fields {
            if !lines.contains(&(field / LINE)) {
                lines.push(field / LINE);
                self.p.load(width, R1, R0, field);
            }
        }
        self.p.jump(again);
    }

    /// R7 = the first node of the next chain, R1 the number of its bucket; elsewhere if there is none left.
    fn next_head(&mut self, none: Label) {
        self.p.load(Double, R1, R6, NTH);
        self.p.load(Double, R2, R6, FOUND);
        self.p.jump_if(When::AtLeast, R1, R2, none);
        self.p.alu(Alu::Mov, R2, R1);
        self.head(R2, none);
        self.p.alu_number(Alu::Add, R1, 1);
        self.p.store(Double, R6, NTH, R1);
        self.p.load(Double, R7, R8, 0);
        self.p.load(Double, R1, R8, 8);
    }

    /// Walks the chains. Where there may be no room for those of a whole block, the next run begins with it.
    fn walk(&mut self, cut: Label, done: Label) {
        let [chains, roomy, chain, next, ended, lost, all] = [(); 7].map(|()| self.p.label());
        self.p.store_number(Double, R6, NTH, 0);
        self.p.store_number(Double, R10, NUMBER, 0);
        self.p.here(chains);
        self.p.unless_too_long(cut);
        self.next_head(all);
        self.p.load(Double, R2, R10, NUMBER);
        self.p.store(Double, R10, NUMBER, R1);
        self.p.alu_number(Alu::And, R1, !(i32::from(BLOCK) - 1));
        self.p.alu_number(Alu::And, R2, !(i32::from(BLOCK) - 1));
        self.p.jump_if(When::Equal, R1, R2, chain);
        self.p.load(Double, R2, R6, SOCKETS);
        self.p.jump_if_number(When::AtLeast, R2, ROOM - RESERVE, roomy);

        self.p.here(chain);
        self.p.unless_too_long(cut);
        self.p.jump_if_number(When::AnyBit, R7, 1, ended);
        // What cannot be read is 0, and leads nowhere.
        self.p.jump_if_number(When::Equal, R7, 0, lost);
        self.socket(next, cut);
        self.p.here(next);
        self.p.load(Double, R7, R10, NEXT);
        self.p.jump(chain);

        // The end of a chain is the number of its bucket and a lowest bit.
        self.p.here(ended);
        self.p.alu_number(Alu::Rsh, R7, 1);
        self.p.load(Double, R1, R10, NUMBER);
        self.p.jump_if(When::Equal, R7, R1, chains);
        self.p.here(lost);
        self.count(STRAYED);
        self.p.jump(chains);

        self.p.here(all);
        self.p.load(Double, R1, R6, SCANNED);
        self.p.here(roomy);
        self.p.store(Double, R6, BUCKET, R1);
        self.p.jump(done);
    }

    /// Writes the socket of the node in R7, if it is one of the namespace; the next node is kept first.
    fn socket(&mut self, next: Label, cut: Label) {
        let (c, types) = (self.layout.common, self.layout.types);
        self.p.alu(Alu::Mov, R1, R7);
        self.word(R1, 0);
        self.p.store(Double, R10, NEXT, R1);
        self.p.alu_number(Alu::Sub, R7, c.node.into());
        self.p.store(Double, R10, SOCKET, R7);
        self.p.alu(Alu::Mov, R1, R7);
        self.cast(types.common);
        self.p.alu(Alu::Mov, R9, R0);
        self.p.load(Double, R1, R9, c.net);
        self.p.load(Double, R2, R10, NET);
        self.p.jump_if(When::NotEqual, R1, R2, next);
        self.p.load(Double, R2, R6, SOCKETS);
        self.p.jump_if_number(When::AtLeast, R2, ROOM, cut);
        self.p.map_value(R8, self.map, RECORDS_AT);
        self.p.alu_number(Alu::Lsh, R2, RECORD_SHIFT);
        self.p.alu(Alu::Add, R8, R2);
        self.record();
        self.count(SOCKETS);
    }

    /// `to` = the word at R1 and an offset, wherever that may be: what cannot be read is 0.
    pub(super) fn word(&mut self, to: Register, offset: i16) {
        if offset != 0 {
            self.p.alu_number(Alu::Add, R1, offset.into());
        }
        self.cast(self.layout.types.word);
        self.p.load(Double, to, R0, 0);
    }

    /// R0 = R1 as a structure of this type.
    pub(super) fn cast(&mut self, to: u32) {
        self.p.alu_number(Alu::Mov, R2, to.cast_signed());
        self.p.call_kernel(self.layout.types.cast);
    }

    fn count(&mut self, what: i16) {
        self.p.load(Double, R1, R6, what);
        self.p.alu_number(Alu::Add, R1, 1);
        self.p.store(Double, R6, what, R1);
    }
}
