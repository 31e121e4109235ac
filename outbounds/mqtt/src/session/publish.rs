//! What goes out on a connection, and in which order.

use tokio::time::Instant;

use super::{Job, Lost, Session};
use crate::flights::{Flight, Own, Purpose};
use crate::packet::{Publication, Publish};
use crate::pings::WAIT_MAX;
use crate::verdict;

impl Session<'_> {
    /// What Home Assistant must know of a device goes before its first message.
    pub(super) fn enqueue(&mut self, job: Job) {
        let announcements = self.own.announce(job.device, &job.publication);
        self.own_queue.extend(announcements);
        self.queue.push_back(job);
    }

    /// Publishes as much as the window has room for.
    pub(super) fn publish(&mut self) -> Result<(), Lost> {
        self.publish_own()?;
        while self.flights.len() < self.window && !self.is_held_back() {
            let Some(job) = self.queue.pop_front() else {
                return Ok(());
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
        Ok(())
    }

    fn is_held_back(&self) -> bool {
        let waits = self.pings.waits_until(Instant::now()).is_some();
        self.careful && (!self.own_queue.is_empty() || waits)
    }

    /// Announcements have a ping behind them, whose answer shows that the connection has outlived them.
    fn publish_own(&mut self) -> Result<(), Lost> {
        let now = Instant::now();
        let mut announced = false;
        if self.careful && self.flights.has_deliveries() {
            return Ok(());
        }
        while self.flights.len() < self.window {
            let Some((own, publication)) = self.own_queue.pop_front() else {
                break;
            };
            announced |= own == Own::Announcement;
            self.send(publication, self.own.qos(), own_flight(own, now));
        }
        if announced {
            self.protocol.ping(&mut self.output)?;
            self.pings.fenced(now);
        }
        Ok(())
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
                Purpose::Own(own) => self.refused(own),
            },
        }
    }

    pub(super) fn refused(&mut self, own: Own) {
        self.own.refused(own);
        self.own_queue.retain(|(queued, _)| *queued != own);
    }
}

pub(super) fn own_flight(own: Own, now: Instant) -> Flight {
    Flight {
        purpose: Purpose::Own(own),
        // So long it may take a place in the window without being confirmed.
        deadline: now + WAIT_MAX,
        sent: now,
    }
}
