//! Reads, and waiting for them to change (law 2).
//!
//! A read names the keys its answer is made of. Asked with an index that is not older than its own,
//! it waits for a touch of those keys, is evaluated again, and is answered only if its result differs;
//! at the end of its time it is evaluated once more, as fresh as was asked. An unchanged result then
//! keeps its index, so that writes to its neighbours do not move it.

use super::error::{Problem, Stop};
use super::params::ReadOptions;
use crate::answer::{Answer, Content};
use crate::aside::{Insists, Where, Wish};
use crate::call::Call;
use crate::kept::{Kept, KeptRead, ReadKey};
use crate::meters::Wake;
use bytes::Bytes;
use catalog::{Authorizer, View, Watch};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use model::{Index, Tenant};
use seams::{Consistency, Marks, ReadError, Reader};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// What a read sees.
pub struct Scene<'c> {
    /// The catalog at one index.
    pub view: &'c View,
    /// What the caller may see of it.
    pub auth: &'c Authorizer,
    /// What was asked.
    pub call: &'c Call,
}

impl Scene<'_> {
    /// Whose rows.
    pub fn tenant(&self) -> Tenant {
        self.auth.tenant()
    }

    /// What follows the route's prefix; refused with `Missing WHAT` where it is empty.
    pub fn name(&self, what: &str) -> Result<String, Problem> {
        match self.call.name() {
            name if name.is_empty() => Err(Problem::Bad(format!("Missing {what}"))),
            name => Ok(name),
        }
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its answer.
    pub body: Body,
    /// The index of its last change.
    pub index: Index,
    /// What to wait for.
    pub watches: Vec<Watch>,
    /// Whether rows were left out that the caller may not see.
    pub filtered: bool,
}

/// The answer of a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// 200 with JSON.
    Json(Bytes),
    /// 200 with a value as it is, which a browser must not take for a page.
    Raw(Bytes),
    /// 404 without a body; of keys with an index, for the rest without.
    Absent,
}

/// Tells the index of an answer without making it.
pub type IndexOf = fn(&Scene) -> Result<Index, Stop>;

/// A read as a row of the route table has it.
#[derive(Clone, Copy)]
pub struct ReadDoor {
    /// The read itself: no clock, no lock, no waiting.
    pub evaluate: fn(&Scene) -> Result<Found, Stop>,
    /// Which headers it has.
    pub family: Family,
    /// The index that it has in a view, for a read whose answer can be kept; such a read is decided by
    /// the view, the path, the parameters and the authorizer alone.
    pub index: Option<IndexOf>,
    /// It looks through much more than it tells, so that its size does not say what it costs: it
    /// always takes a turn.
    pub searches: bool,
}

/// Which headers the answers of a read have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Catalog and health: the consistency is told.
    Catalog,
    /// As above, and Consul has a cache for it; here every answer is fresh, and says whether it was
    /// asked for before if a cached one would have done.
    Cached,
    /// `health/service`: as above, and answered by Consul's streaming backend when it blocks, which
    /// knows no leader; clients see that, so it is kept.
    Streamed,
    /// Keys: an error tells no index.
    Kv,
    /// Everything else.
    Plain,
}

/// How often in a row something may be found missing and be obtained.
pub const MOST_HOLDS: usize = 8;

/// Answers a read, waiting if that is asked.
pub async fn answer(call: Box<Call>, door: &ReadDoor) -> Answer {
    let options = match ReadOptions::parse(&call) {
        Ok(options) => options,
        Err(problem) => return problem.answer(),
    };
    let mut asked = Asked { call, door, options, insists: Insists::No };
    let doors = match asked.call.doors() {
        Ok(doors) => doors,
        Err(problem) => return asked.failed(&problem),
    };
    match asked.wait(&*doors.reader).await {
        Ok(found) => asked.found(found, &*doors.reader),
        Err(problem) => asked.failed(&problem),
    }
}

/// Answers a read that needs neither wait nor ask anybody: one without an index, while the leader's
/// lease holds, whose answer is kept or was small when it was last seen.
/// Everything else comes back.
pub fn answer_at_once(call: Box<Call>, door: &ReadDoor) -> Result<Answer, Box<Call>> {
    let Ok(options) = ReadOptions::parse(&call) else { return Err(call) };
    if options.index > 0 {
        return Err(call);
    }
    let asked = Asked { call, door, options, insists: Insists::No };
    asked.answer_at_once().ok_or(asked.call)
}

