//! The programs under test that are killed.

use std::time::Duration;

use e2e::switchyard::Switchyard;
use e2e::wait;

const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// What is killed and started again.
pub(crate) trait FaultTarget {
    fn kill(&mut self);
    /// Starts it again and waits until switchyard serves.
    fn restart(&mut self);
    fn switchyard(&self) -> &Switchyard;
}

/// Waits until switchyard serves requests that need its database.
pub(crate) fn wait_until_serving(switchyard: &Switchyard) {
    wait::until("switchyard to answer", STEP_TIMEOUT, || {
        Ok(switchyard.get("/v1/audit?limit=1").ok().filter(|(status, _)| *status == 200))
    })
    .unwrap();
}
