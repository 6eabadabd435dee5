//! What PostgreSQL does bare: commits of many orders' rows over a few connections at once.

use super::connect::Server;
use crate::ServerUrl;
use crate::bare::{Error, GROUP, Meter, ROWS, text};
use futures::future::try_join_all;
use std::time::Duration;
use tokio_postgres::Client;

/// Connections that commit at once.
const WRITERS: usize = 4;

/// Orders a second whose rows go into a table of its own in the database at `url`, which is dropped
/// afterwards.
///
/// # Errors
/// If the server cannot be reached, or the login may make no table.
pub async fn bare(url: ServerUrl, time: Duration) -> Result<f64, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::new("PostgreSQL", error);
    let server = Server::parse(url).map_err(|error| failed(&error))?;
    let owner = server.connect().await.map_err(|error| failed(&error))?;
    let table = crate::bare::name();
    let make = format!(
        "CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)"
    );
    owner.batch_execute(&make).await.map_err(|error| failed(&error))?;
    let writers = (0..WRITERS).map(|_| async {
        let client = server.connect().await.map_err(|error| failed(&error))?;
        write(&client, &table, time).await.map_err(|error| failed(&error))
    });
    let rates = try_join_all(writers).await;
    let drop = format!("DROP TABLE {table}");
    owner.batch_execute(&drop).await.map_err(|error| failed(&error))?;
    Ok(rates?.into_iter().sum())
}

async fn write(client: &Client, table: &str, time: Duration) -> Result<f64, tokio_postgres::Error> {
    let insert = format!("INSERT INTO {table} (text) SELECT unnest($1::text[])");
    let insert = client.prepare(&insert).await?;
    let texts: Vec<String> =
        ROWS.iter().cycle().take(ROWS.len() * GROUP).map(|bytes| text(*bytes, *bytes)).collect();
    let mut meter = Meter::start(time);
    loop {
        client.execute(&insert, &[&texts]).await?;
        if !meter.goes_on(GROUP) {
            return Ok(meter.rate());
        }
    }
}
