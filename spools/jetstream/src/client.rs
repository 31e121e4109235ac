//! The servers, as this engine needs them. This is the one module that knows the client library, and each trap of library and
//! servers is handled here, in the file that its comment stands in.
//!
//! Only the library's core protocol is used: what it makes of JetStream, the key-value and object stores above all, reads
//! from replicas that lag.

mod ask;
mod connect;
mod failure;
mod get;
mod message;
mod publish;
mod request;
mod streams;
mod tail;

pub(crate) use ask::{Listener, Reply};
pub(crate) use connect::{Client, ask_servers};
pub(crate) use failure::Failure;
pub(crate) use message::{Headers, Kept, Outgoing};
pub(crate) use publish::pause;
pub(crate) use streams::{HEARD, Peers, StreamLook};
pub(crate) use tail::{Followed, Follower};
