//! Large work in turns, so that everybody else is served meanwhile.
//!
//! Evaluating, indenting or compressing an answer of megabytes takes as long as a thousand usual
//! requests. Such work waits for a turn (`admission`), of which there are fewer than threads. How large
//! a read is shows only once it is done, so a path's last size is remembered; of a path not seen lately,
//! its route's class decides.

use crate::admission::{Bounds, Class, Turns, Verdict};
use crate::answer::{Answer, Shown};
use crate::consul::blocking::{Body, Found};
use crate::consul::error::{Crowded, Problem, Stop};
use crate::dialects::Acting;
use catalog::Authorizer;
use foldhash::quality::RandomState;
use net::http::Response;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

/// From here on an answer is large.
const LARGE: usize = 256 << 10;

/// From here on a list needs a turn: hundreds of them at once are what everybody else would wait for.
const LONG_LIST: usize = 16 << 10;

/// How large a list is taken to be that was not seen lately.
const UNSEEN: usize = 1 << 20;

/// How many paths are remembered.
const SLOTS: usize = 4096;

/// How many requests of a class may wait for a turn; beyond, 503.
const MOST_WAITING: usize = 4096;

/// How many bytes of answers the requests of a class may wait to make; beyond, 503. It takes some
/// seconds to make so many.
const MOST_BACKLOG: usize = 512 << 20;

/// How long a request waits for a turn, whatever it did before; then 503.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns, and what is known of paths.
pub struct Aside {
    turns: Mutex<Turns<oneshot::Sender<()>>>,
    hasher: RandomState,
    /// The hashes of paths, each with the magnitude of its size in the lowest bits, found by another
    /// part of the hash.
    sizes: Box<[AtomicU64]>,
}

impl Default for Aside {
    fn default() -> Aside {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Aside::with(Bounds {
            turns: (threads - 1).max(1),
            waiting: MOST_WAITING,
            backlog: MOST_BACKLOG,
        })
    }
}

/// A read, as far as it decides whether it takes a turn.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'p> {
    /// Its route's.
    pub class: Class,
    /// What is read.
    pub path: &'p str,
    /// What the reader may see, where others may see more: a path has another size for them.
    pub auth: Option<&'p Authorizer>,
    /// What is read below the path is another thing, and a list.
    pub below: bool,
    /// It takes a turn however small its answer was: it looks through more than it tells.
    pub always: bool,
}

impl Wish<'_> {
    fn class(self) -> Class {
        if self.below { Class::Bulk } else { self.class }
    }

    /// What it will cost, if it needs a turn.
    fn cost(self, seen: &Seen<'_>) -> Option<usize> {
        match self.always {
            true => Some(seen.size().unwrap_or(UNSEEN)),
            false => cost(self.class(), seen),
        }
    }
}

/// Whether a request can be told to come again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insists {
    /// It can.
    No,
    /// It is halfway done, or waited long before: it is not refused because others wait, but waits for
    /// its turn no longer than they.
    AWhile,
    /// It has changed something, and that must be told: if its turn does not come, it goes on without.
    ToTheEnd,
}

/// Where a read is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// On a thread that serves others: it waits for nobody.
    AtOnce,
    /// With a turn, where others are not held up.
    Aside,
}

const UNKNOWN: u64 = 0;
/// These bits of a slot tell the size: its binary magnitude.
const MAGNITUDE: u64 = 63;

/// A place in `sizes`, and what was there.
struct Seen<'a> {
    slot: &'a AtomicU64,
    hash: u64,
    held: u64,
}

impl Seen<'_> {
    /// The size, about, if the path was seen lately.
    fn size(&self) -> Option<usize> {
        let known = self.held & !MAGNITUDE == self.hash && self.held != UNKNOWN;
        known.then(|| 1 << (self.held & MAGNITUDE))
    }

    fn note(&self, size: usize) {
        let now = self.hash | u64::from(size.max(1).ilog2());
        if now != self.held {
            self.slot.store(now, Ordering::Relaxed);
        }
    }
}

