//! API keys and the audit trail: make, list, revoke; read what was done.

use super::App;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ofs_events::Timestamp;
use ofs_runtime::access::{self, ApiKey, Caller, Entry, Noted, Scope, Scopes, Secret, Verified};
use ofs_runtime::context::Context;
use ofs_runtime::extract::{Body, Id, Params};
use ofs_runtime::problem::{Invalid, Problem};
use ofs_runtime::text::is_hidden;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(create))
        .routes(routes!(revoke))
        .routes(routes!(trail))
        .routes(routes!(verify))
}

/// A key, without its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView {
    /// Its id, which its text begins with.
    id: Uuid,
    /// What people call it.
    #[schema(example = "web shop")]
    name: String,
    /// What it may do.
    #[schema(value_type = Vec<Scope>)]
    scopes: Scopes,
    /// When it was made.
    created_at: Timestamp,
    /// From when on it is refused; null if it does not expire.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    /// When it was revoked; null if it was not.
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    /// When it was last used, to within a few seconds; null if it never was.
    #[schema(required)]
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        KeyView {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.used_at,
        }
    }
}

/// Every key there is, and was.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeyList {
    /// Oldest first.
    keys: Vec<KeyView>,
}

impl From<Vec<ApiKey>> for KeyList {
    fn from(keys: Vec<ApiKey>) -> Self {
        KeyList { keys: keys.into_iter().map(Into::into).collect() }
    }
}

/// A key to be made.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"name": "web shop", "scopes": ["orders:read", "orders:write"]}))]
pub(crate) struct NewKey {
    /// What people call it; trimmed, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// What it may do; at least one.
    #[schema(min_items = 1)]
    pub(crate) scopes: Vec<Scope>,
    /// From when on it is refused; never if absent or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

impl NewKey {
    /// Trims, and applies the rules.
    pub(crate) fn check(mut self) -> Result<(Self, Scopes), Vec<Invalid>> {
        let mut errors = Vec::new();
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME {
            errors.push(Invalid::new("/name", format!("must have 1 to {MAX_NAME} characters")));
        }
        if self.name.chars().any(is_hidden) {
            errors.push(Invalid::new("/name", "must not hold control characters or line breaks"));
        }
        let scopes: Scopes = self.scopes.iter().copied().collect();
        if scopes.is_empty() {
            errors.push(Invalid::new("/scopes", "must name at least one scope"));
        }
        if self.expires_at.is_some_and(|end| end <= Context::new("keys").now()) {
            errors.push(Invalid::new("/expiresAt", "must be in the future"));
        }
        if errors.is_empty() { Ok((self, scopes)) } else { Err(errors) }
    }
}

/// A key that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeKey {
    /// Its id.
    id: Uuid,
    /// What people call it.
    #[schema(example = "web shop")]
    name: String,
    /// What it may do.
    #[schema(value_type = Vec<Scope>)]
    scopes: Scopes,
    /// From when on it is refused; null if it does not expire.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    /// The key itself, to be sent as `Authorization: Bearer …`. It is never shown again.
    key: String,
}

impl MadeKey {
    pub(crate) fn new(key: ApiKey, secret: &Secret) -> Self {
        let ApiKey { id, name, scopes, expires_at, .. } = key;
        MadeKey { id, name, scopes, expires_at, key: secret.text() }
    }
}

/// Keys, oldest first; those that are revoked or have expired stay in the list.
#[utoipa::path(get, path = "/keys", tag = "keys", operation_id = "listKeys",
    security(("key" = ["admin"])),
    responses((status = 200, description = "All keys", body = KeyList),
        (status = 503, description = "The store cannot be reached")))]
async fn list(State(app): State<App>) -> Result<Json<KeyList>, Problem> {
    Ok(Json(app.keyring.list().await?.into()))
}

/// Makes a key. Its text is in this answer, and nowhere else.
#[utoipa::path(post, path = "/keys", tag = "keys", operation_id = "createKey",
    security(("key" = ["admin"])), request_body = NewKey,
    responses((status = 201, description = "Made", body = MadeKey),
        (status = 400, description = "The body breaks a rule"),
        (status = 415, description = "The body is not declared as JSON"),
        (status = 503, description = "The store cannot take it now")))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewKey>,
) -> Result<Response, Problem> {
    let (key, secret) = make(&app, &caller, new).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(MadeKey::new(key, &secret))).into_response())
}

