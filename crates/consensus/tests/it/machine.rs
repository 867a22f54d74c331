//! The machine under test: it keeps the number of commands, a running checksum of all of them in
//! order, and the newest value of each key. A command is `key=value`; it is answered with the count.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use consensus::{Command, Consensus, Fsm, FsmError, FsmSnapshot, Limits, Options, StartError};

/// What was applied, as a test sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub count: u64,
    pub keys: BTreeMap<String, String>,
}

pub type View = Arc<Mutex<Arc<State>>>;

#[derive(Default)]
pub struct Counter {
    state: Arc<State>,
    pub view: View,
}

struct Picture(Arc<State>);

impl Fsm for Counter {
    fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
        let state = Arc::make_mut(&mut self.state);
        let mut answers = Vec::with_capacity(batch.len());
        for command in batch {
            let text = String::from_utf8(command.bytes.to_vec()).expect("commands are text");
            match text.split_once('=').expect("a command is key=value") {
                ("fail", _) => return Err(FsmError("told to fail; see the test".into())),
                ("panic", _) => panic!("told to panic"),
                (key, value) => state.keys.insert(key.into(), value.into()),
            };
            state.count += 1;
            answers.push(Bytes::from(state.count.to_string()));
        }
        *self.view.lock().unwrap() = self.state.clone();
        Ok(answers)
    }

    fn snapshot(&self) -> Box<dyn FsmSnapshot> {
        Box::new(Picture(self.state.clone()))
    }

    fn restore(&mut self, source: &mut dyn Read) -> Result<(), FsmError> {
        let mut text = String::new();
        source.read_to_string(&mut text).map_err(|error| FsmError(error.to_string()))?;
        let mut lines = text.lines();
        let count = lines.next().and_then(|count| count.parse().ok());
        let count = count.ok_or_else(|| FsmError("no count in the snapshot".into()))?;
        let pairs = lines.filter_map(|line| line.split_once('='));
        let keys = pairs.map(|(key, value)| (key.into(), value.into())).collect();
        self.state = Arc::new(State { count, keys });
        *self.view.lock().unwrap() = self.state.clone();
        Ok(())
    }
}

impl FsmSnapshot for Picture {
    fn write_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self.0.keys.get("picture").map(String::as_str) {
            Some("fails") => return Err(std::io::Error::other("told to fail")),
            Some("panics") => panic!("told to panic"),
            // As slowly as a disk would, so that it never takes much of one.
            Some("has no end") => loop {
                out.write_all(&[0; 64 << 10])?;
                std::thread::sleep(Duration::from_millis(1));
            },
            _ => {}
        }
        writeln!(out, "{}", self.0.count)?;
        self.0.keys.iter().try_for_each(|(key, value)| writeln!(out, "{key}={value}"))
    }
}

pub fn limits() -> Limits {
    Limits { disk_reserve_bytes: 0, ..Limits::default() }
}

pub fn options(data: Option<&Path>, limits: Limits) -> Options {
    let data = data.map(Path::to_owned);
    Options { data, format: 1, address: "127.0.0.1:8300".into(), limits }
}

/// Starts a server and returns it with a view of its state.
pub async fn start(data: Option<&Path>, limits: Limits) -> Result<(Consensus, View), StartError> {
    let machine = Counter::default();
    let view = machine.view.clone();
    let server = consensus::start(options(data, limits), Box::new(machine)).await?;
    Ok((server, view))
}

pub async fn set(server: &Consensus, key: &str, value: &str) -> u64 {
    let command = Bytes::from(format!("{key}={value}"));
    server.propose(command).await.unwrap_or_else(|error| panic!("{key}={value}: {error}")).index
}

/// Waits for a condition, at most ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(std::time::Instant::now() < limit, "not in ten seconds: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