impl Aside {
    fn with(bounds: Bounds) -> Aside {
        Aside {
            turns: Mutex::new(Turns::new(bounds)),
            hasher: RandomState::default(),
            sizes: (0..SLOTS).map(|_| AtomicU64::new(UNKNOWN)).collect(),
        }
    }

    /// Evaluates a read, unless somebody else has `made` the same while its turn was waited for.
    ///
    /// The read is told whether it is evaluated [`Where::Aside`].
    pub async fn evaluate(
        &self,
        wish: Wish<'_>,
        insists: Insists,
        made: impl FnOnce() -> Option<Found>,
        read: impl FnOnce(Where) -> Result<Found, Stop>,
    ) -> Result<Found, Stop> {
        let seen = self.seen((wish.path, wish.below, wish.auth));
        let found = match wish.cost(&seen) {
            None => read(Where::AtOnce),
            Some(cost) => {
                let _turn = self.enter(wish.class(), cost, insists).await?;
                // Another thread for each of a thousand who wait for one answer would be memory.
                made().map_or_else(|| beside(|| read(Where::Aside)), Ok)
            }
        };
        if let Ok(found) = &found {
            seen.note(size(&found.body));
        }
        found
    }

    /// Evaluates a read at once, if it needs no turn.
    pub fn evaluate_at_once(
        &self,
        wish: Wish<'_>,
        read: impl FnOnce() -> Result<Found, Stop>,
    ) -> Option<Result<Found, Stop>> {
        let seen = self.seen((wish.path, wish.below, wish.auth));
        if wish.cost(&seen).is_some() {
            return None;
        }
        let found = read();
        if let Ok(found) = &found {
            seen.note(size(&found.body));
        }
        Some(found)
    }

    /// Has an answer made that is no read of a view.
    pub async fn act(&self, class: Class, path: &str, acting: Acting) -> Result<Answer, Problem> {
        let seen = self.seen((path, false, None));
        let answer = match cost(class, &seen) {
            None => acting.await?,
            Some(cost) => {
                let _turn = self.enter(class, cost, Insists::No).await?;
                match is_alone() {
                    true => acting.await?,
                    false => beside(|| Handle::current().block_on(acting))?,
                }
            }
        };
        seen.note(answer.size());
        Ok(answer)
    }

    /// Makes something whose size is known, about, before it is made.
    pub async fn make<T>(
        &self,
        class: Class,
        size: usize,
        insists: Insists,
        make: impl FnOnce() -> T,
    ) -> Result<T, Problem> {
        if size < large(class) {
            return Ok(make());
        }
        let _turn = self.enter(class, size, insists).await?;
        Ok(beside(make))
    }

    /// The turn to finish an answer in, if that needs one. It goes before what is not begun yet.
    pub async fn turn_to_finish(
        &self,
        answer: &Answer,
        shown: Shown,
        insists: Insists,
    ) -> Result<Option<Turn<'_>>, Problem> {
        match is_finished_soon(answer, shown) {
            true => Ok(None),
            false => self.enter(Class::Write, answer.size(), insists).await,
        }
    }

    /// What tells bytes from others, to remember the size of what they ask for.
    pub fn print(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    fn seen(&self, what: (&str, bool, Option<&Authorizer>)) -> Seen<'_> {
        // The bit keeps a hash from being `UNKNOWN`.
        let hash = (self.hasher.hash_one(what) | (MAGNITUDE + 1)) & !MAGNITUDE;
        let slot = &self.sizes[usize::try_from(hash >> 32).unwrap_or_default() % SLOTS];
        Seen { slot, hash, held: slot.load(Ordering::Relaxed) }
    }

    /// Waits for a turn; `None` for one who goes on without.
    async fn enter(
        &self,
        class: Class,
        cost: usize,
        insists: Insists,
    ) -> Result<Option<Turn<'_>>, Problem> {
        let (call, called) = oneshot::channel();
        let verdict = self.lock().ask(class, cost, insists != Insists::No, call);
        let number = match verdict {
            Verdict::Go => return Ok(Some(Turn(self))),
            Verdict::Refused => return Err(Problem::Crowded(Crowded::TooMany)),
            Verdict::Wait(number) => number,
        };
        let mut place = Place { aside: self, class, number, called, is_called: false };
        // The caller lives as long as this does.
        match tokio::time::timeout(PATIENCE, &mut place.called).await {
            Ok(_) => {
                place.is_called = true;
                Ok(Some(Turn(self)))
            }
            Err(_) if insists == Insists::ToTheEnd => Ok(None),
            Err(_) => Err(Problem::Crowded(Crowded::TooLong)),
        }
    }

    /// A panic elsewhere leaves the counts whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Turns<oneshot::Sender<()>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        let mut turns = self.lock();
        if let Some(call) = turns.give_back() {
            // Whoever waits leaves under this lock before it stops listening, so it hears this.
            let _ = call.send(());
        }
    }
}

