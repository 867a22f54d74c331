//! A whole server of the catalog, in memory and on disk.

use catalog::{
    Acl, Claim, Command, KvCondition, KvRowKey, KvWrite, NodeKey, Outcome, Touched, View,
};
use cluster::{Cluster, Options, ServerRow};
use model::{Author, KvKey, Node, Owner, Session, Tenant};
use seams::{Consistency, Projection, Proposal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

async fn start(data: Option<PathBuf>, projections: Vec<Arc<dyn Projection>>) -> Cluster {
    let node = Node { name: "n1".into(), address: "127.0.0.1".into(), ..Node::default() };
    let server = ServerRow { node, port: 8300, version: "1.22.0".into() };
    let limits = consensus::Limits { disk_reserve_bytes: 0, ..Default::default() };
    let options = Options { data, server, acl: Acl::Off, limits, projections };
    let cluster = cluster::start(options).await.expect("starts");
    cluster.ready().await;
    cluster
}

async fn write(cluster: &Cluster, commands: Vec<Command>) -> Outcome {
    let proposal = Proposal {
        author: Author::default(),
        owner: Owner::http(),
        claim: Claim::Explicit,
        tenant: Tenant::DEFAULT,
        request: None,
        commands,
    };
    cluster.doors().writer.propose(proposal).await.expect("committed").outcome
}

fn put(key: &str, value: &str) -> Command {
    Command::KvPut(KvWrite {
        key: KvKey::new(key.as_bytes()),
        value: Arc::from(value.as_bytes()),
        flags: 0,
        condition: KvCondition::Always,
    })
}

fn value(view: &View, key: &str) -> Option<Vec<u8>> {
    let row = view.kv(&KvRowKey::new(Tenant::DEFAULT, key.as_bytes())).expect("held").value;
    row.map(|row| row.value.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_registers_itself_and_shows_what_is_written() {
    let cluster = start(None, Vec::new()).await;
    let view = cluster.doors().reader.view();
    let me = NodeKey::new(Tenant::DEFAULT, &"N1".into());
    assert!(view.node(&me).expect("held").value.is_some());
    assert_eq!(view.checks_on(&me).expect("held").value.len(), 1);
    write(&cluster, vec![put("a", "1")]).await;
    assert_eq!(value(&cluster.doors().reader.view(), "a"), Some(b"1".to_vec()));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Some(directory.path().join("data"));
    let cluster = start(place.clone(), Vec::new()).await;
    let before = cluster.status();
    for n in 0..50 {
        write(&cluster, vec![put(&format!("k{n}"), "v"), put("last", &n.to_string())]).await;
    }
    cluster.shutdown().await;
    drop(cluster);
    let cluster = start(place, Vec::new()).await;
    let view = cluster.doors().reader.current(Consistency::Consistent).await.expect("leads");
    assert_eq!(value(&view, "k0"), Some(b"v".to_vec()));
    assert_eq!(value(&view, "last"), Some(b"49".to_vec()));
    assert_eq!(cluster.status().cluster_id, before.cluster_id);
    cluster.shutdown().await;
}

/// Notes the index of each view, as the DNS face does.
#[derive(Default)]
struct Notes {
    index: AtomicU64,
    order: Mutex<Vec<u64>>,
}

impl Projection for Notes {
    fn publish(&self, view: &Arc<View>, _: &Touched) {
        self.index.store(view.index().0, Ordering::SeqCst);
        self.order.lock().expect("no panic").push(view.index().0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_is_never_behind_an_answered_write() {
    let notes = Arc::new(Notes::default());
    let cluster = start(None, vec![Arc::clone(&notes) as Arc<dyn Projection>]).await;
    for n in 0..200 {
        write(&cluster, vec![put("k", &n.to_string())]).await;
        assert_eq!(notes.index.load(Ordering::SeqCst), cluster.doors().reader.view().index().0);
    }
    assert!(notes.order.lock().expect("no panic").is_sorted());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_renews_ends_and_frees_its_lock() {
    let cluster = start(None, Vec::new()).await;
    let id = Uuid::from_u128(5);
    let session = Session {
        id,
        node: "n1".into(),
        ttl_nanos: model::Nanos(50_000_000),
        ..Session::default()
    };
    write(&cluster, vec![Command::CreateSession(Box::new(session))]).await;
    let acquire = KvWrite {
        key: KvKey::new(b"lock"),
        value: Arc::from(*b"me"),
        flags: 0,
        condition: KvCondition::Acquire(id),
    };
    write(&cluster, vec![Command::KvPut(acquire)]).await;
    assert!(cluster.doors().sessions.renew(id).await.expect("leads").is_some());
    let key = KvRowKey::new(Tenant::DEFAULT, b"lock");
    let watch = [catalog::Watch::Kv(key.clone())];
    let freed = async {
        let subscription = cluster.doors().reader.subscribe(&watch);
        loop {
            let view = cluster.doors().reader.view();
            let row = view.kv(&key).expect("held").value.expect("kept").clone();
            if row.session.is_none() {
                return row;
            }
            subscription.changed().await;
        }
    };
    let row = tokio::time::timeout(Duration::from_secs(10), freed).await.expect("it ends");
    assert_eq!((&*row.value, row.lock_index), (&b"me"[..], 1));
    assert!(cluster.doors().sessions.renew(id).await.expect("leads").is_none());
    cluster.shutdown().await;
}
