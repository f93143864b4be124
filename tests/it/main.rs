//! The command line end to end, on whatever sockets this machine has and a few that the tests make on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test, helpers included")]

mod arguments;
mod check;
mod config;
mod explain;
mod facts;
mod filter;
mod lab;
mod list;
mod report;
mod schema;

use std::net::{TcpListener, TcpStream};

use assert_cmd::Command;

/// The program, without what the environment says about colours, and without the user's file.
fn tcptop(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcptop"));
    command.args(args).env_remove("NO_COLOR").env("COLUMNS", "100").env("XDG_CONFIG_HOME", "/nonexistent");
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// What the program prints when all goes well.
fn stdout(args: &[&str]) -> String {
    let done = tcptop(args).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).expect("UTF-8")
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(args)).expect("JSON")
}

/// A listener on loopback with one accepted connection, open at both ends.
struct Pair {
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new(addr: &str) -> Self {
        let listener = TcpListener::bind((addr, 0)).expect("a loopback port");
        let client = TcpStream::connect(listener.local_addr().unwrap()).expect("a connection");
        let (server, _) = listener.accept().expect("the connection");
        Self { listener, client, server }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn client_port(&self) -> u16 {
        self.client.local_addr().unwrap().port()
    }
}
