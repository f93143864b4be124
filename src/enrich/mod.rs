//! What the kernel's numbers are called: names of addresses and of services.
//!
//! Asking for the name of an address can take as long as a name server that does not answer, so it happens on a few threads
//! of its own, and whoever wants names takes those that have come. The C library asks (`getnameinfo`) and not a resolver of
//! our own: its answer is the machine's, out of `/etc/hosts`, DNS, mDNS or LDAP as `nsswitch.conf` says. A call cannot be
//! given up; a thread that hangs in one costs its place among the few and nothing else.
//!
//! Everything is bounded: see the constants of [`hosts`].

pub mod hosts;

pub use hosts::{Resolver, service_names};
