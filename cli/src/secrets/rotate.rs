//! `enclii secrets rotate`.

use contract::api::{Alphabet, Generate, RotateManyRequest, RotateRequest, Written};
use contract::layout::MAX_BUNDLE_SECRETS;
use contract::{Redacted, Scope, SecretName};
use jiff::Timestamp;

use super::report;
use super::value_source::ValueSource;
use crate::client::Client;
use crate::common_args::{ExpiryArgs, MessageArgs, SecretArgs, words};
use crate::error::Error;
use crate::output::Output;
use crate::{input, missing};

const EXAMPLES: &str = "\
Examples:
  enclii secrets rotate SESSION_KEY --service api --env prod --project shop
  enclii secrets rotate SESSION_KEY --length 64 --alphabet hex --env prod --project shop
  enclii secrets rotate STRIPE_API_KEY --value - --service api --env prod --project shop < new-key
  enclii secrets rotate STRIPE_API_KEY --ask --service api --env prod --project shop
  enclii secrets rotate SESSION_KEY CSRF_KEY --service api --env prod --project shop
  enclii secrets rotate --service api --env prod --project shop      (lists what --all would rotate)

Without --value and --ask, switchyard generates the new value and shows it nowhere. That suits keys
and passwords that no other system has to know; a connection string or a third party's key needs
--value or --ask. Several secrets are rotated as one generation of each bundle: all of them, or
none. The previous version is kept, and `enclii secrets rollback` makes it active again.";

/// Give existing secrets a new value, generated or given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RotateArgs {
    /// The secrets; without a name, all secrets of the scope are listed, and --all rotates them.
    #[arg(value_name = "NAME")]
    names: Vec<SecretName>,
    /// Rotate every secret of the scope.
    #[arg(long, conflicts_with_all = ["names", "value", "ask", "if_version"])]
    all: bool,
    /// Generate the value, which is the default without --value and --ask.
    #[arg(long, conflicts_with_all = ["value", "ask"])]
    generate: bool,
    /// The length of the generated value.
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value_t = Generate::default().length,
        value_parser = clap::value_parser!(u32)
            .range(i64::from(Generate::MIN_LENGTH)..=i64::from(Generate::MAX_LENGTH)),
        conflicts_with_all = ["value", "ask"]
    )]
    length: u32,
    /// The characters of the generated value.
    #[arg(
        long,
        value_name = "ALPHABET",
        default_value_t = Alphabet::Alphanumeric,
        value_parser = words(Alphabet::ALL, Alphabet::as_str),
        conflicts_with_all = ["value", "ask"]
    )]
    alphabet: Alphabet,
    /// The new value: `-` is standard input, @PATH a file, and '?' the same as --ask; a shell needs
    /// the quotes.
    // Not parsed by clap, whose error would quote it.
    #[arg(long, value_name = "-|@PATH|'?'")]
    value: Option<String>,
    /// Ask for the new value at the terminal, without echo.
    #[arg(long, conflicts_with = "value")]
    ask: bool,
    /// Rotate only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    if_version: Option<u64>,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: RotateArgs, output: &Output) -> Result<(), Error> {
    let RotateArgs { names, all, generate, length, alphabet, value, ask, .. } = args;
    let (if_version, yes) = (args.if_version, args.yes);
    let SecretArgs { scope, connection, output: format } = args.request;
    let source = match value.as_deref().map(parse_source).transpose()? {
        None if ask => Some(ValueSource::Terminal),
        source => source,
    };
    let scope = scope.scope()?;
    if names.len() != 1 && (source.is_some() || if_version.is_some()) {
        return Err(Error::Usage(
            "--value, --ask and --if-version need exactly one NAME; a shell replaces an unquoted \
             '?' by names of files: --ask needs no quotes"
                .to_owned(),
        ));
    }
    let client = Client::new(&connection, output)?;
    let names = if names.is_empty() {
        names_of_scope(&client, &scope, all, yes, output).await?
    } else {
        names
    };
    let value = match (source, names.first()) {
        (Some(ValueSource::File(path)), _) => Some(input::file(&path)?),
        (Some(ValueSource::Stdin), _) => Some(input::stdin_value()?),
        (Some(_), Some(name)) if input::is_terminal() => Some(input::prompt(name)?),
        (Some(_), Some(_)) => {
            return Err(Error::Usage(
                "there is no terminal to ask on: give --value - (standard input) or --value @PATH"
                    .to_owned(),
            ));
        }
        _ => None,
    };
    if value.as_ref().is_some_and(Redacted::is_empty) {
        output.note("the new value is empty: its input has no byte");
    }
    let generate = (generate || value.is_none()).then_some(Generate { length, alphabet });
    let expires_at = args.expiry.at(Timestamp::now());
    let message = args.message.message;
    let request = RotateRequest { value, generate, if_version, message, expires_at };
    match rotate(&client, &scope, &names, request).await {
        Ok(written) => report::written(&written, format, output),
        Err(error) => {
            let only = match names.as_slice() {
                [name] => Some(name),
                _ => None,
            };
            Err(missing::explain(&client, &scope, only, error).await)
        }
    }
}

/// Rotates all secrets as one generation.
async fn rotate(
    client: &Client<'_>,
    scope: &Scope,
    names: &[SecretName],
    request: RotateRequest,
) -> Result<Written, Error> {
    if let [name] = names {
        return client.rotate(scope, name, &request).await;
    }
    if names.len() > MAX_BUNDLE_SECRETS {
        return Err(Error::Usage(format!(
            "one generation has at most {MAX_BUNDLE_SECRETS} secrets, and these are {}: rotate \
             them in parts",
            names.len()
        )));
    }
    let one = |name: &SecretName| {
        let RotateRequest { generate, ref message, expires_at, .. } = request;
        let message = message.clone();
        let one = RotateRequest { generate, message, expires_at, ..RotateRequest::default() };
        (name.clone(), one)
    };
    let secrets = names.iter().map(one).collect();
    client.rotate_many(scope, &RotateManyRequest { secrets }).await
}

/// Every secret of the scope, once the user has agreed.
async fn names_of_scope(
    client: &Client<'_>,
    scope: &Scope,
    all: bool,
    yes: bool,
    output: &Output,
) -> Result<Vec<SecretName>, Error> {
    let listed = match client.list(scope).await {
        Ok(listed) => listed,
        Err(error) => return Err(missing::explain(client, scope, None, error).await),
    };
    let names: Vec<SecretName> = listed.into_iter().map(|it| it.name).collect();
    let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => Err(Error::Usage(format!("{scope} has no secrets"))),
        count if !all => Err(Error::Usage(format!(
            "--all would generate new values for {count} secrets of {scope}: {listed}"
        ))),
        count
            if !yes
                && !output.confirm(&format!(
                    "Generate new values for {count} secrets of {scope}: {listed}?"
                ))? =>
        {
            Err(Error::NotConfirmed("rotated"))
        }
        _ => Ok(names),
    }
}

/// Parses `--value`, which never holds the value itself.
fn parse_source(text: &str) -> Result<ValueSource, Error> {
    match text {
        "-" => Ok(ValueSource::Stdin),
        "?" => Ok(ValueSource::Terminal),
        path if path.len() > 1 && path.starts_with('@') => Ok(ValueSource::File(path[1..].into())),
        _ => Err(Error::Usage(
            "--value: give - (standard input), @PATH (a file) or '?' (asks; a shell replaces it by \
             the name of a file unless it is quoted, and --ask needs no quotes): a value does not \
             belong on the command line"
                .to_owned(),
        )),
    }
}
