//! `enclii secrets export`.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use contract::{Redacted, Scope, SecretName};

use crate::client::Client;
use crate::common::{self, Connection, Where};
use crate::error::Error;
use crate::output::Output;
use crate::values::{self, Form, Identity, Values};

const EXAMPLES: &str = "\
Examples:
  enclii secrets export --service api --env prod --project shop > .env
  enclii secrets export --service api --env prod --project shop --out api.json
  enclii secrets export --service api --env prod --project shop --format k8s-secret | kubectl apply -f -
  enclii secrets export DATABASE_URL --env prod --project shop --format json

What is exported is plaintext: it is safe only where it goes. `enclii run` hands values to a program
without a file on disk. Each value that is read is in the audit trail. What is written by --out is
readable by its owner alone, and `enclii secrets import` reads every form back.";

/// Print the values of a scope's secrets as .env, JSON, YAML or a Kubernetes Secret.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secrets; without one, all of the scope.
    #[arg(value_name = "NAME", value_parser = common::name)]
    names: Vec<SecretName>,
    /// The form; without it the file's name tells, else .env.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// The file to write, with mode 0600, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file where it is there already.
    #[arg(long, requires = "out")]
    force: bool,
    /// The name of the Kubernetes Secret; without it the bundle's: api-prod.
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    secret_name: Option<String>,
    /// The namespace of the Kubernetes Secret.
    #[arg(long, value_name = "NAMESPACE", value_parser = object_name)]
    namespace: Option<String>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let scope = args.place.scope()?;
    let form =
        args.format.or_else(|| args.out.as_deref().and_then(Form::of_name)).unwrap_or(Form::Env);
    if let Some(path) = args.out.as_deref().filter(|it| !args.force && it.exists()) {
        return Err(Error::Write {
            path: path.to_owned(),
            source: io::Error::from(io::ErrorKind::AlreadyExists),
        });
    }
    let client = Client::new(&args.connection, output)?;
    let values = gather(&client, &scope, args.names, output).await?;
    let identity = Identity {
        name: args.secret_name.unwrap_or_else(|| object_of(&scope)),
        namespace: args.namespace,
    };
    let text = values::print(&values, form, &identity).map_err(Error::Usage)?;
    match args.out {
        Some(path) => {
            write(&path, &text, args.force)
                .map_err(|source| Error::Write { path: path.clone(), source })?;
            output.done(&format!(
                "{} secrets of {scope} are in {} (mode 0600)",
                values.len(),
                path.display()
            ));
            Ok(())
        }
        None => {
            if output.is_terminal() {
                output.note("values follow");
            }
            output.bytes(text.expose())
        }
    }
}

async fn gather(
    client: &Client<'_>,
    scope: &Scope,
    mut names: Vec<SecretName>,
    output: &Output,
) -> Result<Values, Error> {
    if names.is_empty() {
        names = client.list(scope).await?.into_iter().map(|it| it.name).collect();
    }
    if names.is_empty() {
        output.note(&format!("{scope} has no secrets"));
    }
    let mut values = Values::default();
    for (done, name) in names.iter().enumerate() {
        output.progress("reading", done, names.len());
        values.add(name.clone(), client.read(scope, name).await?.value).map_err(Error::Usage)?;
    }
    output.progress_ends();
    Ok(values)
}

/// Never through a link, never into a file that others may read; an old file goes only when the new
/// one is whole.
fn write(path: &Path, text: &Redacted, force: bool) -> io::Result<()> {
    let fill = |path: &Path| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.expose())
            .and_then(|()| file.sync_all())
            .inspect_err(|_| drop(std::fs::remove_file(path)))
    };
    if !force {
        return fill(path);
    }
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    fill(&beside)?;
    std::fs::rename(&beside, path).inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

/// `shop.prod.api` becomes `api-prod`, as a pod would ask for it.
fn object_of(scope: &Scope) -> String {
    match scope {
        Scope::Project(project) => project.to_string(),
        Scope::Environment(project, environment) => format!("{project}-{environment}"),
        Scope::Service(_, environment, service) => format!("{service}-{environment}"),
    }
}

fn object_name(text: &str) -> Result<String, String> {
    let fits =
        text.len() <= 253 && text.split('.').all(|part| part.parse::<contract::Label>().is_ok());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be a DNS name: labels of a-z, 0-9 and '-', joined by dots".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_is_not_replaced_unasked() {
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
