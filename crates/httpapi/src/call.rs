//! One request on its way to its handler.

use crate::admission::Class;
use crate::aside::Aside;
use crate::consul::error::Problem;
use crate::context::Context;
use crate::events::Events;
use crate::kept::Kept;
use crate::recent::Recent;
use crate::target::Query;
use bytes::Bytes;
use catalog::{Authorizer, Command, Outcome, Reply, Token};
use http::HeaderValue;
use jiff::Timestamp;
use lang::filter::Filter;
use lang::json::Json;
use model::{Author, Door, Owner, Text};
use seams::{Doors, Proposal};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// What all requests of a face have in common.
pub struct Shared {
    /// What is behind the face.
    pub context: Context,
    /// Where large work is done.
    pub aside: Aside,
    /// The user events of this agent.
    pub events: Events,
    /// Since when this face answers.
    pub since: Timestamp,
    /// What was asked for with `cached` before.
    pub recent: Recent,
    /// What was rendered before.
    pub kept: Kept,
    /// Cancelled when the process ends, so that nothing waits on.
    pub ending: CancellationToken,
}

/// A request whose route is known.
pub struct Call {
    /// What it has in common with all others.
    pub shared: Arc<Shared>,
    /// Headers, peer and the body, unread.
    pub request: net::http::Request,
    /// How urgent it is.
    pub class: Class,
    /// The query string.
    pub query: Query,
    /// Its filter expression, once a read has compiled it; within, `None` if it has none.
    pub filter: OnceLock<Option<Filter>>,
    /// What follows the route's prefix, decoded; empty for routes without.
    pub rest: Vec<u8>,
    /// The secret sent along.
    pub token: Token,
    /// The request's id, as the header that tells it.
    pub id: HeaderValue,
}

impl Deref for Call {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Call {
    /// What follows the route's prefix, as text.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }

    /// The doors of the datacenter that `?dc` names, of this node's own without it.
    pub fn doors(&self) -> Result<Doors, Problem> {
        self.reached().cloned()
    }

    /// The same, for whoever does not outlive the call.
    pub fn reached(&self) -> Result<&Doors, Problem> {
        self.reach(self.query.given("dc").unwrap_or_default())
    }

    /// The doors of a datacenter; an empty name is this node's own.
    pub fn doors_of(&self, datacenter: &str) -> Result<Doors, Problem> {
        self.reach(datacenter).cloned()
    }

    fn reach(&self, datacenter: &str) -> Result<&Doors, Problem> {
        let datacenters = &self.context.datacenters;
        let doors = match datacenter {
            "" => Some(datacenters.here()),
            name => datacenters.doors(name),
        };
        doors.ok_or(Problem::NoPathToDatacenter)
    }

    /// What the token may do in the newest view of this node's own datacenter.
    pub fn authorizer(&self) -> Authorizer {
        self.context.datacenters.here().reader.view().authorizer(&self.token)
    }

    /// Who writes, if this call does.
    pub fn author(&self) -> Author {
        Author {
            actor: Text::new("anonymous"),
            door: Door::Http,
            remote: Text::from(self.request.peer.to_string()),
            request: Text::new(self.id.to_str().unwrap_or_default()),
        }
    }

    /// The whole body, of whatever size the server takes.
    pub async fn body(&mut self) -> Result<Bytes, Problem> {
        Ok(self.request.body(usize::MAX).await?)
    }

    /// The body as JSON.
    pub async fn json(&mut self) -> Result<Json, Problem> {
        let body = self.body().await?;
        lang::json::parse(&body).map_err(|error| Problem::Decode(error.to_string()))
    }

    /// Writes to a catalog, and says whether all conditions held; `prefix` stands before refusals.
    pub async fn write(
        &self,
        doors: &Doors,
        authorizer: &Authorizer,
        commands: Vec<Command>,
        prefix: &'static str,
    ) -> Result<bool, Problem> {
        match self.propose(doors, authorizer, commands).await? {
            Outcome::Done(replies) => Ok(!replies.contains(&Reply::ConditionFailed)),
            Outcome::Refused(refusal) => {
                Err(Problem::Refused { prefix, refusal: Box::new(refusal) })
            }
        }
    }

    /// Writes to a catalog, and says what became of it.
    pub async fn propose(
        &self,
        doors: &Doors,
        authorizer: &Authorizer,
        commands: Vec<Command>,
    ) -> Result<Outcome, Problem> {
        let proposal = Proposal {
            author: self.author(),
            owner: Owner::http(),
            claim: catalog::Claim::Explicit,
            tenant: authorizer.tenant(),
            request: None,
            commands,
        };
        Ok(doors.writer.propose(proposal).await?.outcome)
    }
}