/// Makes the key `new`, and notes that `caller` did.
pub(super) async fn make(
    app: &App,
    caller: &Caller,
    new: NewKey,
) -> Result<(ApiKey, Secret), Problem> {
    let (new, scopes) = new.check().map_err(Problem::invalid_request)?;
    let entry = Entry::by(caller, "key.create");
    let made = app.keyring.create(&new.name, scopes, new.expires_at, false, entry).await?;
    made.ok_or_else(Problem::internal)
}

/// Revokes a key. Every process refuses it within 5 seconds. Again, it changes nothing.
#[utoipa::path(post, path = "/keys/{id}/revoke", tag = "keys", operation_id = "revokeKey",
    security(("key" = ["admin"])),
    params(("id" = Uuid, Path, description = "The key's id")),
    responses((status = 200, description = "It is revoked", body = KeyView),
        (status = 400, description = "The path holds no id"),
        (status = 404, description = "No such key"),
        (status = 503, description = "The store cannot be reached")))]
async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<Uuid>,
) -> Result<Json<KeyView>, Problem> {
    revoke_one(&app, &caller, id).await.map(|key| Json(key.into()))
}

/// Revokes the key `id`, and notes that `caller` did.
pub(super) async fn revoke_one(app: &App, caller: &Caller, id: Uuid) -> Result<ApiKey, Problem> {
    let revoked = app.keyring.revoke(id, Entry::by(caller, "key.revoke")).await?;
    revoked.ok_or_else(|| Problem::not_found(format!("there is no key {id}; GET /keys lists them")))
}

/// Which entries to list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// Only entries with a higher number.
    #[param(default = 0, maximum = 9223372036854775807i64)]
    after: Option<u64>,
    /// How many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NotedView {
    /// Its number.
    seq: u64,
    /// What was done; a text where this build cannot read it.
    #[schema(value_type = access::Entry)]
    entry: serde_json::Value,
    /// Over the hash of the entry before, the number and the text of this one.
    hash: String,
}

impl From<Noted> for NotedView {
    fn from(noted: Noted) -> Self {
        let hash = noted.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = serde_json::from_str(&noted.entry).unwrap_or_else(|_| noted.entry.into());
        NotedView { seq: noted.seq, entry, hash }
    }
}

/// One page of the audit trail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Trail {
    /// By ascending number.
    entries: Vec<NotedView>,
}

impl From<Vec<Noted>> for Trail {
    fn from(entries: Vec<Noted>) -> Self {
        Trail { entries: entries.into_iter().map(Into::into).collect() }
    }
}

/// The audit trail, oldest first: who did what, when, from where and why.
#[utoipa::path(get, path = "/audit", tag = "keys", operation_id = "listAudit",
    security(("key" = ["admin"])), params(Listing),
    responses((status = 200, description = "One page", body = Trail),
        (status = 400, description = "A parameter is unknown or invalid"),
        (status = 503, description = "The store cannot be reached")))]
async fn trail(
    State(app): State<App>,
    Params(asked): Params<Listing>,
) -> Result<Json<Trail>, Problem> {
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let rule = format!("must be from 1 to {MAX_LIMIT}");
        return Err(Problem::invalid_query(vec![Invalid::new("limit", rule)]));
    }
    // No store numbers beyond that.
    let after = asked.after.unwrap_or_default();
    if after > i64::MAX.unsigned_abs() {
        return Err(Problem::invalid_query(vec![Invalid::new("after", "must be below 2^63")]));
    }
    Ok(Json(app.keyring.access().trail(after, limit).await?.into()))
}

/// Looks whether every entry of the audit trail is there, as it was written, in its place.
#[utoipa::path(get, path = "/audit/verify", tag = "keys", operation_id = "verifyAudit",
    security(("key" = ["admin"])),
    responses((status = 200, description = "What was found", body = Verified),
        (status = 503, description = "The store cannot be reached")))]
async fn verify(State(app): State<App>) -> Result<Json<Verified>, Problem> {
    Ok(Json(access::verify(&*app.keyring.access()).await?))
}
