//! Speaks to a started server over loopback.

use super::refusal::{TOO_MANY, TOO_MANY_OF_CLIENT};
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Echoes bodies, blocks on `/wait` and with a body on `/hold` until it is ended, and says much on
/// `/large`, the same to all on `/shared`. It tells that it began `/wait`, that it has the body of `/hold`, and that it is about to
/// read that of `/slow`. What is told to `news` is answered on `/news`, which says that it waits and counts
/// how often it is looked at.
struct Echo {
    ending: CancellationToken,
    news: Arc<Notify>,
    keep: usize,
    blocked: Arc<AtomicUsize>,
    began: Arc<Notify>,
    looks: Arc<AtomicUsize>,
    large: Bytes,
}

/// More than the buffers of sockets take.
const LARGE: usize = 32 << 20;

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
        let (news, large) = (Arc::clone(&self.news), self.large.clone());
        let looks = Arc::clone(&self.looks);
        Box::pin(async move {
            if request.head.uri.path() == "/news" {
                blocked.fetch_add(1, Ordering::SeqCst);
                let _guard = Blocked(blocked);
                if request.head.uri.query() == Some("now") {
                    return text(200, format!("news of {}", request.head.uri).into());
                }
                request.waits();
                began.notify_one();
                let looked = poll_fn(|_| {
                    looks.fetch_add(1, Ordering::SeqCst);
                    Poll::<()>::Pending
                });
                tokio::select! {
                    () = looked => {}
                    () = news.notified() => {}
                    () = ending.cancelled() => {}
                }
                return text(200, format!("news of {}", request.head.uri).into());
            }
            if request.head.uri.path() == "/wait" {
                blocked.fetch_add(1, Ordering::SeqCst);
                let _guard = Blocked(blocked);
                began.notify_one();
                ending.cancelled().await;
                return text(500, "ended".into());
            }
            if request.head.uri.path() == "/large" {
                return text(200, vec![b'x'; LARGE].into());
            }
            if request.head.uri.path() == "/shared" {
                return text(200, large);
            }
            if request.head.uri.path() == "/slow" {
                began.notify_one();
            }
            let read = request.body(keep).await;
            if request.head.uri.path() == "/hold" && read.is_ok() {
                began.notify_one();
                ending.cancelled().await;
            }
            match read {
                Ok(body) => {
                    assert!(body.is_empty() || body.is_unique(), "it keeps another's buffer");
                    text(200, body)
                }
                Err(error) => text(413, error.to_string().into()),
            }
        })
    }
}

