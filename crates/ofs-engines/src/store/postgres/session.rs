//! Connections, and statements sent over one all at once: a transaction is on its way to the server,
//! to its end, before the first answer is awaited, so no caller can stop inside one.

use super::connect::{ATTEMPT, Server, chain};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, Runtime,
};
use futures::TryStreamExt;
use futures::future::{MaybeDone, maybe_done, try_join_all};
use ofs_runtime::budget::Budget;
use ofs_runtime::store::Error;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// How long callers wait for a connection, and for the answers to what they sent. The server gives
/// up earlier.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a pipeline that was the victim of a deadlock is sent again.
const TRIES: usize = 10;

/// What every connection is told first. The limits: a peer that stops inside a transaction loses it
/// before those who wait for its locks give up. The planner: every statement walks an index from what
/// it was asked for, however small the tables were when it was planned.
const SETTINGS: &str = "
    SET synchronous_commit = on;
    SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '4s';
    SET lock_timeout = '8s';
    SET statement_timeout = '15s';
    SET tcp_user_timeout = '10s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 3;
    SET tcp_keepalives_count = 3;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off";

/// A statement. Only `statements!` makes one, and puts it on a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sql {
    pub text: &'static str,
}

/// Declares statements, and `ALL` of this file's as a list.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* const $name: $crate::store::postgres::session::Sql =
            $crate::store::postgres::session::Sql { text: $text };)*
        pub(in crate::store::postgres) const ALL: &[$crate::store::postgres::session::Sql] = &[$($name),*];
    };
}
pub(super) use statements;

statements! {
    BEGIN = "BEGIN";
    COMMIT = "COMMIT";
    /// For statements that have to see one moment.
    BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
}

/// A value for a statement.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// A statement with its values.
pub(super) struct Step<'a> {
    sql: Sql,
    params: Vec<Param<'a>>,
    /// What its answer may hold; none if that is little.
    budget: Option<Budget>,
}

impl Step<'_> {
    /// Ends the answer when `budget` is used up. What the server still sends is thrown away.
    pub(super) fn within(self, budget: Budget) -> Self {
        Self { budget: Some(budget), ..self }
    }
}

/// `sql` with `params`.
pub(super) fn step(sql: Sql, params: Vec<Param<'_>>) -> Step<'_> {
    Step { sql, params, budget: None }
}

/// One value of a statement.
pub(super) fn value<'a>(value: impl ToSql + Sync + Send + 'a) -> Param<'a> {
    Box::new(value)
}

/// One column of `rows`, as a value.
pub(super) fn column<'a, R, T>(rows: &[R], pick: impl Fn(&R) -> T) -> Param<'a>
where
    Vec<T>: ToSql + Sync + Send + 'a,
{
    value(rows.iter().map(pick).collect::<Vec<T>>())
}

/// The values of a statement, each of its own type.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::store::postgres::session::value($value)),*]
    };
}
pub(super) use params;

