//! The thread that closes sockets for the screen: it plans what is meant, and closes what was shown and confirmed.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::kill::{execute, session};
use super::mailbox::Mailbox;
use crate::analysis::World;
use crate::query::kill::{Allow, Listed, Meant, Plan, meant, plan};
use crate::query::kill::{Fate, Verdict};

/// Something for the closing thread. The one who orders waits for the answer before the next order.
#[derive(Clone, Debug)]
pub enum Order {
    /// Which sockets are these, and what would happen to them?
    Plan {
        /// Number of the order, growing.
        id: u64,
        /// Where they were seen.
        world: Arc<World>,
        /// Which are meant.
        meant: Vec<Meant>,
        /// What may be closed beside ordinary connections.
        allow: Allow,
    },
    /// Close them.
    Close {
        /// Number of the order.
        id: u64,
        /// What was shown and confirmed.
        plan: Arc<Plan>,
    },
}

/// What the closing thread has to say about an order.
#[derive(Clone, Debug)]
pub enum Answered {
    /// What would happen.
    Planned {
        /// Number of the order.
        id: u64,
        /// What would be closed.
        plan: Arc<Plan>,
        /// The same for people.
        listed: Arc<Listed<Verdict>>,
    },
    /// What has happened, or why nothing could.
    Closed {
        /// Number of the order.
        id: u64,
        /// What became of each.
        outcome: Result<Arc<Listed<Fate>>, String>,
    },
}

/// Carries out an order.
#[must_use]
pub fn carry_out(order: Order) -> Answered {
    match order {
        Order::Plan { id, world, meant: which, allow } => {
            let plan = plan(&world, &meant(&world, &which), &session(), allow);
            let listed = Arc::new(plan.listed());
            Answered::Planned { id, plan: Arc::new(plan), listed }
        }
        Order::Close { id, plan } => {
            let outcome = execute(&plan).map(|outcome| Arc::new(outcome.listed()));
            Answered::Closed {
                id,
                outcome: outcome.map_err(|e| format!("opening a socket to close others with: {e}")),
            }
        }
    }
}

/// Starts the thread. It ends when `orders` is closed; what it has begun to close it closes.
///
/// # Errors
/// When no thread can be made.
pub fn start(orders: Arc<Mailbox<Order>>, answers: Arc<Mailbox<Answered>>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("closer".into()).spawn(move || {
        while let Some(order) = orders.wait() {
            answers.post(carry_out(order));
        }
    })
}
