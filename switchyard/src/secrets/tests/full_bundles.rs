//! Bundles that would no longer fit into a pod.

use super::*;

/// Values of `scope` that together are larger than a pod takes beside 7 MiB.
async fn write_megabytes(
    fixture: &SecretsFixture,
    scope: &Scope,
    name: &str,
    megabytes: usize,
) -> Result<Written, SecretsError> {
    let mut request = WriteRequest::default();
    for at in 0..megabytes {
        let name = format!("{name}_{at}").parse().unwrap();
        request.secrets.insert(name, NewValue::new(vec![0; 1 << 20].into()));
    }
    let options = WriteOptions::default();
    fixture.secrets.write(&caller(), scope, &request, |_| Condition::None, &options).await
}

pub(super) async fn a_full_bundle_is_stuck_and_the_others_move(fixture: SecretsFixture) {
    let project: Scope = "shop".parse().unwrap();
    let (api, web) = (scope(), "shop.prod.web".parse().unwrap());
    write_megabytes(&fixture, &api, "API", 7).await.unwrap();
    write_megabytes(&fixture, &web, "WEB", 1).await.unwrap();
    let bundle = async |of: &Scope| fixture.secrets.repository.bundle(of).await.unwrap().unwrap();
    let before = bundle(&api).await.rollout.stable;
    let written = write_megabytes(&fixture, &project, "SHARED", 2).await.unwrap();
    let told: Vec<_> = written.bundles.iter().map(|it| (&it.scope, it.stuck.is_some())).collect();
    assert_eq!(told, [(&api, true), (&web, false)]);
    let stuck = bundle(&api).await;
    assert_eq!(stuck.rollout.stable, before);
    assert!(stuck.stuck.unwrap().contains("the maximum of a pod is"));
    // Its own scope takes nothing more, and what shrinks it lets it follow again, with everything
    // that it missed.
    let more = write_megabytes(&fixture, &api, "MORE", 1).await.unwrap_err();
    assert!(matches!(more, SecretsError::Change(ChangeError::TooLarge { .. })), "{more}");
    let options = WriteOptions::default();
    let name = "API_0".parse().unwrap();
    let deleted = fixture.secrets.delete(&caller(), &api, &name, &options).await.unwrap();
    assert_eq!(deleted.bundles.len(), 1);
    let free = bundle(&api).await;
    assert_eq!(free.stuck, None);
    let held = fixture.secrets.repository.members(&free, free.rollout.stable).await.unwrap();
    let names: Vec<&str> = held.keys().map(SecretName::as_str).collect();
    assert_eq!(names.len(), 8);
    assert!(names.contains(&"SHARED_1") && !names.contains(&"API_0"), "{names:?}");
    // The generation from before is still what it was.
    let old = fixture.secrets.repository.members(&free, before).await.unwrap();
    assert_eq!(old.len(), 7);
}
