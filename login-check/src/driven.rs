//! Work of a client, and the connection that moves what it says and hears. The libraries have that
//! as a task; here it runs while there is work.

use std::future::Future;
use std::pin::{Pin, pin};

use futures_util::FutureExt as _;
use futures_util::future::Fuse;

/// What moves the bytes of a connection.
pub(crate) struct Driver(Fuse<Pin<Box<dyn Future<Output = ()>>>>);

impl Driver {
    /// Takes a connection. The client sees its errors too.
    pub(crate) fn new(connection: impl Future + 'static) -> Self {
        let connection: Pin<Box<dyn Future<Output = ()>>> = Box::pin(connection.map(drop));
        Self(connection.fuse())
    }
}

/// Does some work while the connection is driven.
pub(crate) async fn driven<T>(driver: &mut Driver, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = &mut driver.0 => {}
    }
    // The connection has ended, and the client says why.
    work.await
}
