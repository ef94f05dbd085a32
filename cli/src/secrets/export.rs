//! `enclii secrets export`.

use std::io;
use std::path::{Path, PathBuf};

use contract::api::SecretOrigin;
use contract::{Redacted, Scope, SecretName};
use runtime::atomic_file;

use crate::client::{Client, ManyValues};
use crate::common_args::{ConnectionArgs, ScopeArgs};
use crate::error::Error;
use crate::file_formats::{self, FileFormat, ObjectMeta, PrintedFile, SecretValues};
use crate::missing;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets export --service api --env prod --project shop > .env
  enclii secrets export --service api --env prod --project shop --out api.json
  enclii secrets export --service api --env prod --project shop --format k8s-secret \
    | kubectl apply -f -
  enclii secrets export DATABASE_URL --env prod --project shop --format json
  enclii secrets export --inherited --service api --env prod --project shop > .env

The export is plaintext: protect the place it goes to. `enclii run` passes values to a program
without a file on disk. The audit log has an event for each value that is read. Only its owner can
read a file written by --out. `enclii secrets import` reads every format. A .env file can be sourced
by a shell and read by dotenv's parsers; a note names the values that they read differently.";

/// Print the values of a scope's secrets as .env, JSON, YAML, properties or a Kubernetes Secret.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportSecretsArgs {
    /// The secrets; without a name, all secrets of the scope.
    #[arg(value_name = "NAME")]
    names: Vec<SecretName>,
    /// Include the secrets that the scope inherits from its environment and project.
    #[arg(long)]
    inherited: bool,
    /// The format; without it, that of the file's extension, or else env.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// The file to write, with mode 0600, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long, requires = "out")]
    force: bool,
    /// The name of the Kubernetes Secret; without it, the bundle's, such as api-prod.
    #[arg(long, value_name = "NAME", value_parser = parse_object_name)]
    secret_name: Option<String>,
    /// The namespace of the Kubernetes Secret.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_object_name)]
    namespace: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ExportSecretsArgs, output: &Output) -> Result<(), Error> {
    let scope = args.scope.scope()?;
    let format = args
        .format
        .or_else(|| args.out.as_deref().and_then(FileFormat::from_path))
        .unwrap_or(FileFormat::Env);
    if let Some(path) = args.out.as_deref().filter(|it| !args.force && it.exists()) {
        return Err(file_exists(path));
    }
    let client = Client::new(&args.connection, output)?;
    let names = select(&client, &scope, args.names, args.inherited, output).await?;
    let values = read_values(&client, &scope, names, args.inherited, output).await?;
    let metadata = ObjectMeta {
        name: args.secret_name.unwrap_or_else(|| default_object_name(&scope)),
        namespace: args.namespace,
    };
    let PrintedFile { text, notes } =
        file_formats::print(&values, format, &metadata).map_err(Error::Usage)?;
    match args.out {
        Some(path) => {
            write(&path, &text, args.force).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => file_exists(&path),
                _ => Error::Write { path: path.clone(), source },
            })?;
            output.success(&format!(
                "{} secrets of {scope} are in {} (mode 0600)",
                values.len(),
                path.display()
            ));
        }
        None => {
            if output.is_terminal() {
                output.note("secret values follow");
            }
            output.bytes(text.expose())?;
        }
    }
    notes.iter().for_each(|note| output.note(note));
    Ok(())
}

/// The names to export: those that were given, or all of the scope.
async fn select(
    client: &Client<'_>,
    scope: &Scope,
    names: Vec<SecretName>,
    inherited: bool,
    output: &Output,
) -> Result<Vec<SecretName>, Error> {
    if !names.is_empty() {
        return Ok(names);
    }
    let listed =
        if inherited { client.list_inherited(scope).await } else { client.list(scope).await };
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return Err(missing::explain(client, scope, None, error).await),
    };
    if listed.is_empty() {
        output.note(&format!("{scope} has no secrets"));
    }
    Ok(listed.into_iter().map(|it| it.name).collect())
}

async fn read_values(
    client: &Client<'_>,
    scope: &Scope,
    names: Vec<SecretName>,
    inherited: bool,
    output: &Output,
) -> Result<SecretValues, Error> {
    let ManyValues { mut found, denied } =
        client.read_many(scope, names.iter().cloned(), inherited).await?;
    let (mut values, mut from_wider) = (SecretValues::default(), Vec::new());
    for name in names {
        let value = match found.remove(&name) {
            Some(found) => {
                if found.origin == SecretOrigin::Inherited {
                    from_wider.push(format!("{name} of {}", found.scope));
                }
                found.value
            }
            // A read of this one alone says why.
            None => match client.read(denied.get(&name).unwrap_or(scope), &name).await {
                Ok(read) => read.value,
                Err(error) => {
                    return Err(missing::explain(client, scope, Some(&name), error).await);
                }
            },
        };
        values.add(name, value).map_err(Error::Usage)?;
    }
    if !from_wider.is_empty() {
        output.note(&format!("inherited: {}", from_wider.join(", ")));
    }
    Ok(values)
}

fn file_exists(path: &Path) -> Error {
    Error::FileExists { path: path.to_owned(), advice: "--force replaces it" }
}

/// Writes a new file that only its owner can read; never through a symbolic link. An existing file
/// is replaced atomically.
fn write(path: &Path, text: &Redacted, force: bool) -> io::Result<()> {
    if force {
        atomic_file::write(path, text.expose(), 0o600)
    } else {
        atomic_file::create(path, text.expose(), 0o600)
    }
}

/// The name that a pod refers to: `api-prod` for `shop.prod.api`.
fn default_object_name(scope: &Scope) -> String {
    match scope {
        Scope::Project(project) => project.to_string(),
        Scope::Environment(project, environment) => format!("{project}-{environment}"),
        Scope::Service(_, environment, service) => format!("{service}-{environment}"),
    }
}

fn parse_object_name(text: &str) -> Result<String, String> {
    let valid =
        text.len() <= 253 && text.split('.').all(|part| part.parse::<contract::Label>().is_ok());
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must be a DNS name: labels of a-z, 0-9 and '-', separated by dots".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_read_a_file_and_it_is_replaced_only_with_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.env");
        write(&path, &Redacted::from(b"A=1\n".as_slice()), false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            write(&path, &Redacted::default(), false).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        write(&path, &Redacted::from(b"A=2\n".as_slice()), true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"A=2\n");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        assert!(write(&link, &Redacted::default(), false).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
