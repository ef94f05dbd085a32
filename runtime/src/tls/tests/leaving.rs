//! A process that stops loses no request: neither one that has been sent, nor one of a client that
//! has only just connected.

use super::*;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n";

/// The answer up to the end of the connection.
async fn rest(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_answer_before_the_end_asks_the_client_to_close() {
    let server = start(Limits::default(), hello).await;
    let mut stream = server.connect(&[]).await;
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 256];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.contains("200 OK") && !answer.contains("close"), "{answer}");

    server.tasks.leave();
    stream.write_all(REQUEST).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
    // Others may still come, and are answered.
    let mut stream = server.connect(&[]).await;
    stream.write_all(REQUEST).await.unwrap();
    assert!(rest(stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_request_on_an_idle_connection_is_answered_after_the_drain_has_begun() {
    let server = start(Limits::default(), hello).await;
    let mut idle = server.connect(&[]).await;
    let unused = server.connect(&[]).await;
    server.tasks.stop();
    // The connection's task learns of it before the request comes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    idle.write_all(REQUEST).await.unwrap();
    let answer = rest(idle).await;
    assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
    assert_eq!(rest(unused).await, "", "it sent nothing, and is closed");
    assert_eq!(server.tasks.drain(GRACE).await, Ok(()));
}

#[tokio::test]
async fn a_client_in_its_handshake_and_one_in_the_queue_are_answered() {
    let server = start(Limits::default(), hello).await;
    let begun = TcpStream::connect(server.address).await.unwrap();
    // Accepted, and its handshake has not begun.
    tokio::time::sleep(Duration::from_millis(50)).await;
    // This one waits in the kernel's queue: nothing has run since it came.
    let waiting = std::net::TcpStream::connect(server.address).unwrap();
    waiting.set_nonblocking(true).unwrap();
    server.tasks.stop();
    let connector = TlsConnector::from(Arc::clone(&server.client));
    for tcp in [begun, TcpStream::from_std(waiting).unwrap()] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        assert!(rest(stream).await.contains("200 OK"));
    }
    // The drain waits for the listener, which looks into the queue for a moment after the last one.
    assert_eq!(server.tasks.drain(GRACE).await, Ok(()));
    assert!(TcpStream::connect(server.address).await.is_err(), "it takes no more");
}
