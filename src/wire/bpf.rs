//! An assembler for the kernel's BPF machine (`Documentation/bpf/standardization/instruction-set.rst`).

/// A register. R1 to R5 are lost at every call (R3 to R5 are not needed here), R6 to R9 are kept, R10 is the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
}

/// Width of a load or store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

impl Width {
    const fn bits(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
            Self::Double => 0x18,
        }
    }
}

/// What is done with 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Mov = 0xb0,
}

/// When a jump is taken; 64 bits are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Equal = 0x10,
    Above = 0x20,
    AtLeast = 0x30,
    AnyBit = 0x40,
    NotEqual = 0x50,
    SignedAbove = 0x60,
}

/// A place in the program that may not be known yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A program that is being written.
#[derive(Default, Debug)]
pub struct Program {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
/// The second operand is a register.
const X: u8 = 0x08;

impl Program {
    fn push(&mut self, code: u8, to: Register, from: u8, offset: i16, immediate: i32) {
        // Fields of four bits; on a machine with the other byte order they lie the other way round.
        let registers =
            if cfg!(target_endian = "little") { to as u8 | from << 4 } else { (to as u8) << 4 | from };
        self.code.push(Instruction { code, registers, offset, immediate });
    }

    /// A place for later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Says that a place is here.
    pub fn here(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    /// `to = to OP from`.
    pub fn alu(&mut self, op: Alu, to: Register, from: Register) {
        self.push(ALU64 | X | op as u8, to, from as u8, 0, 0);
    }

    /// `to = to OP number`.
    pub fn alu_number(&mut self, op: Alu, to: Register, number: i32) {
        self.push(ALU64 | op as u8, to, 0, 0, number);
    }

    /// `to = to - from` in 32 bits, the upper half of `to` is cleared.
    pub fn subtract_words(&mut self, to: Register, from: Register) {
        self.push(ALU32 | X | Alu::Sub as u8, to, from as u8, 0, 0);
    }

    /// The lower 16 bits in network order, the rest cleared.
    pub fn half_to_network(&mut self, to: Register) {
        self.push(ALU32 | X | 0xd0, to, 0, 0, 16);
    }

    /// `to = *(from + offset)`.
    pub fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(0x61 | width.bits(), to, from as u8, offset, 0);
    }

    /// `*(to + offset) = from`.
    pub fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(0x63 | width.bits(), to, from as u8, offset, 0);
    }

    /// `*(to + offset) = number`.
    pub fn store_number(&mut self, width: Width, to: Register, offset: i16, number: i32) {
        self.push(0x62 | width.bits(), to, 0, offset, number);
    }

    fn leads_to(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
    }

    /// Goes on elsewhere.
    pub fn jump(&mut self, label: Label) {
        self.leads_to(label);
        self.push(JMP, Register::R0, 0, 0, 0);
    }

    /// Goes on elsewhere when a comparison with a register holds.
    pub fn jump_if(&mut self, when: When, left: Register, right: Register, label: Label) {
        self.leads_to(label);
        self.push(JMP | X | when as u8, left, right as u8, 0, 0);
    }

    /// Goes on elsewhere when a comparison with a number holds.
    pub fn jump_if_number(&mut self, when: When, left: Register, right: i32, label: Label) {
        self.leads_to(label);
        self.push(JMP | when as u8, left, 0, 0, right);
    }

    /// The same of the lower 32 bits.
    pub fn jump_if_word(&mut self, when: When, left: Register, right: i32, label: Label) {
        self.leads_to(label);
        self.push(JMP32 | when as u8, left, 0, 0, right);
    }

    /// Goes on elsewhere when the program has run for too long (`BPF_MAY_GOTO`, Linux 6.9): what bounds a loop.
    pub fn unless_too_long(&mut self, label: Label) {
        self.leads_to(label);
        self.push(JMP | 0xe0, Register::R0, 0, 0, 0);
    }

    /// Calls a helper by its number in `enum bpf_func_id`.
    pub fn call(&mut self, helper: i32) {
        self.push(JMP | 0x80, Register::R0, 0, 0, helper);
    }

    /// Calls a kernel function by its number in the kernel's BTF.
    pub fn call_kernel(&mut self, function: u32) {
        self.push(JMP | 0x80, Register::R0, 2, 0, function.cast_signed());
    }

    /// `to` = a place in the only value of the array map with this descriptor.
    pub fn map_value(&mut self, to: Register, map: i32, offset: i32) {
        self.push(0x18, to, 2, 0, map);
        self.push(0, Register::R0, 0, 0, offset);
    }

    /// Ends the program.
    pub fn exit(&mut self) {
        self.push(JMP | 0x90, Register::R0, 0, 0, 0);
    }

    /// The bytes of the program; `None` if a place was never set or is too far away.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        for (at, label) in &self.jumps {
            let target = (*self.labels.get(label.0)?)?;
            let distance = i64::try_from(target).ok()? - i64::try_from(*at).ok()? - 1;
            self.code.get_mut(*at)?.offset = i16::try_from(distance).ok()?;
        }
        let mut bytes = Vec::with_capacity(8 * self.code.len());
        for Instruction { code, registers, offset, immediate } in self.code {
            bytes.extend([code, registers]);
            bytes.extend(offset.to_ne_bytes());
            bytes.extend(immediate.to_ne_bytes());
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Register::{R0, R1, R2, R6, R10};
    use super::*;

    /// The bytes are those that LLVM's assembler gives for the instructions beside them.
    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_those_of_the_machine() {
        let mut p = Program::default();
        let (end, top) = (p.label(), p.label());
        p.here(top);
        p.alu(Alu::Mov, R6, R1); // r6 = r1
        p.alu_number(Alu::Lsh, R1, 7); // r1 <<= 7
        p.subtract_words(R1, R2); // w1 -= w2
        p.half_to_network(R1); // r1 = be16 r1
        p.load(Width::Half, R1, R6, 12); // r1 = *(u16 *)(r6 + 12)
        p.store(Width::Double, R10, -8, R1); // *(u64 *)(r10 - 8) = r1
        p.store_number(Width::Word, R6, 4, -2); // *(u32 *)(r6 + 4) = -2
        p.jump_if(When::NotEqual, R1, R2, end); // if r1 != r2 goto end
        p.jump_if_word(When::SignedAbove, R1, 0, end); // if w1 s> 0 goto end
        p.call(158); // call 158
        p.jump(top); // goto top
        p.here(end);
        p.alu_number(Alu::Mov, R0, 0); // r0 = 0
        p.exit(); // exit
        let want: [[u8; 8]; 13] = [
            [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
            [0x67, 0x01, 0, 0, 7, 0, 0, 0],
            [0x1c, 0x21, 0, 0, 0, 0, 0, 0],
            [0xdc, 0x01, 0, 0, 16, 0, 0, 0],
            [0x69, 0x61, 12, 0, 0, 0, 0, 0],
            [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0],
            [0x62, 0x06, 4, 0, 0xfe, 0xff, 0xff, 0xff],
            [0x5d, 0x21, 3, 0, 0, 0, 0, 0],
            [0x66, 0x01, 2, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 158, 0, 0, 0],
            [0x05, 0, 0xf5, 0xff, 0, 0, 0, 0],
            [0xb7, 0, 0, 0, 0, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(p.finish().unwrap(), want.concat());
    }

    #[test]
    fn a_place_that_was_never_set_is_no_program() {
        let mut p = Program::default();
        let nowhere = p.label();
        p.jump(nowhere);
        assert_eq!(p.finish(), None);
    }
}
