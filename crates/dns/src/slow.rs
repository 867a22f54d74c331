//! The slow path: what waits, and what is oddly shaped. The answer is the same function's.
//!
//! An odd message is read by the `domain` crate and made a plain question of. What the table does
//! not hold is asked from its datacenter's reader, and answered from a picture of that one thing.

use crate::answer::{self, Channel, Context, Detour, Fate, Reason, Reply};
use crate::encoded::{Encoder, Picture};
use crate::live::Settings;
use crate::meters::{Count, Tally};
use crate::pick::Scratch;
use crate::responder::now;
use crate::table::Table;
use crate::zone::Zone;
use catalog::{Held, NotHeld, View};
use dnswire::{HEADER, Question, Verdict, rcode};
use domain::base::Message;
use domain::base::rdata::ComposeRecordData;
use net::udp::{Peer, Socket};
use seams::Reader;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// A packet that took the detour.
pub(crate) struct Job {
    pub packet: Box<[u8]>,
    pub peer: Peer,
    pub socket: Arc<Socket>,
}

/// Answers with all the time there is.
pub(crate) struct Slow {
    pub settings: Arc<Settings>,
    pub table: Arc<Table>,
    pub own: Arc<dyn Reader>,
    /// Other datacenters, in the order of [`Zone::others`].
    pub others: Vec<(Encoder, Arc<dyn Reader>)>,
    pub hold: Duration,
    pub desks: Desks,
}

/// Scratch room and an answer's buffer, shared by all tasks: as many as ever worked at once.
#[derive(Debug, Default)]
pub(crate) struct Desks(Mutex<Vec<Desk>>);

#[derive(Debug)]
struct Desk {
    scratch: Scratch,
    out: Vec<u8>,
}

/// Desks kept for the next; more are made when more work at once.
const DESKS: usize = 16;

impl Desks {
    fn with<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let new = || Desk { scratch: Scratch::new(), out: vec![0; 1 << 16] };
        let mut desk = free.unwrap_or_else(new);
        let result = work(&mut desk);
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if desks.len() < DESKS {
            desks.push(desk);
        }
        result
    }
}

/// An answer to send.
pub(crate) type Answered = Option<(Reply, Vec<u8>)>;

/// What has to be fetched before there is an answer.
enum Missing {
    Service(String),
    Node(String),
}

