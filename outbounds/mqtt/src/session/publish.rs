//! What goes out on a connection, and in which order.

use tokio::time::Instant;

use super::Session;
use crate::flights::{Flight, Purpose};
use crate::greeting::WAIT_MAX;
use crate::packet::{Publication, Publish};
use crate::verdict;

impl Session<'_> {
    /// Publishes as much as the window has room for.
    pub(super) fn publish(&mut self) {
        while self.flights.len() < self.window {
            let Some(job) = self.queue.pop_front() else {
                break;
            };
            if job.reply.is_given_up() {
                continue;
            }
            let flight = Flight {
                purpose: Purpose::Delivery(job.reply),
                deadline: job.deadline,
                sent: Instant::now(),
            };
            self.send(job.publication, self.plan.qos, flight);
        }
        if self.queue.is_empty()
            && self.flights.len() < self.window
            && let Some(farewell) = self.farewell.take()
        {
            let flight = status_flight(Instant::now());
            self.send(farewell, self.own.qos(), flight);
        }
    }

    fn send(&mut self, publication: Publication, qos: u8, flight: Flight) {
        let id = if qos == 0 { 0 } else { self.flights.free_id() };
        let publish = Publish {
            publication,
            qos,
            id,
            bytes_max: self.packet_bytes_max,
        };
        match self.protocol.publish(publish, &mut self.output) {
            Ok(()) => {
                self.unflushed = true;
                self.flights.begin(id, qos, flight);
            }
            Err(_) => match flight.purpose {
                Purpose::Delivery(reply) => reply.send(verdict::buried("too-large")),
                Purpose::Status => self.own.refused(),
            },
        }
    }
}

pub(super) fn status_flight(now: Instant) -> Flight {
    Flight {
        purpose: Purpose::Status,
        // So long it may take a place in the window without being confirmed.
        deadline: now + WAIT_MAX,
        sent: now,
    }
}