fn text(status: u16, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

struct Running {
    server: Server,
    traffic: Traffic,
    blocked: Arc<AtomicUsize>,
    began: Arc<Notify>,
    news: Arc<Notify>,
    looks: Arc<AtomicUsize>,
}

fn start(limits: Limits, keep: usize) -> Running {
    let listener = crate::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (blocked, began, news) = (Arc::default(), Arc::default(), Arc::<Notify>::default());
    let (ending, looks) = (CancellationToken::new(), Arc::default());
    let echo = Echo {
        ending: ending.clone(),
        news: Arc::clone(&news),
        keep,
        blocked: Arc::clone(&blocked),
        began: Arc::clone(&began),
        looks: Arc::clone(&looks),
        large: vec![b'x'; LARGE].into(),
    };
    let traffic = Traffic::default();
    let server = serve(vec![listener], limits, Arc::new(echo), traffic.clone(), ending).unwrap();
    Running { server, traffic, blocked, began, news, looks }
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
    assert_eq!(running.traffic.refused(Limit::Body), 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start(limits, 100);
    let request = "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 9\r\n\r\n1";
    let answer = ask(&mut connect(&running).await, request).await;
    assert!(answer.ends_with("request body did not come in time"), "{answer}");
    assert_eq!(running.traffic.refused(Limit::BodyTime), 1);
}

#[tokio::test]
async fn a_body_that_comes_steadily_may_take_longer() {
    let grace = Duration::from_secs(60);
    // Eight bytes earn a second each, or next to nothing.
    let slow = "request body did not come in time";
    for (body_rate, rest, end) in [(1, "9", "123456789"), (1 << 20, "", slow)] {
        let limits = Limits { body_timeout: grace, body_rate, ..Limits::default() };
        let running = start(limits, 100);
        let mut client = connect(&running).await;
        let begun = put("123456789").replace("/x", "/slow");
        client.write_all(begun.strip_suffix('9').unwrap().as_bytes()).await.unwrap();
        running.began.notified().await;
        tokio::time::pause();
        tokio::time::advance(grace + Duration::from_secs(4)).await;
        tokio::time::resume();
        let answer = ask(&mut client, rest).await;
        assert!(answer.ends_with(end), "{answer}");
    }
}

const BUSY: &str = "too many request bodies at once, try again later";

#[tokio::test]
async fn bodies_together_have_a_limit_until_they_are_answered() {
    let body = "x".repeat(16 << 10);
    let running = start(Limits { bodies: 40 << 10, body: 20 << 10, ..Limits::default() }, 1 << 20);
    let mut first = connect(&running).await;
    first.write_all(put(&body).replace("/x", "/hold").as_bytes()).await.unwrap();
    running.began.notified().await;
    let answer = ask(&mut connect(&running).await, &put(&body)).await;
    assert!(answer.ends_with(BUSY), "what is held counts: {answer}");
    assert_eq!(running.traffic.refused(Limit::Bodies), 1);
    drop(first);
    let given_back =
        async { while ask(&mut connect(&running).await, &put(&body)).await.ends_with(BUSY) {} };
    tokio::time::timeout(Duration::from_secs(5), given_back).await.expect("it is given back");
}

/// Reports on checks are that small.
#[tokio::test]
async fn a_body_of_8_kib_is_taken_however_many_others_are_there() {
    let body_timeout = Duration::from_secs(600);
    let limits = Limits { bodies: 40 << 10, body: 20 << 10, body_timeout, ..Limits::default() };
    let running = start(limits, 1 << 20);
    let begun = put(&"x".repeat(10 << 10)).replace("/x", "/slow");
    // What is taken is not answered, since its last byte does not come.
    let mut others = Vec::new();
    while running.traffic.refused(Limit::Bodies) == 0 {
        let mut other = connect(&running).await;
        other.write_all(&begun.as_bytes()[..begun.len() - 1]).await.unwrap();
        running.began.notified().await;
        let told = tokio::time::timeout(Duration::from_millis(50), other.read(&mut [0; 12])).await;
        assert!(told.is_err() || running.traffic.refused(Limit::Bodies) > 0);
        others.push(other);
    }
    for (size, taken) in [(100, true), (8 << 10, true), ((8 << 10) + 1, false)] {
        let answer = ask(&mut connect(&running).await, &put(&"y".repeat(size))).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), taken, "{size}");
    }
}

#[tokio::test]
async fn large_bodies_that_do_not_end_keep_no_small_one_out() {
    let limits = Limits { bodies: 8 << 20, body: 4 << 20, ..Limits::default() };
    let running = start(limits, 4 << 20);
    let most = "x".repeat(3 << 20);
    let mut unfinished = Vec::new();
    for _ in 0..4 {
        let mut client = connect(&running).await;
        let head =
            "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4000000\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        // The server may refuse before all is sent.
        let _ = client.write_all(most.as_bytes()).await;
        let mut sign = [0; 12];
        let _ = tokio::time::timeout(Duration::from_millis(200), client.read(&mut sign)).await;
        unfinished.push(client);
    }
    let refused = || running.traffic.refused(Limit::Bodies);
    let three = async {
        while refused() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), three).await.expect("refusals");
    let answer = ask(&mut connect(&running).await, &put("1234")).await;
    assert!(answer.ends_with("1234"), "{answer}");
    assert_eq!(refused(), 3, "the pool of large bodies holds one of these");
}

/// A client that reads no more than the status of an answer.
async fn read_status(running: &Running, path: &str) -> (TcpStream, String) {
    let mut client = connect(running).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    (client, String::from_utf8(status.to_vec()).unwrap())
}

async fn status_of_large(running: &Running) -> String {
    read_status(running, "/large").await.1
}

