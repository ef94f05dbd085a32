//! The certificate that a server shows, without a login.

use std::time::Duration;

use contract::login_check::Refusal;
use tokio::time::{Instant, sleep, timeout_at};

use super::offers_tls;
use crate::failure::Failure;
use crate::stream::connect;
use crate::target::{CertificateCheck, Endpoint, Roots, Tls};
use crate::tls::TlsClient;

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Whoever signed it: it is compared with a file.
const ANY: Tls = Tls { attempts: &[], check: CertificateCheck::None, roots: Roots::Unnamed };

/// Waits until the server shows the certificate with this hash.
///
/// # Errors
/// When it shows another one at the end of the time, or none.
pub(super) async fn until_served(
    endpoint: &Endpoint,
    wanted: &str,
    end: Instant,
) -> Result<(), Failure> {
    let client = TlsClient::new(&ANY)?;
    loop {
        // One that is busy with its reload shows it at the next attempt.
        let shown = timeout_at(end, shown(endpoint, &client, end)).await;
        let shown = shown.ok().and_then(Result::ok).flatten();
        if shown.as_deref() == Some(wanted) {
            return Ok(());
        }
        if Instant::now() + POLL >= end {
            let what = if shown.is_some() { "another one" } else { "none" };
            let detail = format!(
                "{endpoint}: it read its configuration and not its certificate: it serves {what}; \
                 its log says why"
            );
            return Err(Failure::refused(Refusal::Configuration, detail));
        }
        sleep(POLL).await;
    }
}

/// The hash of the certificate; `None` if the server has no TLS.
async fn shown(
    endpoint: &Endpoint,
    client: &TlsClient,
    end: Instant,
) -> Result<Option<String>, Failure> {
    let (mut stream, _) = connect(endpoint, end).await?;
    if !offers_tls(endpoint, &mut stream).await? {
        return Ok(None);
    }
    let (_, fingerprint) = client.handshake(endpoint, stream).await?;
    Ok(fingerprint)
}
