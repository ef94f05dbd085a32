use std::future::pending;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

/// A port that shows whether the agent is connected.
struct Port {
    address: SocketAddr,
    metrics: watch::Sender<AgentMetrics>,
    stop: Arc<tokio::sync::Notify>,
    running: JoinSet<()>,
}

impl Port {
    async fn start() -> Self {
        // Nobody else gets this one after the listener is closed.
        let port = e2e::port::free_port().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, receiver) = watch::channel(AgentMetrics::default());
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop);
        let mut running = JoinSet::new();
        running.spawn(serve(listener, receiver, async move { stopped.notified().await }));
        Self { address, metrics, stop, running }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn get(&self) -> String {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        rest_of(stream).await
    }
}

async fn rest_of(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
    text
}

#[tokio::test]
async fn each_scrape_sees_what_is_true_then() {
    let mut port = Port::start().await;
    assert!(port.get().await.contains("\nenclii_agent_connected 0\n"));
    port.metrics.send_replace(AgentMetrics { is_connected: true, ..AgentMetrics::default() });
    let text = port.get().await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\nenclii_agent_connected 1\n") && text.ends_with("# EOF\n"), "{text}");
    port.stop.notify_one();
    port.running.join_next().await.unwrap().unwrap();
    assert!(TcpStream::connect(port.address).await.is_err(), "still open");
}

#[tokio::test]
async fn a_head_may_come_in_pieces_and_is_bounded() {
    let port = Port::start().await;
    let mut stream = port.connect().await;
    for piece in ["GET /met", "rics HTTP/1.1\r\nx: y\r", "\n\r", "\n"] {
        stream.set_nodelay(true).unwrap();
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rest_of(stream).await.starts_with("HTTP/1.1 200 OK\r\n"));

    let mut stream = port.connect().await;
    let long = "x".repeat(MAX_HEAD_BYTES);
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nx: {long}\r\n").as_bytes()).await.unwrap();
    let text = rest_of(stream).await;
    assert!(text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{text}");

    // The answer arrives although the body is not read first.
    let mut stream = port.connect().await;
    let body = "y".repeat(32 << 10);
    let post = format!("POST /metrics HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(post.as_bytes()).await.unwrap();
    assert!(rest_of(stream).await.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_nobody() {
    let port = Port::start().await;
    let mut silent = Vec::new();
    // Their deadlines one after the other would be longer than this test's.
    for _ in 0..12 * MAX_CONNECTIONS {
        silent.push(port.connect().await);
    }
    assert!(port.get().await.starts_with("HTTP/1.1 200 OK\r\n"));
    // The oldest have made room.
    let mut byte = [0];
    let read = timeout(Duration::from_secs(30), silent[0].read(&mut byte)).await;
    assert_eq!(read.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn the_oldest_connection_makes_room() {
    let (mut connections, held) = (Connections::default(), Arc::new(()));
    for _ in 0..3 * MAX_CONNECTIONS {
        let held = Arc::clone(&held);
        connections.add(async move {
            pending::<()>().await;
            drop(held)
        });
    }
    assert_eq!(Arc::strong_count(&held), 1 + MAX_CONNECTIONS);
    connections.add(async {});
    timeout(Duration::from_secs(30), connections.ended()).await.unwrap();
    assert_eq!(Arc::strong_count(&held), MAX_CONNECTIONS);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_has_a_deadline() {
    let port = Port::start().await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "no answer");
    assert!(started.elapsed() >= CONNECTION_TIMEOUT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let port = AgentMetricsPort::try_from(e2e::port::free_port().unwrap()).unwrap();
    let taken = open(port).unwrap();
    let error = open(port).unwrap_err();
    assert_eq!(error.to_string(), format!("open metrics port {port}"));
    drop(taken);
    open(port).unwrap();
}
