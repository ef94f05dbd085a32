//! Where a pod's agent gets the secrets from, as the operator chose.

use contract::agent_config::Source;
use contract::{Placement, layout};

use crate::agent_settings::AgentSettings;
use crate::choice::SecretSource;
use crate::compat::LoginChoice;
use crate::config::InjectionConfig;
use crate::diagnostics::Diagnostics;
use crate::requested::RequestedSecrets;
use crate::vault::{self, VaultPod};

/// The source in the agent's configuration, with what the pod may choose of the login.
pub(crate) fn resolve(
    requested: &RequestedSecrets<'_>,
    settings: &AgentSettings<'_>,
    (config, choice): (&InjectionConfig, Option<&LoginChoice>),
    diagnostics: &mut Diagnostics,
) -> Source {
    match config.source {
        SecretSource::Switchyard => Source::Switchyard {
            address: config.switchyard.clone(),
            ca: config.trust.clone(),
            token_file: format!("{}/{}", layout::TOKEN_DIRECTORY, layout::TOKEN_FILE),
        },
        SecretSource::Vault => {
            let secrets = vault::secrets(requested.looked_up(), diagnostics);
            let pod = VaultPod {
                namespace: requested.namespace(),
                service_account: requested.service_account(),
                agent_ends_last: settings.placement == Some(Placement::Native),
            };
            let mut source = config.vault.source(&config.trust, pod, secrets);
            if let Some(choice) = choice {
                choice.apply(&mut source, pod);
            }
            Source::Vault(source)
        }
    }
}