/// A turn; dropped, the next in line has it.
pub struct Turn<'a>(&'a Aside);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in line, left by who gives up or goes away.
struct Place<'a> {
    aside: &'a Aside,
    class: Class,
    number: u64,
    called: oneshot::Receiver<()>,
    is_called: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let aside = self.aside;
        if self.is_called {
            return;
        }
        let waited = aside.lock().leave(self.class, self.number);
        if !waited {
            aside.give_back();
        }
    }
}

/// What a request will cost, if it needs a turn.
fn cost(class: Class, seen: &Seen<'_>) -> Option<usize> {
    match seen.size() {
        Some(size) => (size >= large(class)).then_some(size),
        None => (class == Class::Bulk).then_some(UNSEEN),
    }
}

/// From here on an answer needs a turn.
fn large(class: Class) -> usize {
    if class == Class::Bulk { LONG_LIST } else { LARGE }
}

/// Whether to finish an answer needs no turn.
pub fn is_finished_soon(answer: &Answer, shown: Shown) -> bool {
    answer.size() < LARGE || answer.is_finished(shown)
}

fn size(body: &Body) -> usize {
    match body {
        Body::Json(bytes) | Body::Raw(bytes) => bytes.len(),
        Body::Absent => 0,
    }
}

/// Finishes an answer, a large one while another thread serves who is served by this one.
pub fn finish(answer: Answer, shown: Shown) -> Response {
    match is_finished_soon(&answer, shown) {
        true => answer.finish(shown),
        false => beside(|| answer.finish(shown)),
    }
}

/// Does the work while another thread serves who is served by this one.
fn beside<T>(work: impl FnOnce() -> T) -> T {
    match is_alone() {
        true => work(),
        false => tokio::task::block_in_place(work),
    }
}

