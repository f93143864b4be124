//! The options of a socket as JSON has them.

use serde::Serialize;

use crate::analysis::{forgotten_by, noticed_idle, noticed_sending};
use crate::model::{SocketOptions, SocketRow, Sysctls};

/// `keepalive_options` of a socket that was asked.
#[derive(Serialize)]
pub(super) struct KeepaliveOptions {
    enabled: bool,
    idle_s: u64,
    interval_s: u64,
    probes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_timeout_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linger_s: Option<u64>,
    /// Of a connection; a listener has no peer.
    #[serde(flatten)]
    silence: Option<Silence>,
}

#[derive(Serialize)]
struct Silence {
    /// Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    noticed_idle_s: Option<u64>,
    /// Null: `tcp_retries2` is not known.
    noticed_sending_ms: Option<u128>,
    forgotten_by: Vec<&'static str>,
}

impl KeepaliveOptions {
    pub(super) fn new(options: &SocketOptions, row: &SocketRow, sysctls: &Sysctls) -> Self {
        Self {
            enabled: options.keepalive,
            idle_s: options.idle.as_secs(),
            interval_s: options.interval.as_secs(),
            probes: options.probes,
            user_timeout_ms: options.user_timeout.map(|t| t.as_millis()),
            linger_s: options.linger.map(|t| t.as_secs()),
            silence: row.state.has_peer().then(|| Silence {
                noticed_idle_s: noticed_idle(options).map(|t| t.as_secs()),
                noticed_sending_ms: noticed_sending(options, sysctls).map(|t| t.as_millis()),
                forgotten_by: forgotten_by(options).map(|t| t.of).collect(),
            }),
        }
    }
}
