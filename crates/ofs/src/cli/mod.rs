//! The command line: what there is, and which function does it. Client commands only speak HTTP.

mod args;
mod audit;
mod bench;
pub mod client;
mod config;
mod doctor;
pub(crate) mod door;
mod events;
mod health;
mod import;
mod index;
mod keys;
mod offline;
mod order;
pub mod output;
mod parked;
mod pipeline;
mod watch;

pub use crate::failure::{Exit, Failure};
pub use args::{Cli, Command, ForgetArgs, MigrateArgs, RepairArgs, ResetArgs, ResetTo, RunArgs};

use crate::config::{Config, Flag, Inputs};
use crate::telemetry;
use args::EventsCommand;
use clap::{CommandFactory as _, Parser as _};
use client::Client;
use ofs_runtime::text::printable;
use output::Format;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the command that the process was called with, to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--json") => {
            let text = error.render().to_string();
            return report(Format::Json, &Failure::new(Exit::Usage, text.trim_end()));
        }
        // Help and version leave with 0, wrong usage with 2.
        Err(error) => error.exit(),
    };
    let format = if cli.json { Format::Json } else { Format::Text };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(dispatch(cli, format));
            // Whatever a command left behind (a stuck name lookup) must not keep the process.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(anyhow::Error::from(error).context("cannot start the runtime")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(format, &Failure::of(error)),
    }
}

fn report(format: Format, failure: &Failure) -> ExitCode {
    let text = match format {
        Format::Json => failure.problem.to_string(),
        Format::Text => {
            let lines = failure.to_string();
            let lines: Vec<String> = lines.lines().map(printable).collect();
            format!("error: {}", lines.join("\n"))
        }
    };
    // If stderr is closed, the message cannot be shown.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(failure.exit as u8)
}

async fn dispatch(cli: Cli, format: Format) -> anyhow::Result<()> {
    let inputs = Inputs::of_process(cli.config.clone(), cli.flags()?);
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ofs", &mut script);
            Ok(output::write(&String::from_utf8_lossy(&script))?)
        }
        Command::Openapi => Ok(output::line(&offline::openapi()?)?),
        Command::Config { command } => config::run(format, &inputs, command),
        command => {
            let config = Config::load(&inputs)?;
            for warning in &config.settings.warnings {
                let _ = writeln!(std::io::stderr(), "warning: {warning}");
            }
            with_config(format, config, command).await
        }
    }
}

async fn with_config(format: Format, config: Config, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => {
            telemetry::logs(&config)?;
            return offline::run(config, args).await;
        }
        Command::Migrate(args) => {
            telemetry::logs(&config)?;
            let done = offline::migrate(config, args).await?;
            return Ok(output::document(format, &done)?);
        }
        Command::Grants { on } => {
            return Ok(output::write(&offline::grants(&config, *on)?)?);
        }
        Command::Doctor => {
            telemetry::logs(&config)?;
            return doctor::run(format, &config).await;
        }
        Command::Repair(args) => {
            telemetry::logs(&config)?;
            let done = offline::repair(config, args).await?;
            return Ok(output::document(format, &done)?);
        }
        Command::Keys { command } => return keys::run(format, &config, command).await,
        Command::Audit { command } => return audit::run(format, &config, command).await,
        Command::Events { command: EventsCommand::Reset(args) } => {
            telemetry::logs(&config)?;
            let done = offline::reset(config, args).await?;
            return Ok(output::document(format, &done)?);
        }
        Command::Events { command: EventsCommand::Groups } => {
            telemetry::logs(&config)?;
            let found = offline::groups(config).await?;
            return Ok(output::document(format, &found)?);
        }
        Command::Events { command: EventsCommand::Forget(args) } => {
            telemetry::logs(&config)?;
            let done = offline::forget(config, args).await?;
            return Ok(output::document(format, &done)?);
        }
        _ => {}
    }
    let client = Client::new(&config.server, config.api_key.as_deref())?;
    match command {
        Command::Order { command } => order::run(format, &config, &client, command).await,
        Command::Events { command: EventsCommand::Tail(args) } => {
            events::tail(format, &client, args).await
        }
        Command::Parked { command } => parked::run(format, &client, command).await,
        Command::Pipeline => pipeline::run(format, &client).await,
        Command::Bench(args) => bench::run(format, &config, &client, args).await,
        Command::Index { command } => index::run(format, &client, command).await,
        Command::Health => health::run(format, &client).await,
        Command::Run(_)
        | Command::Migrate(_)
        | Command::Grants { .. }
        | Command::Doctor
        | Command::Repair(_)
        | Command::Events { .. }
        | Command::Keys { .. }
        | Command::Audit { .. }
        | Command::Config { .. }
        | Command::Openapi
        | Command::Completions { .. } => Ok(()),
    }
}

impl Cli {
    fn flags(&self) -> Result<Vec<Flag>, crate::config::Error> {
        let flag = |key, name, value: Option<String>| Some(Flag { key, name, value: value? });
        let mut flags: Vec<_> =
            flag("server", "--server", self.server.clone()).into_iter().collect();
        if let Command::Run(run) = &self.command {
            flags.extend(flag("listen", "--listen", run.listen.clone()));
            flags.extend(flag("data-dir", "--data-dir", run.data_dir.clone()));
        }
        let key = self.api_key_file.as_deref().map(crate::config::secret).transpose()?;
        flags.extend(flag("api-key", "--api-key-file", key));
        Ok(flags)
    }
}
