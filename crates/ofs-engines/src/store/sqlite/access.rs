//! API keys and the audit trail.

use super::{Done, SqliteStore, int, limit, uint};
use async_trait::async_trait;
use ofs_events::Timestamp;
use ofs_runtime::access::{Access, ApiKey, Digest, Noted, Scopes, link};
use ofs_runtime::store::Error;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

const KEY: &str =
    "SELECT id, name, scopes, digest, created_at, expires_at, revoked_at, used_at FROM api_keys";

#[async_trait]
impl Access for SqliteStore {
    async fn add_key(&self, key: &ApiKey, first: bool, entry: &str) -> Result<bool, Error> {
        let (key, entry) = (key.clone(), entry.to_owned());
        self.write(move |connection| {
            if first && connection.prepare_cached("SELECT 1 FROM api_keys")?.exists([])? {
                return Ok(false);
            }
            add(connection, &key)?;
            note(connection, &entry)?;
            Ok(true)
        })
        .await
    }

    async fn key(&self, id: Uuid) -> Result<Option<ApiKey>, Error> {
        self.read(move |connection| {
            let mut one = connection.prepare_cached(&format!("{KEY} WHERE id = ?"))?;
            Ok(one.query_row([id], key).optional()?)
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        self.read(|connection| {
            let mut all = connection.prepare_cached(&format!("{KEY} ORDER BY id"))?;
            Ok(all.query_map([], key)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp, entry: &str) -> Result<bool, Error> {
        let entry = entry.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
            let changed = connection.prepare_cached(sql)?.execute(params![at.as_micros(), id])?;
            if changed > 0 {
                note(connection, &entry)?;
            }
            Ok(changed > 0)
        })
        .await
    }

    async fn keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), Error> {
        let used = used.to_vec();
        self.write(move |connection| {
            let sql = "UPDATE api_keys SET used_at = max(coalesce(used_at, ?1), ?1) WHERE id = ?2";
            let mut set = connection.prepare_cached(sql)?;
            for (id, at) in &used {
                set.execute(params![at.as_micros(), id])?;
            }
            Ok(())
        })
        .await
    }

    async fn note(&self, entry: &str) -> Result<(), Error> {
        let entry = entry.to_owned();
        self.write(move |connection| note(connection, &entry)).await
    }

    async fn trail(&self, after: u64, max: usize) -> Result<Vec<Noted>, Error> {
        self.read(move |connection| {
            let sql = "SELECT seq, entry, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";
            let mut page = connection.prepare_cached(sql)?;
            let noted = |row: &Row<'_>| {
                let (seq, entry, hash) = (uint(row.get(0)?), row.get(1)?, row.get(2)?);
                Ok(Noted { seq, entry, hash })
            };
            let page = page.query_map(params![int(after)?, limit(max)], noted)?;
            Ok(page.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn trail_end(&self) -> Result<(u64, Vec<u8>), Error> {
        self.read(end).await
    }
}

fn add(connection: &Connection, key: &ApiKey) -> Done<()> {
    let sql = "INSERT INTO api_keys (id, name, scopes, digest, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let expires_at = key.expires_at.map(Timestamp::as_micros);
    connection.prepare_cached(sql)?.execute(params![
        key.id,
        key.name,
        key.scopes.to_string(),
        key.digest.0,
        key.created_at.as_micros(),
        expires_at
    ])?;
    Ok(())
}

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let time = |at| row.get::<_, Option<i64>>(at).map(|at| at.map(Timestamp::from_micros));
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: Scopes::read(&row.get::<_, String>(2)?),
        digest: Digest(row.get(3)?),
        created_at: Timestamp::from_micros(row.get(4)?),
        expires_at: time(5)?,
        revoked_at: time(6)?,
        used_at: time(7)?,
    })
}

fn note(connection: &Connection, entry: &str) -> Done<()> {
    let (end, before) = end(connection)?;
    let seq = end + 1;
    let hash = link(&before, seq, entry);
    let sql = "INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![int(seq)?, entry, hash])?;
    let sql = "UPDATE audit_end SET seq = ?, hash = ? WHERE id = 1";
    connection.prepare_cached(sql)?.execute(params![int(seq)?, hash])?;
    Ok(())
}

fn end(connection: &Connection) -> Done<(u64, Vec<u8>)> {
    let mut end = connection.prepare_cached("SELECT seq, hash FROM audit_end WHERE id = 1")?;
    Ok(end.query_row([], |row| Ok((uint(row.get(0)?), row.get(1)?)))?)
}
