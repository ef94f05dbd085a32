//! `enclii secrets …`.

use std::io::Read;

use contract::api::{NewValue, WriteRequest};
use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, Scope, SecretName};

use crate::args::{Delete, Format, Get, List, Request, Secrets, Set, Versions, Where};
use crate::assignment::{Assignment, Origin};
use crate::client::Client;
use crate::env_file;
use crate::error::Error;
use crate::output::Output;

pub(crate) async fn run(command: Secrets, output: &Output) -> Result<(), Error> {
    match command {
        Secrets::Set(it) => set(it, output).await,
        Secrets::Get(it) => get(it, output).await,
        Secrets::List(it) => list(it, output).await,
        Secrets::Versions(it) => versions(it, output).await,
        Secrets::Delete(it) => delete(it, output).await,
    }
}

async fn set(args: Set, output: &Output) -> Result<(), Error> {
    let Set { assignments, env_file, literal, request: Request { place, connection, output: format } } = args;
    let scope = scope(place)?;
    let mut request = WriteRequest::default();
    let mut add = |name: SecretName, value: Redacted| {
        if value.len() > MAX_VALUE_BYTES {
            return Err(Error::Usage(format!("value of {name}: {} bytes are over the limit of {MAX_VALUE_BYTES}", value.len())));
        }
        if value.expose().ends_with(b"\n") {
            output.note(&format!("the value of {name} ends with a line end, which is kept"));
        }
        match request.secrets.insert(name.clone(), NewValue { value }) {
            None => Ok(()),
            Some(_) => Err(Error::Usage(format!("{name} is given twice"))),
        }
    };
    if let Some(path) = env_file {
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        for (name, value) in env_file::parse(&text).map_err(|error| Error::Manifest { path, reason: error.to_string() })? {
            add(name, value)?;
        }
    }
    let mut stdin_taken = false;
    for argument in &assignments {
        let Assignment { name, value } = Assignment::parse(argument, literal)?;
        let value = match value {
            Origin::Given(value) => value,
            Origin::Stdin if stdin_taken => return Err(Error::Usage("standard input can be one value only".to_owned())),
            Origin::Stdin => {
                stdin_taken = true;
                stdin()?
            }
            Origin::File(path) => std::fs::read(&path).map(Redacted::new).map_err(|source| Error::Read { path, source })?,
        };
        add(name, value)?;
    }
    if request.secrets.is_empty() {
        return Err(Error::Usage("nothing to write: the file has no secrets".to_owned()));
    }

    let written = Client::new(&connection)?.write(&scope, &request).await?;
    if format == Format::Json {
        return output.json(&written);
    }
    for (name, version) in &written.versions {
        output.done(&format!("{scope} {name} is version {version}"));
    }
    for state in &written.bundles {
        output.line(&format!("bundle {} ({}) is generation {}", state.bundle, state.scope, state.generation));
    }
    if written.bundles.is_empty() {
        output.note(&format!("no bundle holds {scope} yet: a bundle comes into being with its service's first secret"));
    }
    Ok(())
}

fn stdin() -> Result<Redacted, Error> {
    let mut bytes = Vec::new();
    // One byte over the limit is enough to know.
    let limit = u64::try_from(MAX_VALUE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(Error::Stdin)?;
    Ok(Redacted::new(bytes))
}

async fn get(args: Get, output: &Output) -> Result<(), Error> {
    let Get { name, request: Request { place, connection, output: format } } = args;
    let secret = Client::new(&connection)?.read(&scope(place)?, &name).await?;
    match format {
        Format::Table => output.bytes(secret.value.expose()),
        Format::Json => {
            let body = secret.to_body().map_err(|error| Error::Start(error.to_string()))?;
            output.bytes(&[body.expose(), b"\n"].concat())
        }
    }
}

async fn list(args: List, output: &Output) -> Result<(), Error> {
    let List { request: Request { place, connection, output: format } } = args;
    let list = Client::new(&connection)?.list(&scope(place)?).await?;
    if format == Format::Json {
        return output.json(&list);
    }
    if list.secrets.is_empty() {
        output.note(&format!("{} has no secrets", list.scope));
        return Ok(());
    }
    let rows: Vec<_> = list
        .secrets
        .iter()
        .map(|it| vec![it.name.to_string(), it.version.to_string(), it.updated_at.clone(), it.created_at.clone()])
        .collect();
    output.table(&["NAME", "VERSION", "UPDATED", "CREATED"], &rows);
    Ok(())
}

async fn versions(args: Versions, output: &Output) -> Result<(), Error> {
    let Versions { name, request: Request { place, connection, output: format } } = args;
    let list = Client::new(&connection)?.versions(&scope(place)?, &name).await?;
    if format == Format::Json {
        return output.json(&list);
    }
    let rows: Vec<_> = list
        .versions
        .iter()
        .map(|it| vec![it.version.to_string(), it.state.as_str().to_owned(), it.created_at.clone(), it.created_by.clone()])
        .collect();
    output.table(&["VERSION", "STATE", "CREATED", "BY"], &rows);
    Ok(())
}

async fn delete(args: Delete, output: &Output) -> Result<(), Error> {
    let Delete { name, yes, request: Request { place, connection, output: format } } = args;
    let scope = scope(place)?;
    if !yes && !output.confirm(&format!("Delete {name} from {scope}? Its file leaves every pod that holds it."))? {
        return Err(Error::NotConfirmed);
    }
    let deleted = Client::new(&connection)?.delete(&scope, &name).await?;
    if format == Format::Json {
        return output.json(&deleted);
    }
    output.done(&format!("{scope} {name} is deleted"));
    for state in &deleted.bundles {
        output.line(&format!("bundle {} ({}) is generation {}", state.bundle, state.scope, state.generation));
    }
    Ok(())
}

fn scope(place: Where) -> Result<Scope, Error> {
    Scope::new(place.project, place.env, place.service)
        .ok_or_else(|| Error::Usage("--service needs --env: a service's secrets are per environment".to_owned()))
}
