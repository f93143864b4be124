//! Connections being made, made, and not yet taken.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use super::{
    Doing, Lab, NEAR_V4, NEAR_V6, Opt, Result, Specimen, accept, bind, connect, listen, start_connect,
};
use crate::model::TcpState;

const LISTENING: &str = "listening";
const CONNECTING: &str = "connecting";

impl Lab {
    /// A listener on the near host.
    fn near_listener(
        &mut self,
        addr: IpAddr,
        backlog: i32,
        opts: &[Opt],
    ) -> Result<(TcpListener, SocketAddr)> {
        let service = self.near_service(addr);
        let listener = self.near().run(|| listen(service, backlog, opts))?.doing(LISTENING)?;
        Ok((listener, service))
    }

    /// A far host's finished connection to a near service.
    pub(super) fn call_in(&self, from: IpAddr, service: SocketAddr) -> Result<TcpStream> {
        let from = SocketAddr::new(from, 0);
        self.far().run(|| connect(Some(from), service, &[]))?.doing(CONNECTING)
    }

    /// A listener that nobody has called.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn listening(&mut self) -> Result<Specimen> {
        let (listener, _) = self.near_listener(NEAR_V4.into(), 128, &[])?;
        Specimen::held("listening", TcpState::Listen, listener, None, vec![])
    }

    /// A listener for both families.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn listening_dual(&mut self) -> Result<Specimen> {
        let (listener, _) = self.near_listener(Ipv6Addr::UNSPECIFIED.into(), 64, &[Opt::V6Only(false)])?;
        Specimen::held("listening_dual", TcpState::Listen, listener, None, vec![])
    }

    /// A listener for IPv6 alone.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn listening_v6only(&mut self) -> Result<Specimen> {
        let (listener, _) = self.near_listener(Ipv6Addr::UNSPECIFIED.into(), 32, &[Opt::V6Only(true)])?;
        Specimen::held("listening_v6only", TcpState::Listen, listener, None, vec![])
    }

    /// Bound to a port, neither listening nor connected.
    ///
    /// # Errors
    /// The port could not be had.
    pub fn bound_inactive(&mut self) -> Result<Specimen> {
        let service = self.near_service(NEAR_V4.into());
        let socket = self.near().run(|| bind(service, &[]))?.doing("binding")?;
        Specimen::held("bound_inactive", TcpState::BoundInactive, socket, None, vec![])
    }

    /// A call into a black hole.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn syn_sent(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        self.cut(far)?;
        let to = SocketAddr::new(far, 7);
        let socket = self.near().run(|| start_connect(None, to, &[]))?.doing(CONNECTING)?;
        Specimen::held("syn_sent", TcpState::SynSent, socket, Some(to), vec![])?.settled(self)
    }

    /// A call from a peer that our SYN-ACKs never reach.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn syn_recv(&mut self) -> Result<Specimen> {
        let (listener, service) = self.near_listener(NEAR_V4.into(), 16, &[])?;
        let far = self.far_v4()?;
        self.cut(far)?;
        let caller = self
            .far()
            .run(|| start_connect(Some(SocketAddr::new(far, 0)), service, &[]))?
            .doing(CONNECTING)?;
        let ends = (service, caller.local_addr().doing(CONNECTING)?);
        let kept = vec![listener.into(), caller.into()];
        Specimen::without_owner("syn_recv", TcpState::SynRecv, ends, kept)?.settled(self)
    }

    /// Open, idle, no keepalive.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn established(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        self.call_out(far, &[], &[])?.into_held(self, "established", TcpState::Established)
    }

    /// The same over IPv6.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn established_v6(&mut self) -> Result<Specimen> {
        let far = self.far_v6()?;
        self.call_out(far, &[], &[])?.into_held(self, "established_v6", TcpState::Established)
    }

    /// The same with a firewall mark.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn marked(&mut self) -> Result<Specimen> {
        let far = self.far_v4()?;
        self.call_out(far, &[Opt::Mark(0x2a)], &[])?.into_held(self, "marked", TcpState::Established)
    }

    /// IPv4 on an IPv6 socket: a dual-stack service that was called over IPv4.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn mapped(&mut self) -> Result<Specimen> {
        let (listener, any) = self.near_listener(Ipv6Addr::UNSPECIFIED.into(), 16, &[Opt::V6Only(false)])?;
        let far = self.far_v4()?;
        let caller = self.call_in(far, SocketAddr::new(NEAR_V4.into(), any.port()))?;
        let socket = accept(&listener).doing("accepting")?;
        let peer = socket.peer_addr().doing("accepting")?;
        let kept = vec![listener.into(), caller.into()];
        Specimen::held("mapped", TcpState::Established, socket, Some(peer), kept)?.settled(self)
    }

    /// Connected to itself: one socket that is both ends, with keepalive, which never starts on such a one.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn connected_to_itself(&mut self) -> Result<Specimen> {
        let own = self.near_service(NEAR_V4.into());
        let opts = [Opt::Keepalive { idle: 300, interval: 30, count: 4 }];
        let socket = self.near().run(|| connect(Some(own), own, &opts))?.doing(CONNECTING)?;
        Specimen::held("connected_to_itself", TcpState::Established, socket, Some(own), vec![])?.settled(self)
    }

    /// Finished its handshake and waits for `accept()`.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn unaccepted(&mut self) -> Result<Specimen> {
        let (listener, service) = self.near_listener(NEAR_V6.into(), 16, &[])?;
        let far = self.far_v6()?;
        let caller = self.call_in(far, service)?;
        let ends = (service, caller.local_addr().doing(CONNECTING)?);
        let kept = vec![listener.into(), caller.into()];
        Specimen::without_owner("unaccepted", TcpState::Established, ends, kept)?.settled(self)
    }

    /// The same, and the caller has hung up meanwhile.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn unaccepted_close_wait(&mut self) -> Result<Specimen> {
        let (listener, service) = self.near_listener(NEAR_V4.into(), 16, &[])?;
        let far = self.far_v4()?;
        let caller = self.call_in(far, service)?;
        let ends = (service, caller.local_addr().doing(CONNECTING)?);
        drop(caller);
        Specimen::without_owner("unaccepted_close_wait", TcpState::CloseWait, ends, vec![listener.into()])?
            .settled(self)
    }

    /// A listener whose accept queue is full: backlog 1, two connections in it, a third caller turned away.
    ///
    /// # Errors
    /// The state did not come about.
    pub fn accept_queue_full(&mut self) -> Result<Specimen> {
        let (listener, service) = self.near_listener(NEAR_V4.into(), 1, &[])?;
        let far = self.far_v4()?;
        let mut kept = vec![];
        for _ in 0..2 {
            kept.push(self.call_in(far, service)?.into());
        }
        let from = SocketAddr::new(far, 0);
        let third = self.far().run(|| start_connect(Some(from), service, &[]))?.doing(CONNECTING)?;
        kept.push(third.into());
        Specimen::held("accept_queue_full", TcpState::Listen, listener, None, kept)
    }
}
