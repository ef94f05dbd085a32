//! `enclii inject`: errors name the file that is at fault.

use crate::harness::CliHarness;

const POD: &[u8] = b"
apiVersion: v1
kind: Pod
metadata: {name: api, annotations: {enclii.io/secrets: api-prod}}
spec: {containers: [{name: api, image: api}]}
";

#[test]
fn a_bad_ca_file_is_not_reported_as_a_bad_manifest() {
    let harness = CliHarness::start();
    let manifest = harness.file("pod.yaml", POD);
    let ca = harness.file("not-a-ca", b"this is not PEM");
    let error = harness.fails(1, &["inject", "--file", &manifest, "--cacert", &ca]);
    assert!(error.contains(&format!("parse CA file {ca}: ")), "{error}");
    assert!(error.contains("must hold CA certificates in PEM"), "{error}");
    assert!(!error.contains("pod.yaml"), "{error}");

    let absent = harness.directory.path().join("absent");
    let error =
        harness.fails(1, &["inject", "--file", &manifest, "--cacert", absent.to_str().unwrap()]);
    assert!(error.contains(&format!("read CA file {}: ", absent.display())), "{error}");
}
