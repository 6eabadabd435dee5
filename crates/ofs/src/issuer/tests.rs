//! How long an issuer's keys count: with times short enough to see the end of them.

use super::keys::Times;
use super::{Issuer, NoEntry, Token, Trust};
use axum::Router;
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ofs_events::Timestamp;
use ofs_runtime::context::Context;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the issuer answers when it is asked for its keys; none: that it cannot.
type Shown = Arc<Mutex<Option<Value>>>;

struct House {
    issuer: Issuer,
    shown: Shown,
    keys: Value,
    token: String,
    _stop: tokio_util::sync::DropGuard,
}

fn now() -> Timestamp {
    Context::new("test").now()
}

async fn house(times: Times) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let public = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
    let mut public = serde_json::to_value(public).expect("JSON");
    public["kid"] = "one".into();
    let keys = json!({ "keys": [{ "kty": "unheard-of", "kid": "x" }, public] });
    let shown: Shown = Arc::new(Mutex::new(Some(keys.clone())));
    let (about, told) =
        (json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }), shown.clone());
    let answer = move || {
        let answer = told.lock().expect("keys").clone();
        async move { answer.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE) }
    };
    let described = move || async move { Json(about) };
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(described))
        .route("/keys", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut head = Header::new(Algorithm::ES256);
    head.kid = Some("one".to_owned());
    let exp = now().as_micros() / 1_000_000 + 600;
    let claims = json!({ "iss": url, "sub": "ada", "aud": "ofs", "exp": exp, "scope": "operate" });
    let token = encode(&head, &claims, &key).expect("a token");
    let trust = Trust { issuer: url, audience: "ofs".to_owned() };
    let issuer = Issuer::with(trust, times).expect("an issuer");
    let stop = CancellationToken::new();
    tokio::spawn(issuer.clone().run(stop.clone()));
    House { issuer, shown, keys, token, _stop: stop.drop_guard() }
}

impl House {
    async fn admit(&self) -> Result<Token, NoEntry> {
        self.issuer.admit(&self.token, now()).await
    }

    fn show(&self, keys: Option<Value>) {
        *self.shown.lock().expect("keys") = keys;
    }
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn keys_count_for_a_while_after_the_issuer_has_fallen_silent() {
    let kept = Duration::from_secs(2);
    let house = house(Times { kept, renewed: LONG, apart: Duration::from_millis(50) }).await;
    let token = house.admit().await.expect("taken");
    let began = Instant::now();
    house.show(None);
    assert!(house.issuer.check(&token.ticket, now()).is_ok(), "it still counts");
    while house.issuer.check(&token.ticket, now()).is_ok() {
        assert!(began.elapsed() < kept * 5, "it counts for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let no = house.admit().await.expect_err("refused");
    assert!(matches!(&no, NoEntry::Unreachable(why) if why.contains("503")), "{no}");
    house.show(Some(house.keys.clone()));
    while house.admit().await.is_err() {
        assert!(began.elapsed() < kept * 10, "it never counts again");
    }
    assert!(house.issuer.check(&token.ticket, now()).is_ok());
}

#[tokio::test]
async fn a_key_that_is_taken_back_stops_counting_though_nobody_asks() {
    let short = Duration::from_millis(100);
    let house = house(Times { kept: LONG, renewed: short, apart: short / 2 }).await;
    let token = house.admit().await.expect("taken");
    house.show(Some(json!({ "keys": [] })));
    let began = Instant::now();
    let no = loop {
        if let Err(no) = house.issuer.check(&token.ticket, now()) {
            break no;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it counts for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(matches!(no, NoEntry::Refused(why) if why.contains("or not any more")), "{no}");
    assert!(matches!(house.admit().await, Err(NoEntry::Refused(_))));
}
