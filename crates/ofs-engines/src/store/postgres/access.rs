//! API keys and the audit trail.

use super::PostgresStore;
use super::session::{Failure, column, params, statements, step, transaction};
use super::values::{Time, get, int, limit, number};
use async_trait::async_trait;
use ofs_events::Timestamp;
use ofs_runtime::access::{Access, ApiKey, Digest, Noted, Scopes};
use ofs_runtime::store::Error;
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    /// One writer of the trail at a time, from here to the end of the transaction.
    TURN = "SELECT seq FROM audit_end WHERE id = 1 FOR UPDATE";
    ADD = "
        WITH added AS (
            INSERT INTO api_keys (id, name, scopes, digest, created_at, expires_at)
            SELECT $1, $2, $3, $4, $5, $6
            WHERE NOT $7::boolean OR NOT EXISTS (SELECT FROM api_keys ORDER BY id LIMIT 1)
            RETURNING 1),
        link AS (
            UPDATE audit_end SET seq = seq + 1,
                hash = sha256(hash || int8send(seq + 1) || convert_to($8::text, 'UTF8'))
            WHERE id = 1 AND EXISTS (SELECT FROM added) RETURNING seq, hash),
        noted AS (INSERT INTO audit (seq, entry, hash) SELECT seq, $8, hash FROM link)
        SELECT count(*) FROM added";
    ONE = "
        SELECT id, name, scopes, digest, created_at, expires_at, revoked_at, used_at
        FROM api_keys WHERE id = $1";
    EVERY = "
        SELECT id, name, scopes, digest, created_at, expires_at, revoked_at, used_at
        FROM api_keys ORDER BY id";
    REVOKE = "
        WITH gone AS (
            UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING 1),
        link AS (
            UPDATE audit_end SET seq = seq + 1,
                hash = sha256(hash || int8send(seq + 1) || convert_to($3::text, 'UTF8'))
            WHERE id = 1 AND EXISTS (SELECT FROM gone) RETURNING seq, hash),
        noted AS (INSERT INTO audit (seq, entry, hash) SELECT seq, $3, hash FROM link)
        SELECT count(*) FROM gone";
    USED = "
        UPDATE api_keys k SET used_at = greatest(k.used_at, g.at)
        FROM unnest($1::uuid[], $2::timestamptz[]) AS g (id, at) WHERE k.id = g.id";
    NOTE = "
        WITH link AS (
            UPDATE audit_end SET seq = seq + 1,
                hash = sha256(hash || int8send(seq + 1) || convert_to($1::text, 'UTF8'))
            WHERE id = 1 RETURNING seq, hash)
        INSERT INTO audit (seq, entry, hash) SELECT seq, $1, hash FROM link";
    TRAIL = "SELECT seq, entry, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
    END = "SELECT seq, hash FROM audit_end WHERE id = 1";
}

#[async_trait]
impl Access for PostgresStore {
    async fn add_key(&self, key: &ApiKey, first: bool, entry: &str) -> Result<bool, Error> {
        let scopes = key.scopes.to_string();
        let (created, expires) = (Time(key.created_at), key.expires_at.map(Time));
        let digest = key.digest.0.as_slice();
        let values = params![key.id, &key.name, scopes, digest, created, expires, first, entry];
        let steps = transaction(vec![step(TURN, Vec::new()), step(ADD, values)]);
        Ok(any(&self.sessions.run(&steps).await?)?)
    }

    async fn key(&self, id: Uuid) -> Result<Option<ApiKey>, Error> {
        let rows = self.sessions.query(ONE, params![id]).await?;
        Ok(rows.first().map(key).transpose()?)
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = self.sessions.query(EVERY, Vec::new()).await?;
        Ok(rows.iter().map(key).collect::<Result<_, Failure>>()?)
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp, entry: &str) -> Result<bool, Error> {
        let values = params![id, Time(at), entry];
        let steps = transaction(vec![step(TURN, Vec::new()), step(REVOKE, values)]);
        Ok(any(&self.sessions.run(&steps).await?)?)
    }

    async fn keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), Error> {
        let (ids, times) = (column(used, |(id, _)| *id), column(used, |(_, at)| Time(*at)));
        self.sessions.query(USED, vec![ids, times]).await?;
        Ok(())
    }

    async fn note(&self, entry: &str) -> Result<(), Error> {
        self.sessions.query(NOTE, params![entry]).await?;
        Ok(())
    }

    async fn trail(&self, after: u64, max: usize) -> Result<Vec<Noted>, Error> {
        let rows = self.sessions.query(TRAIL, params![int(after)?, limit(max)]).await?;
        let noted =
            |row| Ok(Noted { seq: number(row, 0)?, entry: get(row, 1)?, hash: get(row, 2)? });
        Ok(rows.iter().map(noted).collect::<Result<_, Failure>>()?)
    }

    async fn trail_end(&self) -> Result<(u64, Vec<u8>), Error> {
        let rows = self.sessions.query(END, Vec::new()).await?;
        let row =
            rows.first().ok_or_else(|| Failure::Refused("the trail has no end".to_owned()))?;
        Ok((number(row, 0)?, get(row, 1)?))
    }
}

/// Whether the last statement before COMMIT has changed anything.
fn any(answers: &[Vec<Row>]) -> Result<bool, Failure> {
    let row = answers.iter().rev().nth(1).and_then(|rows| rows.first());
    row.map_or(Ok(false), |row| Ok(number(row, 0)? > 0))
}

fn key(row: &Row) -> Result<ApiKey, Failure> {
    let time = |at| get::<Option<Time>>(row, at).map(|time| time.map(|Time(time)| time));
    let digest = get::<&[u8]>(row, 3)?.try_into();
    Ok(ApiKey {
        id: get(row, 0)?,
        name: get(row, 1)?,
        scopes: Scopes::read(get(row, 2)?),
        digest: Digest(digest.map_err(|_| Failure::Refused("a digest is too short".to_owned()))?),
        created_at: get::<Time>(row, 4)?.0,
        expires_at: time(5)?,
        revoked_at: time(6)?,
        used_at: time(7)?,
    })
}
