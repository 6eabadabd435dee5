//! `POST /orders/batch`: many orders in one request, each taken or refused on its own.
//!
//! The answer begins when the whole body is read, so that a client may send all before it reads.

use crate::api::{NewOrder, Placed};
use crate::http::{PaymentDeadline, name_of, place};
use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use ofs_runtime::access::Caller;
use ofs_runtime::budget::BATCH_BYTES;
use ofs_runtime::desk::{Answer, Desk};
use ofs_runtime::extract::{Line, Lines};
use ofs_runtime::problem::{self, Invalid, Problem};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The most lines of one request.
pub const MAX_LINES: usize = 10_000;
/// How many orders of one request are on their way at once: enough to fill the store's commits.
const AT_ONCE: usize = 256;
/// The member of a line that is not the order's.
const KEY: &str = "idempotencyKey";

pub(crate) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(place_orders))
}

/// A line of the body of `POST /orders/batch`: an order, and what makes it safe to send again.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only described: a line is read in two parts")]
struct NewLine {
    /// As the header `Idempotency-Key` of `POST /orders`.
    #[schema(pattern = "^(\"[!-~]{1,255}\"|[!#-~][!-~]{0,254})$")]
    idempotency_key: Option<String>,
    #[serde(flatten)]
    order: NewOrder,
}

/// What became of one line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// Which line; the first is 1.
    line: u64,
    /// What `POST /orders` would have answered with.
    #[schema(example = 201)]
    status: u16,
    /// The order, if it was taken.
    #[serde(flatten)]
    placed: Option<Placed>,
    /// The answer is that of an earlier request with the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl Outcome {
    fn of(line: u64, answer: Result<Answer<Placed>, Problem>) -> Self {
        match answer {
            Ok(Answer::New(placed)) => Self::taken(line, placed, false),
            Ok(Answer::Repeated(placed)) => Self::taken(line, placed, true),
            Err(problem) => Self {
                line,
                status: problem.status,
                placed: None,
                replayed: false,
                problem: Some(problem),
            },
        }
    }

    const fn taken(line: u64, placed: Placed, replayed: bool) -> Self {
        Self { line, status: 201, placed: Some(placed), replayed, problem: None }
    }
}

/// Take many orders.
///
/// The body has one order a line, at most 10,000, as `POST /orders` takes them, each with an
/// `idempotencyKey` if it is to be safe to send again. Each is taken or refused on its own, as its line
/// of the answer says: `status` is what `POST /orders` would have answered with. An order is durable
/// when its line says 201. What is behind a line that says that it and those after it were not read has
/// to be sent in another request; after an answer that breaks off, send all again with the same keys.
///
/// `curl localhost:8080/orders/batch -H 'Content-Type: application/x-ndjson' --data-binary @orders.ndjson`
#[utoipa::path(
    post, path = "/orders/batch", tag = "orders", operation_id = "placeOrders",
    security(("key" = ["orders:write"])),
    request_body(content = NewLine, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Outcome, content_type = "application/x-ndjson",
            description = "one line for each line that is not blank, in the same order"),
        (status = 415, description = "not application/x-ndjson"),
    )
)]
async fn place_orders(
    State(desk): State<Desk>,
    Extension(deadline): Extension<PaymentDeadline>,
    caller: Caller,
    mut lines: Lines,
) -> Response {
    let mut answers = Answers::default();
    let mut placing = FuturesOrdered::new();
    for taken in 0.. {
        while placing.len() >= AT_ONCE
            && let Some(outcome) = placing.next().await
        {
            answers.add(&outcome);
        }
        let line = match lines.next().await {
            Ok(Some(line)) if taken < MAX_LINES && !answers.is_full() => line,
            Ok(Some(line)) => {
                answers.rest = Some(Outcome::of(line.number, Err(unread(taken))));
                break;
            }
            Ok(None) => break,
            Err(problem) => {
                answers.rest = Some(Outcome::of(lines.taken() + 1, Err(problem)));
                break;
            }
        };
        let (desk, caller) = (desk.clone(), caller.clone());
        placing.push_back(async move {
            let number = line.number;
            Outcome::of(number, take(&desk, deadline, &caller, line).await)
        });
    }
    while let Some(outcome) = placing.next().await {
        answers.add(&outcome);
    }
    answers.into_response()
}

async fn take(
    desk: &Desk,
    deadline: PaymentDeadline,
    caller: &Caller,
    line: Line,
) -> Result<Answer<Placed>, Problem> {
    let (key, new) = line.read::<NewOrder>(KEY)?;
    let wrong = |rule: &str| Problem::invalid_request(vec![Invalid::new(format!("/{KEY}"), rule)]);
    let key = match &key {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(name_of(key).map_err(wrong)?),
        Some(_) => return Err(wrong("must be a string")),
    };
    place(desk, deadline, caller, key, new).await
}

fn unread(taken: usize) -> Problem {
    let detail = format!(
        "this line and those after it were not read, because the {taken} before it are as many as one \
         request may have, or their answers as long; send the rest in another request"
    );
    Problem::new(problem::BODY_TOO_LARGE, detail)
}

/// The lines of the answer; of refusals it holds a batch's weight.
#[derive(Default)]
struct Answers {
    text: Vec<u8>,
    /// What is said of the line at which reading ended early.
    rest: Option<Outcome>,
}

impl Answers {
    fn add(&mut self, outcome: &Outcome) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.text, outcome);
        self.text.push(b'\n');
    }

    fn is_full(&self) -> bool {
        self.text.len() >= BATCH_BYTES
    }
}

impl IntoResponse for Answers {
    fn into_response(mut self) -> Response {
        if let Some(rest) = self.rest.take() {
            self.add(&rest);
        }
        ([(header::CONTENT_TYPE, "application/x-ndjson")], self.text).into_response()
    }
}
