//! What comes in: requests of devices and platforms, and the messages of sources that are dialled; read by their adapter,
//! kept, and only then answered.
//!
//! **Invariant:** inbound and dispatch meet only at the spool.

mod admission;
mod body;
mod conflicts;
mod converse;
mod cut;
mod decode;
mod dialled;
mod earlier;
mod endpoints;
mod images;
mod junk;
mod keep;
mod kept;
mod metrics;
mod path;
mod places;
mod progress;
mod receive;
mod refusals;
mod server;
mod terminals;
mod turned_away;
mod unpack;
mod wire;

pub use admission::Admission;
pub(crate) use admission::bearer;
pub(crate) use converse::Api;
pub(crate) use dialled::{Source, SourceState, SourceStatus, Sources, Status, Target};
pub(crate) use endpoints::{Endpoint, Endpoints};
pub use keep::{Inbound, Intake};
pub use kept::Kept;
pub use progress::RequestBody;
pub use receive::Receiver;
pub use server::{Certificates, Listener, ServerLimits, serve};
pub(crate) use terminals::{Terminal, TerminalState, Terminals};
pub(crate) use turned_away::TurnedAway;
