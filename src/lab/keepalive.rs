//! Keepalive as it can be seen and as it can not.

use std::io::{self, Write};

use super::{Doing, Lab, Opt, Result, Specimen};
use crate::model::TcpState;

const PATIENT: Opt = Opt::Keepalive { idle: 300, interval: 30, count: 4 };

impl Lab {
    /// Open and idle with keepalive: its timer runs.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn keepalive_armed(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        self.call_out(far, &[PATIENT], &[])?.into_held(self, "keepalive_armed", TcpState::Established)
    }

    /// The peer vanished without a word and leaves the probes, one a second, unanswered.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn keepalive_unanswered(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        let call = self.call_out(far, &[Opt::Keepalive { idle: 1, interval: 1, count: 100 }], &[])?;
        self.cut(call.far_addr)?;
        call.into_held(self, "keepalive_unanswered", TcpState::Established)
    }

    /// Keepalive is on, but data is on the way to a peer that vanished: the retransmission timer hides it.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn keepalive_masked_by_retransmission(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        let mut call = self.call_out(far, &[PATIENT], &[])?;
        self.cut(call.far_addr)?;
        call.near.write_all(b"anybody there?").doing("sending")?;
        call.into_held(self, "keepalive_masked_by_retransmission", TcpState::Established)
    }

    /// Keepalive is on, but the peer does not read: the zero-window probe timer hides it.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn keepalive_masked_by_zero_window(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        let near_opts = [PATIENT, Opt::SendBuffer(64 << 10)];
        let mut call = self.call_out(far, &near_opts, &[Opt::ReceiveBuffer(4 << 10)])?;
        call.near.set_nonblocking(true).doing("sending")?;
        // Bounded by the send buffer.
        let full = loop {
            if let Err(e) = call.near.write_all(&[0; 4096]) {
                break e;
            }
        };
        if full.kind() != io::ErrorKind::WouldBlock {
            return Err(full).doing("sending");
        }
        call.into_held(self, "keepalive_masked_by_zero_window", TcpState::Established)
    }
}