/// Whether there is no other thread.
fn is_alone() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn aside() -> Aside {
        Aside::with(Bounds { turns: 1, waiting: 1, backlog: 100 })
    }

    #[tokio::test]
    async fn a_turn_that_is_not_waited_for_any_more_goes_to_the_next() {
        let aside = aside();
        let first = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let mut context = Context::from_waker(Waker::noop());
        let mut gone = Box::pin(aside.enter(Class::Bulk, 1, Insists::No));
        assert!(gone.as_mut().poll(&mut context).is_pending());
        let crowded = aside.enter(Class::Bulk, 1, Insists::No).await;
        assert!(matches!(crowded, Err(Problem::Crowded(_))));
        let mut next = Box::pin(aside.enter(Class::Bulk, 1, Insists::AWhile));
        assert!(next.as_mut().poll(&mut context).is_pending());
        drop(first);
        // Called, and dropped before it could look.
        drop(gone);
        assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
        drop(next);
        assert!(aside.enter(Class::Bulk, 1, Insists::No).await.is_ok());
    }

    /// However long it waited for a change before: it is as many as there are blocked queries.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_turn_for_ever() {
        let aside = aside();
        let _first = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let _second = Box::pin(aside.enter(Class::Bulk, 1, Insists::No));
        for (insists, told) in [
            (Insists::No, Err(Problem::Crowded(Crowded::TooLong))),
            (Insists::AWhile, Err(Problem::Crowded(Crowded::TooLong))),
            (Insists::ToTheEnd, Ok(false)),
        ] {
            let began = tokio::time::Instant::now();
            let entering = aside.enter(Class::Read, 1, insists);
            let entered = tokio::time::timeout(2 * PATIENCE, entering).await.expect("an end");
            assert_eq!(entered.map(|turn| turn.is_some()), told, "{insists:?}");
            assert!(began.elapsed() >= PATIENCE, "{insists:?}");
        }
    }

    #[tokio::test]
    async fn only_who_can_be_told_to_come_again_is_refused_for_a_crowd() {
        let aside = aside();
        let _first = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let mut context = Context::from_waker(Waker::noop());
        let mut second = Box::pin(aside.enter(Class::Bulk, 1, Insists::No));
        assert!(second.as_mut().poll(&mut context).is_pending());
        for (insists, waits) in
            [(Insists::No, false), (Insists::AWhile, true), (Insists::ToTheEnd, true)]
        {
            let mut entering = Box::pin(aside.enter(Class::Bulk, 1, insists));
            assert_eq!(entering.as_mut().poll(&mut context).is_pending(), waits, "{insists:?}");
        }
    }

    #[tokio::test]
    async fn what_is_known_to_be_small_is_made_while_others_have_the_turns() {
        let aside = aside();
        let _first = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let mut context = Context::from_waker(Waker::noop());
        for (class, size, at_once) in [
            (Class::Bulk, LONG_LIST - 1, true),
            (Class::Bulk, LONG_LIST, false),
            (Class::Read, LARGE - 1, true),
            (Class::Write, LARGE - 1, true),
            (Class::Write, LARGE, false),
        ] {
            let mut making = Box::pin(aside.make(class, size, Insists::AWhile, || ()));
            let made = making.as_mut().poll(&mut context).is_ready();
            assert_eq!(made, at_once, "{class:?}, {size}");
        }
    }

    #[tokio::test]
    async fn what_looks_through_much_takes_a_turn_however_small_its_answer_was() {
        let aside = aside();
        let found = || {
            let body = Body::Json(bytes::Bytes::from_static(b"{}"));
            Ok(Found { body, index: model::Index(1), watches: Vec::new(), filtered: false })
        };
        let wish =
            Wish { class: Class::Bulk, path: "/why/x", auth: None, below: false, always: true };
        assert!(aside.evaluate(wish, Insists::No, || None, |_| found()).await.is_ok());
        assert_eq!(aside.seen((wish.path, false, None)).size(), Some(2), "its answer was small");
        assert!(aside.evaluate_at_once(wish, found).is_none());
        assert!(aside.evaluate_at_once(Wish { always: false, ..wish }, found).is_some());
        let turn = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let mut waiting = Box::pin(aside.evaluate(wish, Insists::No, || None, |_| found()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending(), "somebody has the turn");
        drop(turn);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test]
    async fn a_list_that_was_small_the_last_time_needs_no_turn() {
        let aside = aside();
        let _first = aside.enter(Class::Bulk, 1, Insists::No).await.ok();
        let act = |size: usize| {
            let answer = Answer::text(http::StatusCode::OK, vec![b'x'; size]);
            let acting: Acting = Box::pin(std::future::ready(Ok(answer)));
            let mut acting = Box::pin(aside.act(Class::Bulk, "/list", acting));
            acting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(!act(10), "not seen yet");
        aside.seen(("/list", false, None)).note(10);
        assert!(act(LONG_LIST), "small the last time");
        assert!(!act(10), "long the last time");
    }
}
