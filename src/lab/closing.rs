//! Connections on their way out.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::{Call, Doing, Lab, Opt, Result, Specimen};
use crate::model::TcpState;

const SHUTDOWN: &str = "shutting a connection down";

impl Lab {
    fn plain_call(&mut self) -> Result<Call> {
        let far = self.far_v4()?;
        self.call_out(far, &[], &[])
    }

    /// Our FIN is lost; the program still holds the socket.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn fin_wait1_held(&mut self) -> Result<Specimen> {
        let call = self.plain_call()?;
        self.cut(call.far_addr)?;
        call.near.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.into_held(self, "fin_wait1_held", TcpState::FinWait1)
    }

    /// Our FIN is lost, and the program has closed: an orphan.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn fin_wait1_orphan(&mut self) -> Result<Specimen> {
        let call = self.plain_call()?;
        self.cut(call.far_addr)?;
        call.into_closed(self, "fin_wait1_orphan", TcpState::FinWait1)
    }

    /// Closed here, not by the peer: a mini-socket for `tcp_fin_timeout`.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn fin_wait2_mini(&mut self) -> Result<Specimen> {
        self.plain_call()?.into_closed(self, "fin_wait2_mini", TcpState::FinWait2)
    }

    /// Closed here, not by the peer, with a wait beyond 60 s: a full orphan until the last 60 s.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn fin_wait2_orphan(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        let call = self.call_out(far, &[Opt::Linger2(119)], &[])?;
        call.into_closed(self, "fin_wait2_orphan", TcpState::FinWait2)
    }

    /// Shut down for writing and still held by the program: no timeout at all.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn fin_wait2_held(&mut self) -> Result<Specimen> {
        let call = self.plain_call()?;
        call.near.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.into_held(self, "fin_wait2_held", TcpState::FinWait2)
    }

    /// Closed by both, here first.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn time_wait(&mut self) -> Result<Specimen> {
        let Call { near, far, .. } = self.plain_call()?;
        let ends = (near.local_addr().doing(SHUTDOWN)?, near.peer_addr().doing(SHUTDOWN)?);
        drop(near);
        self.near().wait_for(ends.0, ends.1, TcpState::FinWait2)?;
        drop(far);
        Specimen::without_owner("time_wait", TcpState::TimeWait, ends, vec![])?.settled(self)
    }

    /// The peer closed; the program read the end of the stream and keeps the socket.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn close_wait_read(&mut self) -> Result<Specimen> {
        let mut call = self.plain_call()?;
        call.far.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.near.read_to_end(&mut Vec::new()).doing("reading to the end")?;
        call.into_held(self, "close_wait_read", TcpState::CloseWait)
    }

    /// The peer closed; the program has not looked.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn close_wait_unread_fin(&mut self) -> Result<Specimen> {
        let call = self.plain_call()?;
        call.far.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.into_held(self, "close_wait_unread_fin", TcpState::CloseWait)
    }

    /// The peer sent five bytes and closed; the program read nothing.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn close_wait_unread_data(&mut self) -> Result<Specimen> {
        let mut call = self.plain_call()?;
        call.far.write_all(b"hello").doing("sending")?;
        call.far.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.into_held(self, "close_wait_unread_data", TcpState::CloseWait)
    }

    /// The peer closed, then we did, and our FIN is lost.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn last_ack(&mut self) -> Result<Specimen> {
        let mut call = self.plain_call()?;
        call.far.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.near.read_to_end(&mut Vec::new()).doing("reading to the end")?;
        self.cut(call.far_addr)?;
        call.into_closed(self, "last_ack", TcpState::LastAck)
    }

    /// Both closed at once: the peer's FIN came before it could have seen ours, which is lost.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn closing(&mut self) -> Result<Specimen> {
        let call = self.plain_call()?;
        self.cut(call.far_addr)?;
        call.near.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.far.shutdown(Shutdown::Write).doing(SHUTDOWN)?;
        call.into_held(self, "closing", TcpState::Closing)
    }
}
