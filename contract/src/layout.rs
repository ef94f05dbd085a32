//! The names and paths of an injected pod, in one place: the webhook writes them, the agent uses
//! them, and policies and people look for them.

/// The container that holds the secrets: an init container, or the first of the ordinary ones (see
/// [`crate::placement`]).
pub const AGENT_CONTAINER: &str = "enclii-agent";

/// The agent's program in its image.
pub const AGENT_PROGRAM: &str = "/enclii-agent";

/// The name of the agent's port, where the pod asks for the agent's metrics.
pub const AGENT_METRICS_PORT: &str = "enclii-metrics";

/// The program for database protocols in the agent's image. The agent runs it while it checks a
/// login, so that neither its code nor its memory is there at other times.
pub const LOGIN_CHECK_PROGRAM: &str = "/enclii-login-check";

/// The program for templates in the agent's image. The agent runs it while it renders, for the same
/// reason.
pub const RENDER_PROGRAM: &str = "/enclii-render";

/// The memory volume that holds the secrets.
pub const SECRETS_VOLUME: &str = "enclii-secrets";

/// Where applications find the secrets.
pub const SECRETS_DIRECTORY: &str = "/run/secrets";

/// The projected service-account token of the agent, mounted in the agent alone.
pub const TOKEN_VOLUME: &str = "enclii-token";

/// Where the agent finds its token's directory.
pub const TOKEN_DIRECTORY: &str = "/run/enclii/identity";

/// The token's file in [`TOKEN_DIRECTORY`].
pub const TOKEN_FILE: &str = "token";

/// The audience of the agent's token.
pub const TOKEN_AUDIENCE: &str = "enclii.io";

/// The lifetime of the agent's token, in seconds; kubelet replaces it at 80 % of that. Kubernetes
/// grants no less than 600.
pub const TOKEN_LIFETIME_SECONDS: u32 = 600;

/// The memory volume with the agent's program, for containers whose command it starts.
pub const PROGRAM_VOLUME: &str = "enclii-program";

/// Where the program's volume is mounted, read-only in the application's containers.
pub const PROGRAM_DIRECTORY: &str = "/run/enclii/bin";

/// The program's file in [`PROGRAM_DIRECTORY`].
pub const PROGRAM_FILE: &str = "enclii-agent";

/// The volume with the templates that ConfigMaps hold, mounted in the agent alone.
pub const TEMPLATE_VOLUME: &str = "enclii-templates";

/// Where the agent finds them, each by the name of the file that it renders.
pub const TEMPLATE_DIRECTORY: &str = "/run/enclii/templates";

/// Where the agent mounts the volume with HAProxy's socket.
pub const SOCKET_DIRECTORY: &str = "/run/enclii/socket";

/// Where the agent mounts the volumes that it fills in place of a Secret's, each by its name.
pub const VOLUMES_DIRECTORY: &str = "/run/enclii/volumes";

/// Every volume of an injected pod. A name is reserved where the pod has such a volume, and no
/// container but the agent mounts one, except as the webhook mounts it.
pub const VOLUMES: [&str; 4] = [SECRETS_VOLUME, TOKEN_VOLUME, PROGRAM_VOLUME, TEMPLATE_VOLUME];

/// The words before a command that the agent's program starts.
pub const EXEC_WORDS: [&str; 3] = ["/run/enclii/bin/enclii-agent", "exec", "--"];

/// The variable with what `exec` does (JSON, see [`crate::exec_config`]). The command that it
/// starts does not get it.
pub const EXEC_VARIABLE: &str = "ENCLII_EXEC";

/// The symbolic link in the secrets directory that is swapped: `..data -> ..<generation>`.
pub const DATA_LINK: &str = "..data";

/// The directory of the files from which kubelet reads variables (`fileKeyRef`), one for each
/// secret: a link into [`DATA_LINK`], which such a path may not name. No secret has this name.
pub const ENV_DIRECTORY: &str = ".env";

/// The directory of [`SECRETS_VOLUME`] of which the container that gets a signal mounts its own
/// subdirectory, by its name, so that the mounts of a process tell which container it is in. A
/// process can overwrite its environment, as a title does, but not that. No secret has this name.
pub const CONTAINER_MARKS: &str = ".container";

/// Where such a container has that mount. It is read-only and empty.
pub const CONTAINER_MARK_DIRECTORY: &str = "/run/enclii/container";

/// The longest value that is delivered as a variable, in bytes. Kubelet reads lines of less than
/// 64 KiB, and the kernel takes 128 KiB for a variable.
pub const MAX_ENV_VALUE_BYTES: usize = 60_000;

/// The first component of the path at which kubelet mounts the service-account token below
/// `/var/run/secrets`. Many images link `/var/run` to `/run`, so the mount point is in the secrets
/// volume: the agent creates it before any application starts, and no secret may have its name.
pub const SERVICE_ACCOUNT_DIRECTORY: &str = "kubernetes.io";

/// The mount point's second component.
pub const SERVICE_ACCOUNT_SUBDIRECTORY: &str = "serviceaccount";

/// The variable with the agent's configuration (JSON, see [`crate::agent_config`]).
pub const CONFIG_VARIABLE: &str = "ENCLII_AGENT_CONFIG";

/// The longest agent configuration, in bytes: the kernel takes 128 KiB for a variable with its
/// name.
pub const MAX_CONFIG_BYTES: usize = (128 << 10) - 64;

/// The variable with the pod's UID, in the agent and in the container that gets the signal: with
/// [`CONTAINER_VARIABLE`] it identifies the processes of that container.
pub const POD_UID_VARIABLE: &str = "ENCLII_POD_UID";

/// The variable with the container's own name, in the container that gets the signal.
pub const CONTAINER_VARIABLE: &str = "ENCLII_CONTAINER";

/// The namespace label with the project of a namespace.
pub const PROJECT_LABEL: &str = "enclii.io/project";

/// The namespace label with the environment of a namespace.
pub const ENVIRONMENT_LABEL: &str = "enclii.io/environment";

/// The agent's exit code at which kubelet restarts all containers of the pod (Kubernetes 1.36).
pub const RESTART_EXIT_CODE: u8 = 88;

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// The largest total size of one pod's secrets, in bytes. The memory volume holds three
/// generations: the one in use, the one being written and the one kept for late readers.
pub const MAX_POD_BYTES: usize = 8 << 20;

/// The most steps of one template.
pub const MAX_TEMPLATE_STEPS: u64 = 500_000;

/// The largest number of secrets in one bundle.
pub const MAX_BUNDLE_SECRETS: usize = 1000;

/// The largest number of secrets in one scope. More than a bundle holds, since not every scope has
/// a service; little enough that no list or write of a scope takes long.
pub const MAX_SCOPE_SECRETS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_program_in_its_volume() {
        assert_eq!(EXEC_WORDS[0], format!("{PROGRAM_DIRECTORY}/{PROGRAM_FILE}"));
    }
}
