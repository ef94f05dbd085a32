//! `enclii agent status`: asks the agent in a pod, through kubectl.

use std::path::PathBuf;
use std::process::ExitCode;

use contract::AgentStatus;
use contract::layout::{AGENT_CONTAINER, AGENT_PROGRAM};

use crate::common_args::OutputFormat;
use crate::error::Error;
use crate::kubectl;
use crate::output::{GREEN, Output, RED, YELLOW};
use contract::agent_status::report::{Line, LineMark, lines, problems};

/// The longest status, in bytes: hundreds of times as long as the longest one of this version.
const MAX_STATUS_BYTES: usize = 1 << 20;

/// Show what the agent in a pod holds, how the application took it, what is wrong, and what to do.
///
/// The agent itself is asked, through kubectl: switchyard need not be there. The exit code is 1 if
/// something is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii agent status api-5d4f8-x7k2p --namespace shop-prod
  enclii agent status api-5d4f8-x7k2p -n shop-prod --output json")]
pub(crate) struct AgentStatusArgs {
    /// The pod, as kubectl names it.
    #[arg(value_parser = parse_pod)]
    pod: String,
    /// The namespace of the pod; without it, that of kubectl's current context.
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The kubectl to run.
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    kubectl: PathBuf,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

pub(super) async fn run(args: AgentStatusArgs, output: &Output) -> Result<ExitCode, Error> {
    let AgentStatusArgs { pod, namespace, kubectl, output: format } = args;
    let program = [AGENT_PROGRAM, "status", "--json"];
    let of = (pod.as_str(), AGENT_CONTAINER);
    let answer = kubectl::exec(&kubectl, namespace.as_deref(), of, &program).await;
    let failed = |reason: String| Error::System(format!("ask the agent of pod {pod}: {reason}"));
    let answer = answer.map_err(failed)?;
    // An agent that something is wrong with prints its status too, and fails.
    let status = match AgentStatus::from_json(answer.stdout.trim_ascii()) {
        Ok(status) if answer.stdout.len() <= MAX_STATUS_BYTES => status,
        _ if !answer.status.success() => return Err(failed(kubectl::reason(&answer))),
        _ => {
            return Err(failed(
                "it printed something else than a status; is its version another one?".to_owned(),
            ));
        }
    };
    let is_well = problems(&status).is_empty();
    if format == OutputFormat::Json {
        output.json(&status)?;
    } else {
        lines(&pod, &status).into_iter().for_each(|line| print(&line, output));
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(line: &Line, output: &Output) {
    let (mark, style) = match line.mark {
        None => return output.line(&line.text),
        Some(LineMark::Good) => ("✓", GREEN),
        Some(LineMark::Bad) => ("✗", RED),
        Some(LineMark::Unknown) => ("–", YELLOW),
    };
    output.marked_line(mark, style, &line.text);
}

/// A name that kubectl cannot take for a flag.
fn parse_pod(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('-') {
        return Err("must be the name of a pod".to_owned());
    }
    Ok(text.to_owned())
}
