//! 5,000 HTTP checks every 10 s: what they cost, and whether they start evenly.
//!
//! Their target is a server of this program that answers every request at once and notes when it came.
//! There is no peer: the limits are 15 % of a core, 80 MB, and a flat line of starts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load;
use crate::measure::{self, Spread};
use crate::metrics::Scrape;
use crate::process::Server;

const CHECKS: u64 = 5_000;
const INTERVAL: Duration = Duration::from_secs(10);
const LIMIT_CPU: f64 = 0.15;
const LIMIT_BYTES: f64 = 80e6;
const ROUNDS: usize = 5;

/// Threads that answer checks.
const ANSWERERS: usize = 4;

/// When requests came, in the seconds since the start.
struct Target {
    began: Instant,
    seconds: Mutex<Vec<u64>>,
    asked: AtomicU64,
}

/// Registers the checks, then watches them for five intervals.
pub fn run() -> Result<()> {
    let server = Server::rutter()?;
    let (target, port) = Target::start()?;
    load::fill_at(server.http_port, "/v1/agent/service/register", CHECKS, |number| {
        registration(number, port)
    })?;
    // The first run of a check is at a random point of its interval, so one interval later all run.
    std::thread::sleep(INTERVAL + Duration::from_secs(2));
    let passing = Scrape::of(server.http_port)?.sum("rutter_agent_checks", &["status=\"passing\""]);
    ensure!(passing == CHECKS as f64, "{passing} of {CHECKS} checks pass");
    let (mut cpu, mut own, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    let from = target.began.elapsed().as_secs() + 1;
    for _ in 0..ROUNDS {
        let asked = target.asked.load(Ordering::Relaxed);
        let own_before = measure::cpu_seconds(std::process::id())?;
        let turn = measure::turn(server.pid(), || {
            std::thread::sleep(INTERVAL);
            Ok(target.asked.load(Ordering::Relaxed) - asked)
        })?;
        cpu.push(turn.cpu_seconds / turn.took.as_secs_f64());
        own.push(
            (measure::cpu_seconds(std::process::id())? - own_before) / turn.took.as_secs_f64(),
        );
        runs.push(turn.rate());
    }
    let cpu = Spread::of(cpu);
    println!("  runs/s   {}", Spread::of(runs).show(0));
    println!("  CPU, share of a core   {}", cpu.show(4));
    println!("  the target's own   {}", Spread::of(own).show(4));
    println!("  to the limit of 15 %: × {:.2}", cpu.median / LIMIT_CPU);
    let resident = measure::resident_bytes(server.pid())?;
    println!(
        "  memory {:.1} MB, to the limit of 80 MB × {:.2}",
        resident / 1e6,
        resident / LIMIT_BYTES
    );
    target.tell(from);
    Ok(())
}

impl Target {
    fn start() -> Result<(Arc<Self>, u16)> {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
        let port = listener.local_addr()?.port();
        let target = Arc::new(Self {
            began: Instant::now(),
            seconds: Mutex::default(),
            asked: AtomicU64::new(0),
        });
        for _ in 0..ANSWERERS {
            let (listener, target) = (Arc::clone(&listener), Arc::clone(&target));
            // They end with the process.
            std::thread::spawn(move || while target.answer(&listener).is_ok() {});
        }
        Ok((target, port))
    }

    /// Takes one connection; what a client does wrong ends only that.
    fn answer(&self, listener: &TcpListener) -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        self.note();
        let mut request = [0; 4096];
        let mut read = 0;
        while !request[..read].ends_with(b"\r\n\r\n") {
            match stream.read(&mut request[read..]) {
                Ok(more) if more > 0 => read += more,
                _ => return Ok(()),
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nup\n";
        if stream.write_all(answer).is_ok() {
            drop(stream.shutdown(Shutdown::Write));
        }
        Ok(())
    }

    fn note(&self) {
        let second = usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX);
        let mut seconds = self.seconds.lock().expect("no holder panics");
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] += 1;
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts by second since `from`, without the last, which is not whole.
    fn tell(&self, from: u64) {
        let seconds = self.seconds.lock().expect("no holder panics");
        let from = usize::try_from(from).unwrap_or(0);
        let whole = &seconds[from..seconds.len() - 1];
        let mean = whole.iter().sum::<u64>() as f64 / whole.len() as f64;
        let (least, most) = (whole.iter().min().copied(), whole.iter().max().copied());
        let (least, most) = (least.unwrap_or(0) as f64, most.unwrap_or(0) as f64);
        println!("  starts by second: {whole:?}");
        println!("  most to the mean {:.2}, least {:.2}", most / mean, least / mean);
    }
}

fn registration(number: u64, port: u16) -> String {
    format!(
        r#"{{"ID":"web-{number:04}","Name":"web-{:03}","Port":8080,"Check":{{"CheckID":"web-{number:04}","HTTP":"http://127.0.0.1:{port}/health/{number}","Interval":"10s","Timeout":"5s","Status":"passing"}}}}"#,
        number % 500
    )
}
