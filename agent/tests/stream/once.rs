//! An init container does not wait for ever.

use agent::app::{Application, PROC};
use agent::render::Renderer;
use agent::supervisor::{self, Mode, Stopped, SupervisorError};
use agent::verify::Verifier;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;

use crate::pod::Pod;
use crate::server::TestCa;

async fn run_once(pod: &Pod, ca: &TestCa) -> Result<Stopped, SupervisorError> {
    // Nothing listens there.
    let config = pod.config("127.0.0.1:9".parse().unwrap(), &ca.pem, "none");
    let application = Application::new(&config, None, PROC.into()).unwrap();
    let parts = (application, Verifier::new(&config), Renderer::default());
    supervisor::run(config, parts, Mode::Once, &Tasks::new(), &Shutdown::manual()).await
}

#[tokio::test(start_paused = true)]
async fn without_files_it_fails_at_the_deadline_with_the_last_reason() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let started = tokio::time::Instant::now();
    let error = run_once(&pod, &ca).await.unwrap_err().to_string();
    assert!(error.starts_with("get secrets: no files after 120s: connect"), "{error}");
    assert!(started.elapsed().as_secs() < 125, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_files_of_an_earlier_run_are_good_enough() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    std::fs::create_dir(pod.volume().join("..1")).unwrap();
    std::os::unix::fs::symlink("..1", pod.volume().join("..data")).unwrap();
    assert!(matches!(run_once(&pod, &ca).await, Ok(Stopped::Shutdown)));
}