/// What is kept of a result while its reader sleeps: not the result, which may be large.
struct Seen {
    print: u64,
    index: Index,
    watches: Vec<Watch>,
    /// The index of the view it was looked for in.
    at: Index,
}

impl Seen {
    fn of(found: Found, at: Index, kept: &Kept) -> Seen {
        let print = kept.print(&found.body);
        Seen { print, index: found.index, watches: found.watches, at }
    }

    fn is(&self, found: &Found, kept: &Kept) -> bool {
        kept.print(&found.body) == self.print
    }
}

/// How what is kept is looked for.
type Look = fn(&Kept, &ReadKey, &Marks, Index) -> Option<Arc<KeptRead>>;

struct Asked<'d> {
    call: Box<Call>,
    door: &'d ReadDoor,
    options: ReadOptions,
    /// Who has waited for a change is not told to come again because others wait.
    insists: Insists,
}

impl Asked<'_> {
    fn answer_at_once(&self) -> Option<Answer> {
        let (call, reader) = (&self.call, &*self.call.reached().ok()?.reader);
        let since = reader.marks().map_or(0, Marks::shown);
        let view = match self.options.consistency {
            None if self.options.most_behind.is_none() => reader.view(),
            Some(Consistency::Default) => reader.leased()?,
            _ => return None,
        };
        if let Some(found) = self.kept(&view, reader, Kept::read) {
            return Some(self.found(found, reader));
        }
        let auth = view.authorizer(&call.token);
        let wish = self.wish(&auth);
        let found = call.aside.evaluate_at_once(wish, || self.evaluate(&view))?.ok()?;
        self.keep(&found, &view, since);
        Some(self.found(found, reader))
    }

    async fn wait(&mut self, reader: &dyn Reader) -> Result<Found, Problem> {
        let (found, at) = self.look(reader).await?;
        if self.options.index == 0 || found.index.0 > self.options.index {
            return Ok(found);
        }
        self.insists = Insists::AWhile;
        self.call.request.waits();
        let seen = Seen::of(found, at, &self.call.kept);
        self.wait_on(reader, seen).await
    }

    async fn wait_on(&self, reader: &dyn Reader, mut seen: Seen) -> Result<Found, Problem> {
        let deadline = Instant::now() + self.options.wait + jitter(self.options.wait);
        let meters = &self.call.context.meters;
        let _waiting = meters.wait();
        loop {
            // Subscribe, look, sleep: so no change falls between. Where nothing was published since
            // the last look, that one will do.
            let subscription = reader.subscribe(&seen.watches);
            let mut looks = reader.view().index() != seen.at;
            loop {
                if looks {
                    let (now, at) = self.look(reader).await?;
                    if self.is_news(&seen, &now) {
                        meters.looked(Wake::Answered);
                        return Ok(now);
                    }
                    meters.looked(Wake::Nothing);
                    if self.note(&mut seen, now, at) {
                        break;
                    }
                }
                tokio::select! {
                    () = subscription.changed() => looks = true,
                    () = sleep_until(deadline) => return self.time_is_up(reader, &seen).await,
                    () = self.call.ending.cancelled() => return Err(ReadError::Stopped.into()),
                }
            }
        }
    }

    /// Notes what is needed of an unchanged result; whether something else is to be waited for.
    fn note(&self, seen: &mut Seen, now: Found, at: Index) -> bool {
        seen.at = at;
        // A key's index is that of its rows; elsewhere it may be a whole table's, which a neighbour
        // moves, and clients have seen Consul keep still then.
        if self.door.family == Family::Kv {
            seen.index = now.index;
        }
        let moved = now.watches != seen.watches;
        seen.watches = now.watches;
        moved
    }

    /// An index from the future is waited out: the client has seen another history.
    fn is_news(&self, seen: &Seen, now: &Found) -> bool {
        !seen.is(now, &self.call.kept) && now.index.0 >= self.options.index
    }

    /// The same result goes out with the index it has; a read that asks for a leader is
    /// not answered without one.
    async fn time_is_up(&self, reader: &dyn Reader, seen: &Seen) -> Result<Found, Problem> {
        self.call.context.meters.looked(Wake::TimedOut);
        let (now, _) = self.look(reader).await?;
        let index = if seen.is(&now, &self.call.kept) { seen.index } else { now.index };
        Ok(Found { index, ..now })
    }

    /// Evaluates the read on a view as fresh as was asked; the view's index with it.
    async fn look(&self, reader: &dyn Reader) -> Result<(Found, Index), Problem> {
        let since = reader.marks().map_or(0, Marks::shown);
        let is_behind = |most| reader.leadership().last_contact > most;
        let view = match self.options.consistency {
            None if self.options.most_behind.is_some_and(is_behind) => {
                reader.current(Consistency::Default).await?
            }
            None => reader.view(),
            Some(consistency) => reader.current(consistency).await?,
        };
        self.look_at(view, since, reader).await
    }

    /// The answer as it was kept, or evaluated on a view, obtaining what is not held there; `since`
    /// tells how many views were shown before that one was loaded.
    async fn look_at(
        &self,
        mut view: Arc<View>,
        since: u64,
        reader: &dyn Reader,
    ) -> Result<(Found, Index), Problem> {
        if let Some(found) = self.kept(&view, reader, Kept::read) {
            return Ok((found, view.index()));
        }
        let limit = self.call.context.settings.hold_limit;
        let aside = &self.call.aside;
        let mut held = 0;
        loop {
            let made = || self.kept(&view, reader, Kept::peek);
            let make = |place| self.make(place, &view, since, reader);
            let auth = view.authorizer(&self.call.token);
            let evaluation = aside.evaluate(self.wish(&auth), self.insists, made, make);
            let interest = match evaluation.await {
                Ok(found) => return Ok((found, view.index())),
                Err(Stop::Problem(problem)) => return Err(problem),
                Err(Stop::NotHeld(not_held)) => not_held.0,
            };
            held += 1;
            if held > MOST_HOLDS {
                return Err(ReadError::NotHeld(interest).into());
            }
            view = reader.hold(interest, limit).await?;
        }
    }

    /// Makes the answer and keeps it; or takes what somebody else made who asked the same meanwhile.
    fn make(
        &self,
        place: Where,
        view: &View,
        since: u64,
        reader: &dyn Reader,
    ) -> Result<Found, Stop> {
        let auth = view.authorizer(&self.call.token);
        // To wait for another's list would hold up whom this thread serves; what is small is sooner
        // made again.
        let has_others = place == Where::Aside && self.door.index.is_some();
        let _alone = has_others.then(|| self.call.kept.alone(&self.read_key(&auth)));
        if has_others && let Some(found) = self.kept(view, reader, Kept::peek) {
            return Ok(found);
        }
        let found = self.evaluate(view)?;
        self.keep(&found, view, since);
        Ok(found)
    }

    /// The answer as it was kept, if it is what this view says.
    fn kept(&self, view: &View, reader: &dyn Reader, look: Look) -> Option<Found> {
        let (index, marks) = (self.door.index?, reader.marks()?);
        let auth = view.authorizer(&self.call.token);
        let read = look(&self.call.kept, &self.read_key(&auth), marks, view.index())?;
        let index = index(&Scene { view, auth: &auth, call: &self.call }).ok()?;
        let (body, watches) = (Body::Json(read.body.clone()), read.watches.clone());
        Some(Found { body, index, watches, filtered: read.filtered })
    }

    /// Keeps what was found in a view for whoever asks the same.
    fn keep(&self, found: &Found, view: &View, since: u64) {
        let (Some(index), Body::Json(body)) = (self.door.index, &found.body) else { return };
        let auth = view.authorizer(&self.call.token);
        let told = index(&Scene { view, auth: &auth, call: &self.call });
        // Some parameters make another read of it, with an index of its own.
        if told.is_ok_and(|index| index == found.index) {
            let (body, watches) = (body.clone(), found.watches.clone());
            let at = view.index();
            let read = KeptRead { body, watches, filtered: found.filtered, since, at };
            self.call.kept.keep_read(&self.read_key(&auth), read);
        }
    }

    fn wish<'k>(&'k self, auth: &'k Authorizer) -> Wish<'k> {
        let below = self.call.query.has("recurse") || self.call.query.has("keys");
        let (class, path) = (self.call.class, self.call.request.head.uri.path());
        Wish { class, path, auth: Some(auth), below, always: self.door.searches }
    }

    fn read_key<'k>(&'k self, auth: &'k Authorizer) -> ReadKey<'k> {
        let Call { request, query, .. } = &*self.call;
        ReadKey { path: request.head.uri.path(), query, auth }
    }

    fn evaluate(&self, view: &View) -> Result<Found, Stop> {
        let auth = view.authorizer(&self.call.token);
        let scene = Scene { view, auth: &auth, call: &self.call };
        (self.door.evaluate)(&scene)
    }

    /// Whether Consul would answer this from its streaming backend.
    fn streams(&self) -> bool {
        self.door.family == Family::Streamed && (self.options.index > 0 || self.options.cached)
    }

    fn found(&self, found: Found, reader: &dyn Reader) -> Answer {
        if found.body == Body::Absent && self.door.family == Family::Plain {
            return Answer::new(StatusCode::NOT_FOUND, Content::Nothing);
        }
        let answer = match found.body {
            Body::Json(json) => Answer::new(StatusCode::OK, Content::Json(json)),
            Body::Raw(value) => Answer::new(StatusCode::OK, Content::Typed("text/plain", value))
                .with(name("x-content-type-options"), HeaderValue::from_static("nosniff"))
                .with(name("content-security-policy"), HeaderValue::from_static("sandbox")),
            Body::Absent => Answer::new(StatusCode::NOT_FOUND, Content::Nothing),
        };
        let mut answer = self.with_meta(answer, found.index, Some(reader));
        if matches!(self.door.family, Family::Catalog | Family::Cached | Family::Streamed) {
            let word = HeaderValue::from_static(self.options.word());
            answer = answer.with(CONSISTENCY, word);
        }
        if self.options.cached && matches!(self.door.family, Family::Cached | Family::Streamed) {
            answer = self.with_cache(answer);
        }
        if found.filtered && !self.call.token.is_anonymous() {
            let header = name("x-consul-results-filtered-by-acls");
            answer = answer.with(header, HeaderValue::from_static("true"));
        }
        answer
    }

    /// Says whether the same was asked for before. The answer is fresh all the same, and so suits
    /// every `Cache-Control`.
    fn with_cache(&self, answer: Answer) -> Answer {
        let Call { shared, request, query, token, .. } = &*self.call;
        match shared.recent.asked_before(request.head.uri.path(), query, token) {
            false => answer.with(name("x-cache"), HeaderValue::from_static("MISS")),
            true => answer
                .with(name("x-cache"), HeaderValue::from_static("HIT"))
                .with(name("age"), HeaderValue::from_static("0")),
        }
    }

    /// An error; most reads tell of an index even then, since clients look for one, and of no leader.
    fn failed(&self, problem: &Problem) -> Answer {
        self.call.context.meters.refused(problem);
        let tells = !matches!(self.door.family, Family::Streamed | Family::Kv);
        match problem {
            Problem::Bad(_) | Problem::Disabled(_) => problem.answer(),
            _ if tells => self.with_meta(problem.answer(), Index(1), None),
            _ => problem.answer(),
        }
    }

    fn with_meta(&self, answer: Answer, index: Index, reader: Option<&dyn Reader>) -> Answer {
        let (has_leader, contact) = reader.map_or((false, Duration::ZERO), Reader::contact);
        let known = has_leader && !self.streams();
        let backend = if self.streams() { "streaming" } else { "blocking-query" };
        let contact = match contact.as_millis() {
            0 => HeaderValue::from_static("0"),
            millis => HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)),
        };
        answer
            .with(INDEX, HeaderValue::from(index.0.max(1)))
            .with(KNOWN_LEADER, truth(known))
            .with(LAST_CONTACT, contact)
            .with(QUERY_BACKEND, HeaderValue::from_static(backend))
    }
}

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const QUERY_BACKEND: HeaderName = HeaderName::from_static("x-consul-query-backend");
const CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

fn truth(value: bool) -> HeaderValue {
    HeaderValue::from_static(if value { "true" } else { "false" })
}

/// Up to a sixteenth more, so that those who began together do not end together.
pub fn jitter(wait: Duration) -> Duration {
    let random = Uuid::new_v4().as_u64_pair().1 & 0xffff;
    wait / 16 * u32::try_from(random).unwrap_or(0) / 0x1_0000
}
