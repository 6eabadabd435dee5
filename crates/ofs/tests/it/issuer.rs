//! An issuer of tokens as there are many: describes itself, shows its keys, and signs what it is told to.
//! It can be made to take keys back, to fall silent, and says how often it was asked.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

pub const AUDIENCE: &str = "ofs-test";

/// What stands before an RSA key of 2048 bits in PKCS #8, which the library does not take.
const PKCS8: usize = 26;

/// A key that tokens are signed with.
pub struct Signer {
    pub kid: &'static str,
    pub algorithm: Algorithm,
    key: EncodingKey,
    pub jwk: Value,
    /// The public key as it is often passed around.
    pub public: Vec<u8>,
}

impl Signer {
    pub fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let rsa = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
        let (pair, key): (_, fn(&[u8]) -> EncodingKey) = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => {
                (rsa(), |der| EncodingKey::from_rsa_der(&der[PKCS8..]))
            }
            Algorithm::ES256 => {
                let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
                (pair, EncodingKey::from_ec_der)
            }
            _ => (KeyPair::generate_for(&rcgen::PKCS_ED25519), EncodingKey::from_ed_der),
        };
        let pair = pair.expect("a key");
        let key = key(&pair.serialize_der());
        let jwk = if algorithm == Algorithm::EdDSA {
            Jwk::from_decoding_key(
                &DecodingKey::from_ed_der(pair.public_key_raw()),
                Some(algorithm),
            )
        } else {
            Jwk::from_encoding_key(&key, algorithm)
        };
        let mut jwk = serde_json::to_value(jwk.expect("a public key")).expect("JSON");
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        let public = pair.public_key_raw().to_vec();
        Self { kid, algorithm, key, jwk, public }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(claims, |_| {})
    }

    /// A token with these claims, and a head that is changed before it is signed.
    pub fn sign_as(&self, claims: &Value, change: impl FnOnce(&mut Header)) -> String {
        let mut head = Header::new(self.algorithm);
        head.kid = Some(self.kid.to_owned());
        change(&mut head);
        encode(&head, claims, &self.key).expect("a token")
    }
}

struct Shown {
    url: String,
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
    silent: AtomicBool,
}

/// An issuer on a port of its own.
pub struct Issuer(Arc<Shown>);

impl Issuer {
    pub async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, silent) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shown = Arc::new(Shown { url, keys: Mutex::default(), asked, silent });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&shown));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self(shown);
        issuer.show(signers);
        issuer
    }

    /// From now on it has these keys and no others.
    pub fn show(&self, signers: &[&Signer]) {
        let keys = signers.iter().map(|signer| signer.jwk.clone()).collect();
        *self.0.keys.lock().expect("keys") = keys;
    }

    pub fn fall_silent(&self, silent: bool) {
        self.0.silent.store(silent, Ordering::SeqCst);
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What a server has to be told to take its tokens.
    pub fn variables(&self) -> [(&'static str, &str); 3] {
        let issuer = ("OFS_AUTH_ISSUER", self.url());
        [crate::doors::REQUIRED, issuer, ("OFS_AUTH_AUDIENCE", AUDIENCE)]
    }

    /// Claims that are right, for a quarter of an hour.
    pub fn claims(&self, subject: &str, scope: &str) -> Value {
        let exp = now() + 900;
        json!({ "iss": self.url(), "aud": AUDIENCE, "sub": subject, "exp": exp, "scope": scope })
    }
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds")
}

async fn describe(State(shown): State<Arc<Shown>>) -> Result<Json<Value>, StatusCode> {
    if shown.silent.load(Ordering::SeqCst) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let url = &shown.url;
    Ok(Json(json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })))
}

async fn keys(State(shown): State<Arc<Shown>>) -> Json<Value> {
    shown.asked.fetch_add(1, Ordering::SeqCst);
    let keys = shown.keys.lock().expect("keys").clone();
    Json(json!({ "keys": keys }))
}
