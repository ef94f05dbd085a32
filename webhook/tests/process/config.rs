//! The operator's configuration file, changed while the webhook runs.

use std::fs;

use http::StatusCode;
use serde_json::Value;

use crate::harness::{Process, review, until};

/// The size limit of the secrets' volume in the patch for a pod.
async fn volume_size(process: &Process) -> String {
    use base64::Engine as _;
    let (_, answer) = process.mutate(review("hunter2")).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let patch = answer["response"]["patch"].as_str().unwrap();
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    let text = String::from_utf8(patch).unwrap();
    text.split("\"sizeLimit\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_file_is_used_and_a_bad_one_leaves_the_last_good_one_and_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    // As kubelet mounts a ConfigMap: a link to a directory that is swapped as a whole.
    let write = |generation: &str, text: &str| {
        fs::create_dir_all(config.join(generation)).unwrap();
        fs::write(config.join(generation).join("webhook.yaml"), text).unwrap();
        std::os::unix::fs::symlink(generation, config.join("..data_tmp")).unwrap();
        fs::rename(config.join("..data_tmp"), config.join("..data")).unwrap();
    };
    write("..1", "volumeSize: 9Mi\n");
    std::os::unix::fs::symlink("..data/webhook.yaml", config.join("webhook.yaml")).unwrap();
    let path = config.join("webhook.yaml").to_str().unwrap().to_owned();
    let process = Process::start_in(directory, &["--config", &path]);
    process.make_ready().await;
    assert_eq!(volume_size(&process).await, "9Mi");
    write("..2", "volumeSize: 10Mi\n");
    until(|| async { volume_size(&process).await == "10Mi" }).await;

    let metric = "enclii_webhook_configuration_up_to_date";
    let shows = |value: &'static str| {
        let process = &process;
        let line = format!("{metric} {value}\n");
        move || {
            let line = line.clone();
            async move { process.admin("/metrics").await.1.contains(&line) }
        }
    };
    until(shows("1.0")).await;
    write("..3", "volumeSizes: 11Mi\n");
    until(shows("0.0")).await;
    assert_eq!(volume_size(&process).await, "10Mi");
    let (status, text) = process.admin("/readyz").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("note: the configuration file is not used"), "{text}");

    write("..4", "volumeSize: 11Mi\n");
    until(|| async { volume_size(&process).await == "11Mi" }).await;
    until(shows("1.0")).await;
    assert_eq!(process.admin("/readyz").await.1, "ready\n");
    process.stop().await;
}
