//! The language of ss(8): an expression that picks sockets.
//!
//! Every expression that `ss` takes means the same here; more words and freer spelling are added. Text becomes an
//! [`Expr`] in [`parse`], which prints back as text, and a [`Filter`] to be asked about rows. What the text means outside
//! itself (services, interfaces, users, cgroups, hosts) is answered by a [`Lookup`], so that nothing here touches the
//! system.
//!
//! Where the two differ, it is by intent (each is a line of `tests/labs/filter.corpus`): `exclude all` is nothing here, and
//! everything to `ss`, which takes an empty choice of states for none made; `< 70000` holds for every port, while `ss` cuts the
//! number to 16 bits in its question to the kernel and compares with 70000 − 65536; `cgroup /` is the root of the hierarchy, not of the file system; `not` is the opposite of what
//! follows also before `autobound` and `src 0.0.0.0`, where `ss` answers both with no.
//!
//! What `ss` takes without a word and is hardly meant so (a port above 65535, `>= *`, `fwmark 42x`, `dst unix:/tmp/x`) is taken with a [`Note`].
//!
//! As in `ss`, `and` and `or` bind equally and from the left, whatever its manual page says (`misc/ssfilter.y`):
//! `a or b and c` is `(a or b) and c`. Printing puts parentheses wherever the two meet.

mod asked;
mod ast;
mod compile;
mod complete;
mod error;
mod fused;
mod lexer;
mod lookup;
mod narrow;
mod parser;
mod print;
mod scene;
#[cfg(test)]
mod tests;
mod to_ss;
mod value;
pub mod view;
mod words;

pub use ast::{Beyond, Expr, Field, Host, Is, Label, Network, Op, Place, Side, Word};
pub use compile::{Filter, Needs};
pub use complete::{Completion, complete};
pub use error::{FilterError, Note};
pub use lookup::{Lookup, Numbers};
pub use narrow::{Narrowed, Narrower};
pub use parser::{MAX_DEPTH, parse};
pub use scene::{Infos, Scene, Truth};
pub use to_ss::{SsCommand, to_ss};
pub use words::{keywords, state_words};
