//! Values that are read with one call.

use contract::{Redacted, Scope};

use super::{CheckResult, ConformanceStore, check, error_chain, is_gone, name, put};
use crate::store::ActiveSecret;

pub(super) async fn together(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let wider = Scope::Project(scope.project().clone());
    let mut wanted = Vec::new();
    for (at, scope) in [scope, &wider, scope].into_iter().enumerate() {
        let secret = name(&format!("TOGETHER_{at}"))?;
        let stored = put(store, scope, &secret, 1, format!("value {at}").as_bytes()).await?;
        wanted.insert(0, ActiveSecret { scope: scope.clone(), name: secret, stored });
    }
    // In the order of the call, and one of them twice.
    wanted.push(wanted[0].clone());
    let found = store.read_versions(&wanted).await.map_err(error_chain)?;
    let expected: [&[u8]; 4] = [b"value 2", b"value 1", b"value 0", b"value 2"];
    check(
        found.iter().map(Redacted::expose).eq(expected),
        "values that were read together came out different",
    )?;
    let mut swapped = wanted.clone();
    swapped[0].name = wanted[2].name.clone();
    let answer = store.read_versions(&swapped).await;
    check(answer.is_err(), "a value was read under another name, together with others")?;
    let last = &wanted[2];
    store.destroy(&last.scope, &last.name, &last.stored).await.map_err(error_chain)?;
    is_gone(store.read_versions(&wanted).await)
}
