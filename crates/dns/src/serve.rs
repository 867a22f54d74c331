//! The fast loop: one pinned thread, one socket, two pointer loads a batch.

use crate::answer::{Channel, Fate};
use crate::meters::{Count, Tally};
use crate::responder::Responder;
use crate::slow::Job;
use net::udp::{Batch, Socket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Packets a system call.
const SLOTS: usize = 64;

/// Longer than any question that makes sense; longer ones are dropped and counted.
const LONGEST_QUESTION: usize = 4096;

/// The largest UDP payload there is. Pages are touched as answers grow.
const LONGEST_ANSWER: usize = 65_507;

/// What a thread needs.
pub(crate) struct Worker {
    pub responder: Responder,
    pub socket: Arc<Socket>,
    /// Which CPU, counted round.
    pub nth: usize,
    pub slow: mpsc::Sender<Job>,
    pub tally: Arc<Tally>,
    pub stop: Arc<AtomicBool>,
}

impl Worker {
    /// Answers until it is stopped.
    ///
    /// A thread that died would leave its socket behind, and with it its share of all questions;
    /// so a panic costs the batch that caused it and is logged and counted.
    pub fn run(mut self) {
        if let Err(error) = net::udp::pin_to_cpu(self.nth) {
            tracing::debug!(%error, "dns thread is not pinned");
        }
        while !self.stop.load(Ordering::Relaxed) {
            if catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
                self.tally.count(Count::Panics);
                tracing::error!("a dns thread panicked and goes on");
                self.responder.start_over();
            }
        }
    }

    fn serve(&mut self) {
        let mut batch = Batch::new(SLOTS, LONGEST_QUESTION, LONGEST_ANSWER);
        while !self.stop.load(Ordering::Relaxed) {
            match self.socket.receive(&mut batch) {
                Ok(0) => {}
                Ok(_) => self.answer(&mut batch),
                Err(error) => {
                    self.tally.count(Count::ReceiveErrors);
                    tracing::warn!(%error, "dns socket cannot be read");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn answer(&mut self, batch: &mut Batch) {
        let mut round = self.responder.round();
        for slot in 0..batch.received() {
            let (packet, out) = batch.exchange(slot);
            let Some(packet) = packet else {
                self.tally.count(Count::Oversized);
                continue;
            };
            match round.answer(Channel::Udp, packet, out) {
                Fate::Reply(reply) => {
                    self.tally.answered(&reply);
                    batch.reply(slot, reply.length);
                }
                Fate::Ignored => self.tally.count(Count::Ignored),
                Fate::Detour(reason) => {
                    self.tally.detoured(reason);
                    let packet = packet.into();
                    let job = Job { packet, peer: batch.peer(slot), socket: self.socket.clone() };
                    if self.slow.try_send(job).is_err() {
                        self.tally.count(Count::Shed);
                    }
                }
            }
        }
        let sent = self.socket.send(batch);
        if sent.dropped > 0 {
            self.tally.add(Count::Unsent, sent.dropped);
        }
    }
}
