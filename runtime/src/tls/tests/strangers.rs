//! What a peer that nobody knows can do: open connections and say nothing, begin a header and not
//! end it, ask and not read. Each is bounded, and a client with a request is answered meanwhile.

use tokio::sync::Notify;

use super::*;

/// Far longer than anything takes here.
const HOUR: Duration = Duration::from_secs(3600);

/// No limit but the number of connections ends anything.
fn patient(max_connections: usize) -> Limits {
    Limits {
        handshake_timeout: HOUR,
        first_request_timeout: HOUR,
        idle_timeout: HOUR,
        max_connections,
        ..Limits::default()
    }
}

/// One request on its own connection.
async fn ask(server: &Server) -> String {
    let mut stream = server.connect(&[]).await;
    let request = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_client_out() {
    let server = start(patient(4), hello).await;
    // Without a handshake, and with one.
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let handshaken = server.connect(&[]).await;
    for _ in 0..4 {
        let answer = in_time("a request among idle connections", ask(&server)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    drop((idle, handshaken));
}

#[tokio::test]
async fn a_request_in_flight_is_not_closed_for_another_connection() {
    let release = Arc::new(Notify::new());
    let waits = Arc::clone(&release);
    let handler = move |request: Request<Incoming>| {
        let waits = Arc::clone(&waits);
        async move {
            if request.uri().path() == "/slow" {
                waits.notified().await;
            }
            Response::new(Full::new(Bytes::from_static(b"done")))
        }
    };
    let server = start(patient(2), handler).await;
    let mut slow = server.connect(&[]).await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let _idle = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        let answer = in_time("a request beside a slow one", ask(&server)).await;
        assert!(answer.ends_with("done"), "{answer}");
    }
    release.notify_one();
    let mut answer = String::new();
    in_time("the slow answer", slow.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn the_admin_port_answers_among_idle_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, readiness) = (Tasks::new(), crate::readiness::Readiness::new());
    crate::admin::start(listener, Registry::default(), &readiness, &tasks).unwrap();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    let asked = async {
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        // The idle ones end after 5 s anyhow; a probe gives up after one.
        stream.read_to_string(&mut answer).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(4), asked).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The only thread of the process is busy for as long as the answer takes.
#[tokio::test]
async fn the_admin_port_answers_while_the_process_is_busy() {
    use std::io::{Read as _, Write as _};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, readiness) = (Tasks::new(), crate::readiness::Readiness::new());
    crate::admin::start(listener, Registry::default(), &readiness, &tasks).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(tasks.drain(GRACE).await, Ok(()));
    assert!(std::net::TcpStream::connect(address).is_err(), "the port is still open");
}

#[tokio::test]
async fn a_header_without_an_end_is_refused_while_it_is_small() {
    let server = start(patient(8), hello).await;
    for start in ["GET / HTTP/1.1\r\nhost: x\r\nx: ", "GET /"] {
        let mut stream = server.connect(&[]).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let sent = async {
            let mut bytes = start.len();
            while bytes < 390_000 && stream.write_all(&[b'x'; 1 << 10]).await.is_ok() {
                bytes += 1 << 10;
                tokio::task::yield_now().await;
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        };
        in_time("the end of a connection with a header of 390 kB", sent).await;
    }
}

#[tokio::test]
async fn a_header_that_dawdles_ends_its_connection_also_after_a_request() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..patient(8) };
    let server = start(limits, hello).await;
    let mut stream = server.connect(&[]).await;
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\nGET /y HTTP/1.1\r\n").await.unwrap();
    let mut answer = String::new();
    let rest = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = stream.write_all(b"host:").await;
        let _ = stream.read_to_string(&mut answer).await;
    };
    in_time("the end of a connection with half a header", rest).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_http2_connection_without_requests_ends() {
    let limits = Limits { idle_timeout: Duration::from_millis(100), ..patient(8) };
    let server = start(limits, hello).await;
    let stream = server.connect(&[b"h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let asked = async {
        assert_eq!(text(sender.send_request(get("/a")).await.unwrap()).await, "HTTP/2.0 /a");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = in_time("the end of an idle HTTP/2 connection", connection) => drop(ended),
        () = asked => {}
    }
}

/// Answers of 32 MiB whose memory is counted.
#[tokio::test]
async fn an_answer_that_nobody_reads_is_dropped() {
    static HELD: AtomicUsize = AtomicUsize::new(0);
    struct Counted(Vec<u8>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            HELD.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let handler = |_: Request<Incoming>| async {
        HELD.fetch_add(1, Ordering::SeqCst);
        Response::new(Full::new(Bytes::from_owner(Counted(vec![0; 32 << 20]))))
    };
    let limits = Limits { write_timeout: Duration::from_millis(200), ..patient(8) };
    let server = start(limits, handler).await;
    let mut stream = server.connect(&[]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    in_time("the answer's memory", async {
        while HELD.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while HELD.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
