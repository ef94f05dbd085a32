//! Vault Agent as the injector configures it: a template for each secret, a file for each template.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::process::Process;

use super::server::Server;

/// How often it polls a secret without a lease.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refresh {
    /// Its default: five minutes.
    Default,
    /// The shortest interval that it accepts.
    EverySecond,
}

/// The running agent.
pub(super) struct Agent {
    process: Process,
    files: Vec<PathBuf>,
}

impl Agent {
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        server: &Server,
        files: &Path,
        names: &[String],
        refresh: Refresh,
    ) -> Result<Self> {
        let (config, token) = (directory.join("agent.hcl"), directory.join("token"));
        put(&token, server.token())?;
        put(&config, &configuration(server.address(), &token, (files, names), refresh))?;
        let mut command = Command::new(program);
        command
            .arg("agent")
            .arg(format!("-config={}", config.display()))
            .env_clear()
            .env("HOME", directory);
        let process = Process::start("vault-agent", &mut command, directory)?;
        Ok(Self { process, files: names.iter().map(|name| files.join(name)).collect() })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// # Errors
    /// If it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Waits until every file exists. Each is renamed into place, so it is complete.
    pub(super) fn wait_for_files(&mut self, pause: Duration, timeout: Duration) -> Result<()> {
        let mut missing = self.files.iter().peekable();
        super::until_there(&mut self.process, pause, timeout, || {
            while missing.next_if(|file| file.exists()).is_some() {}
            missing.peek().is_none()
        })
    }
}

fn configuration(
    address: &str,
    token: &Path,
    (files, names): (&Path, &[String]),
    refresh: Refresh,
) -> String {
    let mut text = format!(
        "vault {{ address = {address:?} }}\n\
         auto_auth {{ method {{\n\
         type = \"token_file\"\nconfig = {{ token_file_path = {token:?} }}\n}} }}\n"
    );
    if let Refresh::EverySecond = refresh {
        text.push_str("template_config { static_secret_render_interval = \"1s\" }\n");
    }
    for name in names {
        let contents = format!(
            "{{{{ with secret \"secret/data/{name}\" }}}}{{{{ .Data.data.value }}}}{{{{ end }}}}"
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "template {{ contents = {contents:?} destination = {:?} }}",
            files.join(name)
        );
    }
    text
}

fn put(path: &Path, text: &str) -> Result<()> {
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}