impl Slow {
    /// Takes jobs until there are no more senders, `most` at a time.
    pub async fn run(
        self: Arc<Self>,
        mut jobs: mpsc::Receiver<Job>,
        most: usize,
        tally: Arc<Tally>,
    ) {
        let room = Arc::new(Semaphore::new(most));
        while let Some(job) = jobs.recv().await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (slow, tally) = (Arc::clone(&self), Arc::clone(&tally));
            tokio::spawn(async move {
                if let Some((reply, answer)) = slow.answer(Channel::Udp, &job.packet).await {
                    tally.answered(&reply);
                    if job.socket.send_to(&answer, &job.peer).is_err() {
                        tally.count(Count::Unsent);
                    }
                }
                drop(permit);
            });
        }
    }

    /// Answers at once where that is possible, as the hot path does.
    pub fn try_answer(&self, channel: Channel, packet: &[u8]) -> Result<Answered, Reason> {
        let picture = self.table.load();
        let zone = self.settings.load();
        let context = context(&zone, channel, &picture);
        self.desks.with(|desk| {
            match answer::packet(context, packet, &mut desk.out, &mut desk.scratch) {
                Fate::Reply(reply) => Ok(Some((reply, desk.out[..reply.length].to_vec()))),
                Fate::Ignored => Ok(None),
                Fate::Detour(reason) => Err(reason),
            }
        })
    }

    /// Answers a packet, whatever it takes; `None` where none is due.
    pub async fn answer(&self, channel: Channel, packet: &[u8]) -> Answered {
        let plain = match plain(packet) {
            Ok(plain) => plain,
            Err(code) => return refused(packet, code),
        };
        let question = match Question::parse(&plain) {
            Ok(question) => question,
            Err(Verdict::Refused(code)) => return refused(packet, code),
            Err(_) => return refused(packet, rcode::FORMERR),
        };
        // The table's picture is let go before anything is waited for.
        let composed = self.compose(channel, &self.table.load(), &question);
        let detour = match composed {
            Ok(answered) => return Some(answered),
            Err(detour) => detour,
        };
        let picture = match detour {
            Ok(missing) => self.obtain(&self.table.encoder(), &*self.own, missing).await,
            Err(other) => {
                let (encoder, reader) = &self.others[other];
                match self.compose(channel, &encoder.empty(), &question) {
                    Ok(answered) => return Some(answered),
                    Err(Ok(missing)) => self.obtain(encoder, &**reader, missing).await,
                    Err(Err(_)) => None,
                }
            }
        };
        let answered = picture.and_then(|picture| self.compose(channel, &picture, &question).ok());
        Some(answered.unwrap_or_else(|| self.fail(channel, &question)))
    }

    /// An answer from a picture, or what it lacks: something of its own, or a datacenter.
    fn compose(
        &self,
        channel: Channel,
        picture: &Picture,
        question: &Question<'_>,
    ) -> Result<(Reply, Vec<u8>), Result<Missing, usize>> {
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        self.desks.with(|desk| {
            let zone = self.settings.load();
            let context = context(&zone, channel, picture);
            match answer::question_into(context, question, &mut desk.out, &mut desk.scratch) {
                Ok(reply) => Ok((reply, desk.out[..reply.length].to_vec())),
                Err(Detour::Service(service)) => Err(Ok(Missing::Service(name(service)))),
                Err(Detour::Node(node)) => Err(Ok(Missing::Node(name(node)))),
                Err(Detour::Datacenter(other)) => Err(Err(other)),
            }
        })
    }

    fn fail(&self, channel: Channel, question: &Question<'_>) -> (Reply, Vec<u8>) {
        let picture = self.table.load();
        self.desks.with(|desk| {
            let zone = self.settings.load();
            let context = context(&zone, channel, &picture);
            let reply = answer::failure(context, question, &mut desk.out, &mut desk.scratch);
            (reply, desk.out[..reply.length].to_vec())
        })
    }

    /// A picture of what was missing; `None` when it did not come in time.
    async fn obtain(
        &self,
        encoder: &Encoder,
        reader: &dyn Reader,
        missing: Missing,
    ) -> Option<Picture> {
        let look = |view: &View| -> Held<Picture> {
            match &missing {
                Missing::Service(name) => encoder.one_service(view, name),
                Missing::Node(name) => encoder.one_node(view, name),
            }
        };
        let NotHeld(interest) = match look(&reader.view()) {
            Ok(picture) => return Some(picture),
            Err(not_held) => not_held,
        };
        let held = tokio::time::timeout(self.hold, reader.hold(interest, self.hold)).await;
        let view = held.ok()?.ok()?;
        look(&view).ok()
    }
}

fn context<'a>(zone: &'a Zone, channel: Channel, picture: &'a Picture) -> Context<'a> {
    Context { zone, picture, channel, now: now() }
}

fn refused(packet: &[u8], code: u8) -> Answered {
    let header = dnswire::refusal(packet, code)?;
    Some((Reply::refusal(header.len(), code), header.to_vec()))
}

/// The same question as a plain message: one question, uncompressed, and the OPT record if there
/// is one. Other records (a TSIG, say) are dropped, as Consul does; the error is a response code.
pub fn plain(packet: &[u8]) -> Result<Vec<u8>, u8> {
    let message = Message::from_octets(packet).map_err(|_| rcode::FORMERR)?;
    let question = message.sole_question().map_err(|_| rcode::FORMERR)?;
    if message.iter().any(|record| record.is_err()) {
        return Err(rcode::FORMERR);
    }
    let mut plain = packet[..HEADER].to_vec();
    plain[4..].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    for label in question.qname().iter() {
        plain.push(label.len() as u8);
        plain.extend_from_slice(label.as_slice());
    }
    plain.extend_from_slice(&question.qtype().to_int().to_be_bytes());
    plain.extend_from_slice(&question.qclass().to_int().to_be_bytes());
    if let Some(opt) = message.opt() {
        let length = u16::try_from(opt.opt().len()).map_err(|_| rcode::FORMERR)?;
        plain[HEADER - 1] = 1;
        plain.extend_from_slice(&[0, 0, dnswire::rtype::OPT as u8]);
        plain.extend_from_slice(&opt.udp_payload_size().to_be_bytes());
        plain.extend_from_slice(&[0, opt.version(), 0, 0]);
        plain.extend_from_slice(&length.to_be_bytes());
        opt.opt().compose_rdata(&mut plain).map_err(|_| rcode::FORMERR)?;
    }
    Ok(plain)
}
