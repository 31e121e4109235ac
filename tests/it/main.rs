//! The gateway as a process, from outside: what was promised to those who run it and to those who live from its events.

mod admission;
mod check;
mod faults;
mod flow;
mod full;
mod harness;
mod privacy;
mod repair;
mod restart;
mod retry;
mod tidy;
