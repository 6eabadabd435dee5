//! The surface described: `GET /openapi.json`, and `GET /docs` (Swagger UI from the binary).
//!
//! Adds to the description what holds for every route, so that no route has to repeat it.

use super::edge::{PROBLEM, Plain};
use super::gate::Needs;
use crate::services;
use axum::http::header;
use axum::routing::get;
use ofs_runtime::problem::Problem;
use std::sync::Arc;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Schema,
    ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Answers that every route may give.
const EVERYWHERE: [(&str, &str); 9] = [
    ("400", "A query parameter is unknown, or the request is not HTTP"),
    ("405", "The path does not take this method; `Allow` lists what it takes"),
    ("413", "The body is larger than 64 KiB"),
    ("414", "The path and query are too long"),
    ("421", "The request means another server: the host is not one of this server's names"),
    (
        "429",
        "More than the caller may send in a second, where `http.rate` is set; see `Retry-After`",
    ),
    ("431", "The headers are too many or too long"),
    ("500", "Something went wrong here; the server's log has the cause under the `requestId`"),
    ("503", "A dependency cannot be reached, or the answer took longer than 30 s; try again"),
];

/// Answers that every route may give that changes something.
const CHANGES: [(&str, &str); 2] =
    [("403", "A page of another site sent the request"), ("408", "The body took longer than 15 s")];

/// Answers that every route may give that needs a scope.
const SCOPED: [(&str, &str); 2] = [
    ("401", "No key or token was sent, or one that is not taken"),
    ("403", "The key or token lacks the scope"),
];

const BEARER: &str = "A key made with `ofs keys create`, or a token (JWT) of `auth.issuer`, where `auth.mode` is \
                      `required`. The words beside an operation are the scopes that it needs.";

/// The name of the one way to authenticate.
pub(super) const KEY: &str = "key";

/// The routes that are not described; what they show holds no data.
pub(super) const PAGES: [&str; 5] = ["/", "/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];

/// `described` with title, the schema of problems, and the answers that every route may give.
pub(super) fn complete(mut described: OpenApi) -> OpenApi {
    described.info = InfoBuilder::new()
        .title("ofs")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "An order fulfillment backbone. Errors are RFC 9457 `application/problem+json`; \
             every answer carries `X-Request-Id`.",
        ))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ))
        .build();
    described.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    let components = described.components.get_or_insert_default();
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(BEARER)).build();
    components.security_schemes.insert(KEY.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    if let Some(RefOr::T(Schema::Object(problem))) = components.schemas.get_mut(&*Problem::name())
        && let Some(RefOr::T(Schema::Object(kind))) = problem.properties.get_mut("type")
    {
        let kinds = Problem::KINDS.iter().chain(services::problems());
        kind.enum_values = Some(kinds.map(|kind| kind.uri.into()).collect());
    }
    for item in described.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        operations.into_iter().flatten().for_each(|operation| answers(operation, &EVERYWHERE));
        let changes = [&mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        changes.into_iter().flatten().for_each(|operation| {
            answers(operation, &CHANGES);
            if let Some(RefOr::T(refused)) = operation.responses.responses.get_mut("403") {
                refused.description.push_str(", or the key or token lacks the scope");
            }
        });
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        let scoped = operations
            .into_iter()
            .flatten()
            .filter(|operation| !matches!(Needs::of(operation), None | Some(Needs::Nothing)));
        scoped.for_each(|operation| answers(operation, &SCOPED));
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        operations.into_iter().flatten().for_each(problems);
    }
    described
}

/// Every operation that is described, with its method and path.
pub(super) fn operations(
    described: &OpenApi,
) -> impl Iterator<Item = (&'static str, &str, &Operation)> {
    described.paths.paths.iter().flat_map(|(path, item)| {
        let operations = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("DELETE", &item.delete),
            ("PATCH", &item.patch),
        ];
        operations
            .into_iter()
            .filter_map(move |(method, one)| Some((method, path.as_str(), one.as_ref()?)))
    })
}

/// The operations that take no parameters in the query string.
pub(super) fn plain(described: &OpenApi) -> Plain {
    let plain = operations(described).filter(|(.., operation)| !has_query(operation));
    plain.map(|(method, route, _)| (method, route.to_owned())).collect()
}

/// Whether it takes parameters in the query string.
fn has_query(operation: &Operation) -> bool {
    let parameters = operation.parameters.iter().flatten();
    parameters.into_iter().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        RefOr::Ref(_) => true,
    })
}

fn answers(operation: &mut Operation, all: &[(&str, &str)]) {
    for (status, description) in all {
        let response = || RefOr::T(ResponseBuilder::new().description(*description).build());
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(response);
    }
}

/// What is refused and says nothing of a body is answered with a problem.
fn problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.content.is_empty()
            && status.parse().is_ok_and(|status: u16| status >= 400)
        {
            let schema = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
        }
    }
}

/// The two routes; neither describes itself.
pub(super) fn routes(described: &OpenApi) -> axum::Router {
    let json: Arc<str> = described.to_pretty_json().unwrap_or_default().into();
    let openapi = move || {
        let json = Arc::clone(&json);
        async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) }
    };
    // Relative to /docs/, so that it also works behind a path prefix.
    let page =
        SwaggerUi::new("/docs").config(Config::new(["../openapi.json"]).try_it_out_enabled(true));
    axum::Router::new().route("/openapi.json", get(openapi)).merge(page)
}
