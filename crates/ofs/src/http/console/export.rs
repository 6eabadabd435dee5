//! Export of the orders that a page's filters choose: all of them, page by page, as they are found.
//!
//! A cell that a spreadsheet would run as a formula is made text.

use super::listing::{Listing, list};
use crate::http::App;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use ofs_console::url::Pairs;
use ofs_runtime::problem::Problem;
use serde_json::Value;

const COLUMNS: [&str; 8] = [
    "id",
    "createdAt",
    "updatedAt",
    "status",
    "customerEmail",
    "productType",
    "country",
    "correlationId",
];
/// Orders read at once.
const PAGE: &str = "200";

pub(super) async fn csv(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let head = stream::once(async { Ok(COLUMNS.join(",") + "\r\n") });
    let rows = pages(app, query).await?.map_ok(|page| page.orders.iter().map(row).collect());
    Ok(file("text/csv; charset=utf-8", "orders.csv", head.chain(rows)))
}

pub(super) async fn ndjson(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let line = |order: &Value| format!("{order}\n");
    let lines = pages(app, query).await?;
    let lines = lines.map_ok(move |page| page.orders.iter().map(line).collect());
    Ok(file("application/x-ndjson", "orders.ndjson", lines))
}

fn file(
    media: &'static str,
    name: &str,
    text: impl stream::Stream<Item = Result<String, Broken>> + Send + 'static,
) -> Response {
    let as_file = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, media.to_owned()), (header::CONTENT_DISPOSITION, as_file)];
    (headers, Body::from_stream(text.map_ok(Bytes::from))).into_response()
}

/// Why an export ends before its end; the connection breaks, so that no half file looks whole.
#[derive(Debug, thiserror::Error)]
#[error("cannot export orders: {0}")]
struct Broken(String);

/// Every page of orders; the first is read before there is an answer, so that it can be refused.
async fn pages(
    app: App,
    query: Option<String>,
) -> Result<impl stream::Stream<Item = Result<Listing, Broken>>, Problem> {
    let pairs = Pairs::of(query.as_deref().unwrap_or_default());
    let pairs = pairs.without(&["cursor", "limit"]).with("limit", PAGE);
    let first = list(&app, &pairs).await?;
    let next = first.next.clone();
    let others = stream::try_unfold(next, move |next| {
        let (app, pairs) = (app.clone(), pairs.clone());
        async move {
            let Some(next) = next else { return Ok(None) };
            let page = list(&app, &pairs.with("cursor", &next)).await;
            let page = page.map_err(|problem| {
                tracing::warn!(detail = problem.detail, "an export broke off");
                Broken(problem.detail)
            })?;
            let next = page.next.clone();
            Ok(Some((page, next)))
        }
    });
    Ok(stream::once(async { Ok(first) }).chain(others))
}

fn row(order: &Value) -> String {
    let cells = COLUMNS.map(|column| cell(order[column].as_str().unwrap_or_default()));
    cells.join(",") + "\r\n"
}

/// One cell, as RFC 4180 wants it.
fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_its_row() {
        for (text, written) in [
            ("Phone", "Phone"),
            ("=1+1", "'=1+1"),
            ("@a", "'@a"),
            ("-2", "'-2"),
            ("a,b", "\"a,b\""),
            ("say \"x\"\r\n", "\"say \"\"x\"\"\r\n\""),
            ("=a,b", "\"'=a,b\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
