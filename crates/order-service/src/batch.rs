//! `POST /orders/batch`: many orders in one request, each taken or refused on its own.
//!
//! The answer begins when the whole body is read, so that a client may send all before it reads.

use crate::api::{Accepted, NewOrder, Placed};
use crate::http::{PaymentDeadline, name_of, place};
use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use ofs_events::{CorrelationId, OrderId};
use ofs_runtime::access::Caller;
use ofs_runtime::budget::BATCH_BYTES;
use ofs_runtime::desk::{Answer, Desk};
use ofs_runtime::extract::{Line, Lines};
use ofs_runtime::problem::{Invalid, Kind, Problem};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The most lines of one request.
pub const MAX_LINES: usize = 10_000;
/// How many orders of one request are on their way at once: enough to fill the store's commits.
const AT_ONCE: usize = 256;
/// `unread-line`: The line was not read.
pub const UNREAD_LINE: Kind =
    Kind { uri: "urn:ofs:problem:unread-line", status: 413, title: "The line was not read" };

/// The member of a line that is not the order's.
const KEY: &str = "idempotencyKey";
/// What it looks like.
const KEY_PATTERN: &str = "^(\"[!-~]{1,255}\"|[!#-~][!-~]{0,254})$";

pub(crate) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(place_orders))
}

/// A line of the body of `POST /orders/batch`: an order, and what makes it safe to send again.
struct NewLine;

impl ToSchema for NewLine {}

impl PartialSchema for NewLine {
    fn schema() -> RefOr<Schema> {
        let mut line = NewOrder::schema();
        if let RefOr::T(Schema::Object(line)) = &mut line {
            let key = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some("As the header `Idempotency-Key` of `POST /orders`."))
                .pattern(Some(KEY_PATTERN));
            line.properties.insert(KEY.to_owned(), key.into());
            line.description =
                Some("An order, as `POST /orders` takes it, and its key.".to_owned());
        }
        line
    }
}

/// The outcome of one line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// Which line; the first is 1.
    line: u64,
    /// What `POST /orders` would have answered with.
    #[schema(example = 201)]
    status: u16,
    /// The order's id, if it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<OrderId>,
    /// On every event that follows from the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    correlation_id: Option<CorrelationId>,
    /// The answer is that of an earlier request with the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    replayed: bool,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<Problem>,
}

impl Outcome {
    fn of(line: u64, answer: Result<Answer<Placed>, Problem>) -> Self {
        let (placed, replayed, problem) = match answer {
            Ok(Answer::New(placed)) => (Some(placed), false, None),
            Ok(Answer::Repeated(placed)) => (Some(placed), true, None),
            Err(problem) => (None, false, Some(problem)),
        };
        Self {
            line,
            status: problem.as_ref().map_or(201, |problem| problem.status),
            id: placed.as_ref().map(|placed| placed.id),
            correlation_id: placed.map(|placed| placed.correlation_id),
            replayed,
            problem,
        }
    }
}

/// Take many orders.
///
/// The body has one order per line, at most 10,000, in the form that `POST /orders` takes, each with an
/// `idempotencyKey` if it should be safe to send again. Each is taken or refused on its own, and has a
/// line in the response: `status` is what `POST /orders` would have returned. An order is durable
/// when its line says 201. If a line says that it and the lines after it were not read, send those in
/// another request; if the response breaks off, send everything again with the same keys.
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
    // Two lines with one key are two requests, one after the other.
    let mut keys = HashSet::new();
    for taken in 0.. {
        let line = match lines.next().await {
            Ok(Some(line)) if taken < MAX_LINES && !answers.is_full() => line,
            Ok(Some(line)) => {
                let why = format!(
                    "the {taken} before it are as many as one request may have, or their answers as long"
                );
                answers.rest = Some(Outcome::of(line.number, Err(unread(&why))));
                break;
            }
            Ok(None) => break,
            Err(problem) => {
                answers.rest = Some(Outcome::of(lines.taken() + 1, Err(unread(&problem.detail))));
                break;
            }
        };
        let number = line.number;
        let order = read(line);
        let again = matches!(&order, Ok((Some(key), _)) if !keys.insert(key.clone()));
        let room = if again { 1 } else { AT_ONCE };
        while placing.len() >= room
            && let Some(outcome) = placing.next().await
        {
            answers.add(&outcome);
        }
        let (desk, caller) = (desk.clone(), caller.clone());
        placing.push_back(async move {
            let placed = match order {
                Ok((key, new)) => place(&desk, deadline, &caller, key, new).await,
                Err(problem) => Err(problem),
            };
            Outcome::of(number, placed)
        });
    }
    while let Some(outcome) = placing.next().await {
        answers.add(&outcome);
    }
    answers.into_response()
}

/// The order of a line, and its idempotency key. Of what is wrong no more is held than is answered.
fn read(line: Line) -> Result<(Option<String>, Accepted), Problem> {
    let (key, new) = line.read::<NewOrder>(KEY)?;
    let wrong = |rule: &str| Problem::invalid_request(vec![Invalid::new(format!("/{KEY}"), rule)]);
    let key = match &key {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(name_of(key).map_err(wrong)?),
        Some(_) => return Err(wrong("must be a string")),
    };
    Ok((key, new.accept().map_err(Problem::invalid_request)?))
}

fn unread(why: &str) -> Problem {
    let detail =
        format!("this line and those after it were not read: {why}; send them in another request");
    Problem::new(UNREAD_LINE, detail)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_key_of_a_line_is_described_as_the_header_is() {
        let api = crate::http::routes(Duration::ZERO).into_openapi();
        let api = serde_json::to_value(api).expect("json");
        let header = &api["paths"]["/orders"]["post"]["parameters"][0]["schema"]["pattern"];
        let line = &api["components"]["schemas"]["NewLine"];
        assert_eq!(line["properties"][KEY]["pattern"], *header, "{line:#}");
        assert_eq!(line["additionalProperties"], false);
        let missing = line["required"].as_array().expect("members").contains(&KEY.into());
        assert!(!missing);
    }
}