#[tokio::test]
async fn a_body_that_many_do_not_read_counts_once() {
    let running = start(Limits { answers: LARGE, ..Limits::default() }, 100);
    let mut idle = Vec::new();
    for _ in 0..10 {
        let (client, status) = read_status(&running, "/shared").await;
        assert_eq!(status, "HTTP/1.1 200");
        idle.push(client);
    }
    assert_eq!(status_of_large(&running).await, "HTTP/1.1 503", "another body counts beside it");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_a_share_for_a_while() {
    let write_timeout = Duration::from_secs(2);
    let limits = Limits { write_timeout, answers: LARGE, ..Limits::default() };
    let running = start(limits, 100);
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    idle.read_exact(&mut status).await.unwrap();
    assert_eq!(status_of_large(&running).await, "HTTP/1.1 503");
    assert_eq!(running.traffic.refused(Limit::Answers), 1);
    let given_up = async { while status_of_large(&running).await != "HTTP/1.1 200" {} };
    tokio::time::timeout(Duration::from_secs(30), given_up).await.expect("its share is given back");
    assert!(running.traffic.refused(Limit::WriteTime) > 0);
}

#[tokio::test]
async fn a_header_that_does_not_come_closes_the_connection() {
    let limits = Limits { header_timeout: Duration::from_secs(1), ..Limits::default() };
    let running = start(limits, 100);
    assert_eq!(ask(&mut connect(&running).await, "GET / HT").await, "");
    assert_eq!(running.traffic.refused(Limit::HeadTime), 1);
    assert_eq!(running.traffic.engines(), 1);
    assert_eq!(ask(&mut connect(&running).await, "").await, "", "nor one that is silent");
    assert_eq!(running.traffic.refused(Limit::HeadTime), 2);
    let mut ended = connect(&running).await;
    ended.shutdown().await.unwrap();
    assert_eq!(ask(&mut ended, "").await, "", "nor one that ends at once");
    assert_eq!(running.traffic.engines(), 1, "who says nothing has no engine");
}

#[tokio::test]
async fn a_request_that_waits_is_not_looked_at_while_its_client_is_silent() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    client.write_all(b"GET /news HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    running.began.notified().await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokio::time::resume();
    let looks = running.looks.load(Ordering::SeqCst);
    assert!((1..10).contains(&looks), "{looks}");
    running.news.notify_one();
    assert!(ask(&mut client, "").await.ends_with("news of /news"));
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let running = start(Limits { head: 1000, ..Limits::default() }, 10);
    for (size, status) in [(800, "200"), (1_200, "431"), (6_000, "431")] {
        let mut stream = connect(&running).await;
        let long = "x".repeat(size);
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: {long}\r\n\r\n");
        let answer = ask(&mut stream, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{size}: {answer}");
    }
}

#[tokio::test]
async fn who_has_too_many_connections_is_told_so_and_when_to_come_again() {
    let few = Limits::default();
    let of_client = Limits { connections_per_client: 1, ..few.clone() };
    let of_all = Limits { connections: 1, ..few };
    for (limits, status, text, limit) in [
        (of_client, "429 Too Many Requests", TOO_MANY_OF_CLIENT, Limit::ConnectionsOfClient),
        (of_all, "503 Service Unavailable", TOO_MANY, Limit::Connections),
    ] {
        let running = start(limits, 100);
        let mut first = connect(&running).await;
        first.write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        running.began.notified().await;
        let answer = ask(&mut connect(&running).await, &put("")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 1\r\n") && answer.ends_with(text), "{answer}");
        assert_eq!(running.traffic.refused(limit), 1);
    }
}

#[tokio::test]
async fn only_so_many_are_told_at_a_time_that_they_are_too_many() {
    let running = start(Limits { connections: 0, refusing: 1, ..Limits::default() }, 100);
    let mut told = connect(&running).await;
    let mut status = [0; 12];
    told.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    // It is still read from, so that it can read to the end.
    let mut next = connect(&running).await;
    let mut heard = Vec::new();
    let reading = next.read_to_end(&mut heard);
    let closed = tokio::time::timeout(Duration::from_secs(5), reading).await.expect("an end");
    assert!(heard.is_empty() && closed.is_ok_and(|read| read == 0), "{heard:?}");
    drop(told);
    let again = async {
        let mut next = connect(&running).await;
        while next.read(&mut [0; 12]).await.unwrap_or_default() == 0 {
            next = connect(&running).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("its turn is given back");
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
async fn a_client_that_goes_away_with_more_requests_sent_is_noticed_too() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    let two = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
    client.write_all(two.as_bytes()).await.unwrap();
    running.began.notified().await;
    drop(client);
    let gone = async {
        while running.blocked.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the request is dropped");
}

/// Waits until so many requests are blocked.
async fn blocked(running: &Running, count: usize) {
    let blocked = async {
        while running.blocked.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), blocked).await.expect("as many as that");
}

#[tokio::test]
async fn a_request_that_waited_is_answered_in_its_own_form() {
    let running = start(Limits::default(), 100);
    for (request, status, end) in [
        (
            "GET /news?a=b HTTP/1.1\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200",
            "news of /news?a=b",
        ),
        ("GET /news HTTP/1.0\r\nUser-Agent: old\r\n\r\n", "HTTP/1.0 200", "news of /news"),
        ("HEAD /news HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "\r\n\r\n"),
    ] {
        let mut client = connect(&running).await;
        let asking = ask(&mut client, request);
        let telling = async {
            blocked(&running, 1).await;
            running.news.notify_one();
        };
        let (answer, ()) = tokio::join!(asking, telling);
        assert!(answer.starts_with(status) && answer.ends_with(end), "{request}: {answer}");
        blocked(&running, 0).await;
    }
}

/// All that is answered to these bytes, where what waits is told its news as often as it asks.
async fn conversation(said: &str) -> Vec<String> {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    let telling = async {
        loop {
            running.began.notified().await;
            running.news.notify_one();
        }
    };
    let heard = tokio::select! {
        heard = ask(&mut client, said) => heard,
        () = telling => unreachable!("it never ends"),
    };
    heard.lines().filter(|line| !line.starts_with("Date: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_waited_is_answered_like_what_did_not() {
    let last = "GET /x HTTP/1.1\r\nConnection: close\r\n\r\n";
    for said in [
        "GET /news?now HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /news?now HTTP/1.1\r\nConnection: x, Close\r\n\r\n".to_owned(),
        "HEAD /news?now HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /news?now HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET /news?now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{last}"),
        format!("GET /news?now HTTP/1.1\r\nConnection: keep-alive\r\n\r\n{last}"),
        format!("GET /news?now HTTP/1.1\r\n\r\nHEAD /news?now HTTP/1.1\r\n\r\n{last}"),
    ] {
        let at_once = conversation(&said).await;
        let late = conversation(&said.replace("?now", "?for")).await;
        let late: Vec<String> = late.iter().map(|line| line.replace("?for", "?now")).collect();
        assert_eq!(late, at_once, "{said}");
        assert!(late.iter().any(|line| line.ends_with("200 OK")), "{late:?}");
    }
}

#[tokio::test]
async fn what_was_sent_behind_a_request_that_waits_is_answered_after_it() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    let news = "GET /news HTTP/1.1\r\n\r\n";
    let early = put("1234").replace("Connection: close\r\n", "");
    client.write_all(format!("{news}{early}{news}").as_bytes()).await.unwrap();
    let telling = async {
        for _ in 0..2 {
            running.began.notified().await;
            running.news.notify_one();
        }
    };
    let late = put("5678");
    let (answers, ()) = tokio::join!(ask(&mut client, &late), telling);
    let bodies: Vec<&str> = answers
        .split("\r\n\r\n")
        .skip(1)
        .map(|part| part.split("HTTP/1.1").next().unwrap_or_default())
        .collect();
    assert_eq!(bodies, ["news of /news", "1234", "news of /news", "5678"], "{answers}");
}

/// The engines of the first two read a part of what came with them, each from another beginning.
#[tokio::test]
async fn much_that_was_sent_behind_two_that_wait_is_answered_whole() {
    const MANY: usize = 600;
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    let first = format!("GET /news HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let second = "GET /news?2 HTTP/1.1\r\n\r\n";
    let many = put("1234").replace("Connection: close\r\n", "").repeat(MANY);
    client.write_all(format!("{first}{second}{many}{}", put("5678")).as_bytes()).await.unwrap();
    let telling = async {
        for _ in 0..2 {
            running.began.notified().await;
            running.news.notify_one();
        }
    };
    let reading = async {
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.map(|_| answers)
    };
    let (answers, ()) = tokio::join!(reading, telling);
    assert_eq!(answers.unwrap().matches("HTTP/1.1 200").count(), MANY + 3);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_along_a_request_that_waits() {
    let running = start(Limits::default(), 100);
    let mut client = connect(&running).await;
    client.write_all(b"GET /news HTTP/1.1\r\n\r\n").await.unwrap();
    blocked(&running, 1).await;
    drop(client);
    blocked(&running, 0).await;
}

#[tokio::test]
async fn the_end_answers_what_waits_and_comes_at_once() {
    let shutdown_grace = Duration::from_secs(60);
    let running = start(Limits { shutdown_grace, ..Limits::default() }, 100);
    let mut client = connect(&running).await;
    let mut idle = connect(&running).await;
    client.write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    running.began.notified().await;
    let mut parked = connect(&running).await;
    parked.write_all(b"GET /news HTTP/1.1\r\n\r\n").await.unwrap();
    blocked(&running, 2).await;
    // Where something waited for the grace, this clock would jump there.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    running.server.shutdown().await;
    assert!(began.elapsed() < shutdown_grace, "{:?}", began.elapsed());
    tokio::time::resume();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500") && answer.ends_with("ended"), "{answer}");
    answer.clear();
    parked.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("news of /news"), "{answer}");
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(running.server.addresses()[0]).await.is_err());
}
