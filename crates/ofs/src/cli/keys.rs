//! `ofs keys`: create, list, revoke. On a running server through its API, else in the store.

use super::client::Client;
use super::door::{self, Door};
use super::order::items;
use super::output::{self, Format, text};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::here::entry;
use crate::http::{KeyList, KeyView, MadeKey, NewKey};
use clap::{Args, Subcommand};
use ofs_events::Timestamp;
use ofs_runtime::access::{Access, Keyring, Scope};
use ofs_runtime::context::Context;
use ofs_runtime::problem::Problem;
use serde_json::{Value, json, to_value};
use std::sync::Arc;
use uuid::Uuid;

/// `ofs keys …`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; it is shown once.
    #[command(before_help = "\
Examples:
  ofs keys create --name 'web shop' --scope orders:read --scope orders:write
  ofs keys create --name support --scope orders:read --scope pii --expires 90d
  ofs keys create --name ops --scope operate --json | jq -r .key > ops.key

Scopes: orders:read, orders:write, events:read, operate, admin, pii.")]
    Create(CreateArgs),
    /// Every key there is, and was: what it may do, and when it was last used.
    #[command(before_help = "\
Examples:
  ofs keys list
  ofs keys list --json | jq '.keys[] | select(.lastUsedAt == null)'")]
    List,
    /// Revoke a key; every process refuses it within 5 seconds.
    #[command(before_help = "\
Examples:
  ofs keys revoke 0198c0de-0000-7000-8000-000000000001")]
    Revoke(RevokeArgs),
}

/// `ofs keys create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What people call it.
    #[arg(long)]
    name: String,
    /// What it may do; may be given more than once.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// From when on it is refused: a time such as 2027-01-31T12:00:00Z, or how long from now, such as
    /// 90d. It does not expire unless this is given.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    expires: Option<Timestamp>,
}

/// `ofs keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The key's id, as `ofs keys list` shows it.
    #[arg(value_name = "ID")]
    id: Uuid,
}

fn when(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = || "it must be an RFC 3339 time, or a time from now such as 90d".to_owned();
    let from_now = humantime::parse_duration(text).map_err(|_| wrong())?;
    let seconds = i64::try_from(from_now.as_secs()).map_err(|_| wrong())?;
    Ok(Context::new("keys").now().plus_seconds(seconds))
}

pub(super) async fn run(
    format: Format,
    config: &Config,
    command: &KeysCommand,
) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create(args) => {
            let CreateArgs { name, scopes, expires } = args;
            let new = NewKey { name: name.clone(), scopes: scopes.clone(), expires_at: *expires };
            let made = create(door::open(config).await?, new).await?;
            output::document(format, &made)?;
            if format == Format::Text {
                output::note("Keep the key now; it is not shown again.");
            }
        }
        KeysCommand::List => {
            let keys = match door::open(config).await? {
                Door::Server(client) => client.get(&["keys"], &[]).await?,
                Door::Store(access) => to_value(KeyList::from(Keyring::new(access).list().await?))?,
            };
            list(format, &keys)?;
        }
        KeysCommand::Revoke(RevokeArgs { id }) => {
            let revoked = match door::open(config).await? {
                Door::Server(client) => revoke_there(&client, *id).await?,
                Door::Store(access) => revoke_here(access, *id).await?,
            };
            output::document(format, &revoked)?;
        }
    }
    Ok(())
}

async fn create(door: Door, new: NewKey) -> anyhow::Result<Value> {
    match door {
        Door::Server(client) => Ok(client.post(&["keys"], &[], Some(&to_value(new)?)).await?),
        Door::Store(access) => {
            let (new, scopes) = new.check().map_err(|wrong| {
                let problem = Problem::invalid_request(wrong);
                Failure { exit: Exit::Usage, problem: json!(problem) }
            })?;
            let entry = entry("key.create");
            let made = Keyring::new(access)
                .create(&new.name, scopes, new.expires_at, false, entry)
                .await?;
            let (key, secret) = made.ok_or_else(|| anyhow::anyhow!("no key was made"))?;
            Ok(to_value(MadeKey::new(key, &secret))?)
        }
    }
}

async fn revoke_there(client: &Client, id: Uuid) -> Result<Value, Failure> {
    client.post(&["keys", &id.to_string(), "revoke"], &[], None).await
}

async fn revoke_here(access: Arc<dyn Access>, id: Uuid) -> anyhow::Result<Value> {
    let revoked = Keyring::new(access).revoke(id, entry("key.revoke")).await?;
    let unknown = || {
        let detail = format!("there is no key {id}; `ofs keys list` lists them");
        Failure::new(Exit::NotFound, detail)
    };
    Ok(to_value(KeyView::from(revoked.ok_or_else(unknown)?))?)
}

fn list(format: Format, keys: &Value) -> std::io::Result<()> {
    let members = ["/id", "/name", "/scopes", "/expiresAt", "/revokedAt", "/lastUsedAt"];
    let heads = ["id", "name", "scopes", "expires", "revoked", "last used"];
    let row = |key: &Value| members.map(|member| text(key, member)).to_vec();
    let rows: Vec<_> = items(keys, "keys").map(row).collect();
    output::list(format, keys, &heads, &rows)
}
