//! The language of ss(8): an expression that picks sockets.
//!
//! Every expression that `ss` takes means the same here; more words and freer spelling are added. Text becomes an
//! [`Expr`] in [`parse`], which prints back as text, and a [`Filter`] to be asked about rows. What the text means outside
//! itself (services, interfaces, users, cgroups, hosts) is answered by a [`Lookup`], so that nothing here touches the
//! system.
//!
//! As in `ss`, `and` and `or` bind equally and from the left, whatever its manual page says (`misc/ssfilter.y`):
//! `a or b and c` is `(a or b) and c`. Printing puts parentheses wherever the two meet.

mod asked;
mod ast;
mod compile;
mod complete;
mod error;
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
mod words;

pub use ast::{Expr, Field, Host, Is, Label, Network, Op, Place, Side, Word};
pub use compile::{Filter, Needs};
pub use complete::{Completion, complete};
pub use error::FilterError;
pub use lookup::{Lookup, Numbers};
pub use narrow::{Narrowed, Narrower};
pub use parser::{MAX_DEPTH, parse};
pub use scene::{Infos, Scene, Truth};
pub use to_ss::{SsCommand, to_ss};
pub use words::{keywords, state_words};
