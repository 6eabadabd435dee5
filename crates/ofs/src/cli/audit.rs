//! `ofs audit`: list what was done, and look whether the trail is whole.

use super::door::{self, Door};
use super::order::items;
use super::output::{self, Format, text};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::http::Trail;
use clap::{Args, Subcommand};
use ofs_runtime::access;
use serde_json::{Value, to_value};

/// `ofs audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Who did what, when, from where and why; oldest first.
    #[command(before_help = "\
Examples:
  ofs audit list
  ofs audit list --after 200 --limit 200
  ofs audit list --json | jq '.entries[].entry | select(.action == \"refused\")'")]
    List(ListArgs),
    /// Whether every entry is there, as it was written, in its place; exit code 1 if not.
    #[command(before_help = "\
Examples:
  ofs audit verify
  ofs audit verify --json | jq -r .hash  the newest entry's hash, to be kept elsewhere")]
    Verify,
}

/// `ofs audit list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only entries with a higher number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// How many, 1 to 200.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=200))]
    limit: u8,
}

pub(super) async fn run(
    format: Format,
    config: &Config,
    command: &AuditCommand,
) -> anyhow::Result<()> {
    match (command, door::open(config).await?) {
        (AuditCommand::List(args), door) => {
            let trail = match door {
                Door::Server(client) => {
                    let after = ("after", Some(args.after.to_string()));
                    let limit = ("limit", Some(args.limit.to_string()));
                    client.get(&["audit"], &[after, limit]).await?
                }
                Door::Store(access) => {
                    let page = access.trail(args.after, usize::from(args.limit)).await?;
                    to_value(Trail::from(page))?
                }
            };
            Ok(list(format, &trail)?)
        }
        (AuditCommand::Verify, door) => {
            let verified = match door {
                Door::Server(client) => client.get(&["audit", "verify"], &[]).await?,
                Door::Store(access) => to_value(access::verify(&*access).await?)?,
            };
            output::document(format, &verified)?;
            if items(&verified, "findings").next().is_none() {
                return Ok(());
            }
            let detail = "the audit trail is not as it was written, as listed";
            Err(Failure::new(Exit::Failed, detail).into())
        }
    }
}

fn list(format: Format, trail: &Value) -> std::io::Result<()> {
    let members = ["/seq", "/entry/at", "/entry/action", "/entry/who", "/entry/from"];
    let members = [&members[..], &["/entry/subject", "/entry/reason"]].concat();
    let heads = ["number", "at", "action", "who", "from", "with", "why"];
    let row = |noted: &Value| members.iter().map(|member| text(noted, member)).collect();
    let rows: Vec<_> = items(trail, "entries").map(row).collect();
    output::list(format, trail, &heads, &rows)
}