/// `steps` as one transaction.
pub(super) fn transaction(steps: Vec<Step<'_>>) -> Vec<Step<'_>> {
    enclose(BEGIN, steps)
}

/// `steps`, which only read, as of one moment.
pub(super) fn snapshot(steps: Vec<Step<'_>>) -> Vec<Step<'_>> {
    // One statement sees one moment by itself.
    if steps.len() < 2 { steps } else { enclose(BEGIN_READING, steps) }
}

fn enclose(begin: Sql, mut steps: Vec<Step<'_>>) -> Vec<Step<'_>> {
    steps.insert(0, step(begin, Vec::new()));
    steps.push(step(COMMIT, Vec::new()));
    steps
}

/// How PostgreSQL failed, by whose fault it is.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Something a commit was decided on has changed; the commits of a group whose fault it is, by
    /// number (none if it cannot be told).
    Conflict(Error, Vec<usize>),
    /// These values are refused whatever happens.
    Refused(String),
    /// The victim of a deadlock: nothing was done.
    Again(String),
    /// The disk is full; nothing was written.
    Full,
    /// The server cannot be reached or is failing.
    Unavailable(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict(error, _) => error,
            Failure::Refused(reason) => Error::Rejected(reason),
            Failure::Full => Error::Full,
            Failure::Again(reason) | Failure::Unavailable(reason) => Error::Unavailable(reason),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else { return Failure::Unavailable(chain(&error)) };
        let guilty = || db.detail().unwrap_or_default().split(',').filter_map(|n| n.parse().ok());
        let reason = db.message().to_owned();
        match db.code().code() {
            "OF001" => Failure::Conflict(Error::Stale, guilty().collect()),
            "OF002" => Failure::Conflict(Error::KeyTaken, guilty().collect()),
            "53100" => Failure::Full,
            code if code.starts_with("40") => Failure::Again(reason),
            // Values, constraints, a row twice in one statement, a row too large.
            code if ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
                Failure::Refused(reason)
            }
            code => Failure::Unavailable(format!("{reason} (SQLSTATE {code})")),
        }
    }
}

/// A few connections, made when they are needed.
pub(super) struct Sessions {
    pool: Pool,
}

impl Sessions {
    /// At most `most` connections to `server`.
    pub(super) fn new(server: &Server, most: usize) -> Result<Sessions, String> {
        let config = ManagerConfig::default();
        let manager = Manager::from_connect(server.config.clone(), server.clone(), config);
        let greet = Hook::async_fn(|client, _| {
            Box::pin(async move {
                client.batch_execute(SETTINGS).await.map_err(HookError::Backend)?;
                let all = super::statements().map(|sql| client.prepare_cached(sql));
                try_join_all(all).await.map(|_| ()).map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            .max_size(most)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(ATTEMPT))
            .recycle_timeout(Some(ATTEMPT))
            .post_create(greet)
            .build();
        Ok(Sessions { pool: pool.map_err(|error| error.to_string())? })
    }

    /// Sends `steps` all at once; answers with the rows of each. Dropping it leaves nothing open.
    pub(super) async fn run(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut tries = 1;
        loop {
            match self.run_once(steps).await {
                Err(Failure::Again(_)) if tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    /// Like [`Sessions::run`], for one statement.
    pub(super) async fn query(
        &self,
        sql: Sql,
        params: Vec<Param<'_>>,
    ) -> Result<Vec<Row>, Failure> {
        self.ask(step(sql, params)).await
    }

    /// Like [`Sessions::run`], for one step.
    pub(super) async fn ask(&self, step: Step<'_>) -> Result<Vec<Row>, Failure> {
        let mut rows = self.run(&[step]).await?;
        Ok(rows.pop().unwrap_or_default())
    }

    async fn run_once(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Failure> {
        let client = self.pool.get().await.map_err(unreachable)?;
        let mut bound: Vec<Bound<'_>> = Vec::with_capacity(steps.len());
        for step in steps {
            let statement = client.prepare_cached(step.sql.text).await.map_err(Failure::from)?;
            let params = step.params.iter().map(|param| &**param as &(dyn ToSql + Sync));
            bound.push((statement, params.collect(), step.budget));
        }
        let answers = tokio::time::timeout(PATIENCE, send(&client, &bound)).await;
        let answers = answers.unwrap_or_else(|_| {
            Err(Failure::Unavailable(format!("no answer within {} s", PATIENCE.as_secs())))
        });
        if let Err(Failure::Unavailable(_)) = &answers {
            // What it does after a surprise is not worth knowing.
            drop(Object::take(client));
        }
        answers
    }
}

type Bound<'a> = (Statement, Vec<&'a (dyn ToSql + Sync)>, Option<Budget>);

/// Sends every statement, then awaits the answers. The first failure is the reason of those after it.
async fn send(client: &Client, bound: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Failure> {
    let mut answers = Vec::with_capacity(bound.len());
    for (statement, params, budget) in bound {
        let mut answer = Box::pin(maybe_done(rows(client, statement, params, *budget)));
        // The first poll sends. What fails at once, and not by the server's word, was not sent (it is
        // too large), so the rest must not be sent as if it had been.
        if futures::poll!(answer.as_mut()).is_ready()
            && let MaybeDone::Done(Err(error)) = &*answer
            && error.as_db_error().is_none()
        {
            let _ = futures::poll!(Box::pin(client.batch_execute("ROLLBACK")));
            let (reason, closed) = (chain(error), error.is_closed());
            return Err(if closed { Failure::Unavailable } else { Failure::Refused }(reason));
        }
        answers.push(answer);
    }
    let mut all = Vec::with_capacity(answers.len());
    for mut answer in answers {
        answer.as_mut().await;
        all.push(answer.as_mut().take_output().unwrap_or_else(|| Ok(Vec::new()))?);
    }
    Ok(all)
}

async fn rows(
    client: &Client,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
    budget: Option<Budget>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let answer = client.query_raw(statement, params.iter().copied()).await?;
    let Some(mut budget) = budget else { return answer.try_collect().await };
    let (mut answer, mut rows) = (std::pin::pin!(answer), Vec::new());
    while let Some(row) = answer.try_next().await? {
        let more = budget.spend(row.raw_size_bytes());
        rows.push(row);
        if !more {
            break;
        }
    }
    Ok(rows)
}

/// Whether `rows` are all that was asked for, or where `budget` ended them.
pub(super) fn is_whole(rows: &[Row], mut budget: Budget) -> bool {
    rows.iter().all(|row| budget.spend(row.raw_size_bytes()))
}

fn unreachable(error: PoolError) -> Failure {
    Failure::Unavailable(match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            chain(&error)
        }
        error => error.to_string(),
    })
}
