//! What a listener that declines TLS gets to see of PostgreSQL's URL: nothing.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::Redacted;
use lockbox::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "hunter2-in-clear";

/// The client's first message if it asks for TLS: length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// `AuthenticationCleartextPassword`: type R, length 8, method 3.
const ASK_FOR_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

/// Somebody in PostgreSQL's place: declines TLS, asks for the password in clear, and keeps
/// everything that it is sent.
#[derive(Clone, Default)]
struct Impostor {
    received: Arc<Mutex<Vec<u8>>>,
}

impl Impostor {
    /// Listens, and returns the port.
    async fn listen(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let impostor = self.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                impostor.converse(stream).await;
            }
        });
        port
    }

    async fn converse(&self, mut stream: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let message = &buffer[..length];
            let answer: &[u8] = if message == SSL_REQUEST { b"N" } else { &ASK_FOR_PASSWORD };
            self.received.lock().unwrap().extend_from_slice(message);
            // The password message.
            if message[0] == b'p' {
                return;
            }
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }

    fn saw(&self, text: &str) -> bool {
        self.received.lock().unwrap().windows(text.len()).any(|it| it == text.as_bytes())
    }
}

/// Connects as switchyard does, and waits until the impostor could have everything.
async fn connect(url: &str) -> Result<(), String> {
    let address = Redacted::from(url.as_bytes());
    match tokio::time::timeout(Duration::from_secs(20), Database::connect(&address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(runtime::logs::ErrorChain(&error).to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

#[tokio::test]
async fn a_listener_that_declines_tls_never_gets_the_password() {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::io::Write::write_all(&mut &ca, made.cert.pem().as_bytes()).unwrap();
    let ca = format!("&sslrootcert={}", ca.path().display());
    for (query, connects) in [
        ("", false),
        ("?sslmode=disable", false),
        ("?sslmode=allow", false),
        ("?sslmode=prefer", false),
        ("?sslmode=require", false),
        ("?sslmode=verify-ca", false),
        ("?sslmode=verify-full", false),
        ("?sslmode=verify-full{ca}", true),
    ] {
        let impostor = Impostor::default();
        // A name is not known to be this machine.
        let port = impostor.listen().await;
        let query = query.replace("{ca}", &ca);
        let url = format!("postgres://enclii:{PASSWORD}@localhost:{port}/enclii{query}");
        let error = connect(&url).await.unwrap_err();
        assert!(!impostor.saw(PASSWORD), "{query}: the password was sent in clear");
        assert!(!impostor.saw("enclii"), "{query}: the user was sent in clear");
        // What is too weak is refused before anything is sent.
        assert_eq!(!impostor.received.lock().unwrap().is_empty(), connects, "{query}: {error}");
        assert!(!error.contains(PASSWORD), "{error}");
    }
    // The impostor works: on this machine's own address the operator may do without TLS.
    let impostor = Impostor::default();
    let port = impostor.listen().await;
    let url = format!("postgres://enclii:{PASSWORD}@127.0.0.1:{port}/enclii");
    connect(&url).await.unwrap_err();
    assert!(impostor.saw(PASSWORD), "the impostor got nothing, so this test shows nothing");
}
