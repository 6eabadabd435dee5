//! `ofs health`: whether a server is ready, for people and container health checks.

use super::client::Client;
use super::output::{self, Format};
use crate::failure::{Exit, Failure};

pub(super) async fn run(format: Format, client: &Client) -> anyhow::Result<()> {
    let (status, body) = client.answer(&["health", "ready"]).await?;
    if status == 200 || body.get("ready").is_some() {
        output::document(format, &body)?;
    }
    match status {
        200 => Ok(()),
        503 => Err(Failure::new(Exit::Failed, "the server is not ready").into()),
        other => Err(Failure::answered(other, &body.to_string()).into()),
    }
}
