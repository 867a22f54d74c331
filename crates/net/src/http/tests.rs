//! Speaks to a started server over loopback.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Echoes bodies, and blocks on `/wait` until it is ended.
struct Echo {
    ending: CancellationToken,
    keep: usize,
    blocked: Arc<AtomicUsize>,
    began: Arc<Notify>,
}

struct Blocked(Arc<AtomicUsize>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service for Echo {
    fn call(&self, mut request: Request) -> Answer {
        let (ending, keep) = (self.ending.clone(), self.keep);
        let (blocked, began) = (Arc::clone(&self.blocked), Arc::clone(&self.began));
        Box::pin(async move {
            if request.head.uri.path() == "/wait" {
                blocked.fetch_add(1, Ordering::SeqCst);
                let _guard = Blocked(blocked);
                began.notify_one();
                ending.cancelled().await;
                return text(500, "ended".into());
            }
            match request.body(keep).await {
                Ok(body) => text(200, body),
                Err(error) => text(413, error.to_string().into()),
            }
        })
    }
}

fn text(status: u16, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

struct Running {
    server: Server,
    blocked: Arc<AtomicUsize>,
    began: Arc<Notify>,
}

fn start(limits: Limits, keep: usize) -> Running {
    let listener = crate::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (blocked, began) = (Arc::default(), Arc::default());
    let ending = CancellationToken::new();
    let echo = Echo {
        ending: ending.clone(),
        keep,
        blocked: Arc::clone(&blocked),
        began: Arc::clone(&began),
    };
    let server = serve(vec![listener], limits, Arc::new(echo), ending).unwrap();
    Running { server, blocked, began }
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.server.addresses()[0]).await.unwrap()
}

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("an answer").unwrap();
    String::from_utf8(answer).unwrap()
}

fn put(body: &str) -> String {
    let length = body.len();
    format!(
        "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let running = start(Limits::default(), 4);
    let answer = ask(&mut connect(&running).await, &put("1234")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n1234"), "{answer}");
    let answer = ask(&mut connect(&running).await, &put("12345")).await;
    assert!(answer.ends_with("request body of 5 bytes is too large"), "{answer}");
}

#[tokio::test]
async fn a_body_announced_too_large_is_not_read() {
    let running = start(Limits { body: 10, ..Limits::default() }, 100);
    let request = "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 99\r\n\r\n";
    let answer = ask(&mut connect(&running).await, request).await;
    assert!(answer.ends_with("request body of 99 bytes is too large"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start(limits, 100);
    let request = "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 9\r\n\r\n1";
    let answer = ask(&mut connect(&running).await, request).await;
    assert!(answer.ends_with("request body did not come in time"), "{answer}");
}

#[tokio::test]
async fn bodies_together_have_a_limit_too() {
    let running = start(Limits { bodies: 3, ..Limits::default() }, 100);
    let answer = ask(&mut connect(&running).await, &put("1234")).await;
    assert!(answer.ends_with("too many request bodies at once, try again later"), "{answer}");
    let answer = ask(&mut connect(&running).await, &put("123")).await;
    assert!(answer.ends_with("123"), "what was taken is given back: {answer}");
}

#[tokio::test]
async fn a_header_that_does_not_come_closes_the_connection() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start(limits, 100);
    assert_eq!(ask(&mut connect(&running).await, "GET / HT").await, "");
}

#[tokio::test]
async fn a_client_with_too_many_connections_is_told_so() {
    let running = start(Limits { connections_per_client: 1, ..Limits::default() }, 100);
    let mut first = connect(&running).await;
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    running.began.notified().await;
    let answer = ask(&mut connect(&running).await, &put("")).await;
    assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests"), "{answer}");
    assert!(answer.ends_with(TOO_MANY), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    client.write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    running.began.notified().await;
    assert_eq!(running.blocked.load(Ordering::SeqCst), 1);
    drop(client);
    let gone = async {
        while running.blocked.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the request is dropped");
}

#[tokio::test]
async fn the_end_answers_what_waits_and_comes_at_once() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    let mut idle = connect(&running).await;
    client.write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    running.began.notified().await;
    let began = std::time::Instant::now();
    running.server.shutdown().await;
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500") && answer.ends_with("ended"), "{answer}");
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(running.server.addresses()[0]).await.is_err());
}
