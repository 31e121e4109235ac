//! The gateway: wiring, servers, command line. It knows every other crate and is known by none.

pub mod admin;
pub mod api;
pub mod config;
pub mod dispatch;
pub mod gateway;
pub mod inbound;
pub mod link;
pub mod notify;
pub mod observe;
pub mod open;
pub mod process;
pub mod reload;
mod rhythm;
mod site;
pub mod visible;
