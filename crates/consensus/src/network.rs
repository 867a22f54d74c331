//! The way to the other servers: none yet, so each of them is unreachable.
//!
//! This is the seam a transport goes into: openraft asks [`Peers`] for a client per server and sends
//! it votes, entries and snapshots. `pre_vote` and `transfer_leader` are written out, since their
//! defaults grant and fail silently.

use std::future::Future;
use std::io;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, BasicNode, OptionalSend};

use crate::types::{Snapshot, Types, Vote};

/// Makes clients for the other servers.
pub(crate) struct Peers;

/// A client for one server.
pub(crate) struct Peer {
    address: String,
}

impl Peer {
    fn unreachable<Rt: AsyncRuntime>(&self) -> Unreachable<Types<Rt>> {
        let problem = format!("no transport to {}", self.address);
        Unreachable::new(&io::Error::new(io::ErrorKind::NotConnected, problem))
    }
}

impl<Rt: AsyncRuntime> RaftNetworkFactory<Types<Rt>> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, _target: u64, node: &BasicNode) -> Peer {
        Peer { address: node.addr.clone() }
    }
}

type Rpc<Rt> = RPCError<Types<Rt>>;

impl<Rt: AsyncRuntime> RaftNetworkV2<Types<Rt>> for Peer {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types<Rt>>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<Rt>>, Rpc<Rt>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<Types<Rt>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types<Rt>>, Rpc<Rt>> {
        Err(self.unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _request: VoteRequest<Types<Rt>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types<Rt>>, Rpc<Rt>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<Rt>>, StreamingError<Types<Rt>>> {
        Err(self.unreachable().into())
    }

    async fn transfer_leader(
        &mut self,
        _request: TransferLeaderRequest<Types<Rt>>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<Rt>>, Rpc<Rt>> {
        Err(self.unreachable().into())
    }
}
