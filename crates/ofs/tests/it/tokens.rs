//! Tokens of an issuer: what they open, who is behind them, and every way to forge one.

use crate::api::{Api, Operation};
use crate::doors::{SCOPES, key, needed, text};
use crate::issuer::{Issuer, Signer, now};
use crate::server::{PATIENCE, http, order};
use crate::system::System;
use futures::StreamExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(url: &str, token: &str) -> (u16, Value) {
    answer(http().get(url).bearer_auth(token)).await
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().expect("words")
}

/// `bytes` as a token has them.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[tokio::test]
async fn a_token_opens_the_routes_of_its_scopes_and_no_other() {
    let signer = Signer::new("one", Algorithm::ES256);
    let issuer = Issuer::start(&[&signer]).await;
    let server = System::new();
    let server = server.start_with(&[], &issuer.variables());
    let api = Api::of(&server.url).await;
    let id = "0198c0de-0000-7000-8000-000000000001".to_owned();
    let ids = [("orders", id.clone()), ("keys", id), ("parked", "1".to_owned())].into();
    let mut refused = 0;
    for (nth, scope) in SCOPES.iter().enumerate() {
        let mut claims = issuer.claims("ada", &format!("openid {scope} profile"));
        // Issuers differ in where they put them.
        if nth % 3 == 1 {
            claims["scp"] = json!(["openid", scope]);
            claims["scope"] = Value::Null;
        } else if nth % 3 == 2 {
            claims["scope"] = json!([scope]);
        }
        let token = signer.sign(&claims);
        for operation in api.operations() {
            let Some(needed) = needed(&operation) else { continue };
            let name = format!("{} {}", operation.method, operation.path);
            let request = Operation::request(&operation, &api, &server.url, &ids);
            let (status, problem) = answer(request.bearer_auth(&token)).await;
            if needed == *scope {
                assert!(![401, 403].contains(&status), "{name} with {scope}: {problem}");
            } else {
                assert_eq!(status, 403, "{name} with {scope}: {problem}");
                refused += 1;
            }
        }
    }
    assert!(refused > 80, "{refused}");
}

/// Tokens that must not be taken, each with its name and what the answer says.
fn forged(
    signers: &[Signer],
    issuer: &Issuer,
    good: &Value,
) -> Vec<(&'static str, String, &'static str)> {
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let [rs, ps, es, _] = signers else { unreachable!("four signers") };
    let stranger = Signer::new("rs", Algorithm::RS256);
    let secret = EncodingKey::from_secret(&rs.public);
    let mut hs = Header::new(Algorithm::HS256);
    hs.kid = Some("rs".to_owned());
    let none = |head: Value| {
        let parts = [head.to_string(), good.to_string()].map(|part| base64url(part.as_bytes()));
        format!("{}.{}.", parts[0], parts[1])
    };
    let whole = rs.sign(good);
    let (said, signature) = whole.rsplit_once('.').expect("three parts");
    let richer = rs.sign(&with("scope", json!("operate admin")));
    let richer = richer.rsplit_once('.').expect("three parts").0;
    vec![
        ("alg none", none(json!({"alg": "none", "kid": "rs"})), "no token that can be read"),
        ("alg None", none(json!({"alg": "None", "kid": "es"})), "no token that can be read"),
        ("HS with the public key", encode(&hs, good, &secret).expect("a token"), "RS256, PS256"),
        ("PS for an RS key", ps.sign_as(good, |head| head.kid = Some("rs".into())), "RS256, PS256"),
        ("ES for an RS key", es.sign_as(good, |head| head.kid = Some("rs".into())), "RS256, PS256"),
        ("a stranger's signature", stranger.sign(good), "signature"),
        ("another's signature", format!("{richer}.{signature}"), "signature"),
        ("no signature", format!("{said}."), "signature"),
        ("expired", rs.sign(&with("exp", json!(now() - 60))), "has expired"),
        ("not yet valid", rs.sign(&with("nbf", json!(now() + 120))), "not valid yet"),
        ("never expires", rs.sign(&with("exp", Value::Null)), "the claims iss, sub, aud and exp"),
        ("exp in words", rs.sign(&with("exp", json!("tomorrow"))), "the claims iss, sub"),
        ("another audience", rs.sign(&with("aud", json!("shop"))), "auth.audience"),
        ("no audience", rs.sign(&with("aud", Value::Null)), "the claims iss, sub, aud and exp"),
        ("another issuer", rs.sign(&with("iss", json!("https://evil.example"))), "auth.issuer"),
        ("two issuers", rs.sign(&with("iss", json!([issuer.url()]))), "the claims iss, sub"),
        ("no subject", rs.sign(&with("sub", Value::Null)), "the claims iss, sub, aud and exp"),
        ("an empty subject", rs.sign(&with("sub", json!(""))), "subject"),
        ("a subject in two lines", rs.sign(&with("sub", json!("a\nb"))), "subject"),
        ("no kid", rs.sign_as(good, |head| head.kid = None), "(kid)"),
        ("an empty kid", rs.sign_as(good, |head| head.kid = Some(String::new())), "(kid)"),
        ("crit", rs.sign_as(good, |head| head.crit = Some(vec!["x".into()])), "extensions"),
        (
            "a token for logging out",
            rs.sign_as(good, |head| head.typ = Some("logout+jwt".into())),
            "kind",
        ),
        ("too long", rs.sign(&with("more", json!("x".repeat(7_000)))), "longer than 8 KiB"),
        ("dots", "..".to_owned(), "no token that can be read"),
    ]
}

#[tokio::test]
async fn every_algorithm_that_is_taken_is_and_forged_tokens_are_not() {
    let algorithms = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
    let signers: Vec<Signer> = algorithms
        .iter()
        .zip(["rs", "ps", "es", "ed"])
        .map(|(a, kid)| Signer::new(kid, *a))
        .collect();
    let issuer = Issuer::start(&signers.iter().collect::<Vec<_>>()).await;
    let system = System::new();
    let server = system.start_with(&[], &issuer.variables());
    let url = format!("{}/pipeline", server.url);
    let good = issuer.claims("ada", "operate");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for signer in &signers {
        for claims in [
            good.clone(),
            with("aud", json!(["x", crate::issuer::AUDIENCE])),
            with("nbf", json!(now())),
        ] {
            let (status, problem) = get(&url, &signer.sign(&claims)).await;
            assert_eq!(status, 200, "{:?}: {problem}", signer.algorithm);
        }
    }
    let forged = forged(&signers, &issuer, &good);
    for (name, token, words) in &forged {
        let (status, problem) = get(&url, token).await;
        assert_eq!(status, 401, "{name}: {problem}");
        assert!(detail(&problem).contains(words), "{name}: {problem}");
    }
    // Ids are logged, the rest of a token is nobody's business.
    let said = server.said().join("\n");
    let signed = forged.iter().filter_map(|(_, token, _)| token.rsplit_once('.'));
    for (_, signature) in signed.filter(|(_, signature)| !signature.is_empty()) {
        assert!(!said.contains(signature), "a token is in the log lines");
    }
}

#[tokio::test]
async fn who_is_behind_a_token_is_somebody_of_their_own() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let issuer = Issuer::start(&[&signer]).await;
    let system = System::new();
    let api_key = key(&system, &["orders:write"]);
    let rate = [("OFS_HTTP_RATE", "40")];
    let server = system.start_with(&[], &[&issuer.variables()[..], &rate].concat());
    let key_id = api_key["id"].as_str().expect("an id");
    let token = |subject: &str| signer.sign(&issuer.claims(subject, "orders:write admin operate"));
    // One of them calls itself by the key's id.
    let callers =
        [text(&api_key).to_owned(), token("ada"), token("bob@example.com"), token(key_id)];
    let mut placed = Vec::new();
    for caller in callers.iter().chain(&callers) {
        let request = http().post(format!("{}/orders", server.url)).bearer_auth(caller);
        let (status, body) =
            answer(request.header("idempotency-key", "k").json(&order(None))).await;
        assert_eq!(status, 201, "{body}");
        placed.push(body["id"].to_string());
    }
    let (first, again) = placed.split_at(callers.len());
    assert_eq!(first, again, "each repeats their own order");
    let apart: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(apart.len(), callers.len(), "and nobody another's");
    // One's flood is not the others'.
    let url = format!("{}/index/refused", server.url);
    let began = Instant::now();
    while get(&url, &callers[1]).await.0 != 429 {
        assert!(began.elapsed() < PATIENCE, "no flood is refused");
    }
    assert_eq!(get(&url, &callers[2]).await.0, 200);
    let revoke = http().post(format!("{}/keys/{key_id}/revoke", server.url));
    assert_eq!(answer(revoke.bearer_auth(&callers[2])).await.0, 200);
    let (_, trail) = get(&format!("{}/audit?limit=200", server.url), &callers[3]).await;
    let entries = trail["entries"].as_array().expect("entries");
    let revoked =
        entries.iter().find(|noted| noted["entry"]["action"] == "key.revoke").expect("it");
    let who = revoked["entry"]["who"].as_str().expect("somebody");
    assert!(who.starts_with("subject ") && who.ends_with(" (***)"), "no address is in it: {who}");
    // Keys are not asked for what tokens are.
    assert_eq!(get(&url, text(&api_key)).await.0, 401);
}

#[tokio::test]
async fn keys_that_come_and_go_are_known_soon_and_a_flood_asks_seldom() {
    let [old, new] = ["old", "new"].map(|kid| Signer::new(kid, Algorithm::ES256));
    let issuer = Issuer::start(&[&old]).await;
    let system = System::new();
    let server = system.start_with(&[], &issuer.variables());
    let url = format!("{}/index/refused", server.url);
    let [before, after] = [&old, &new].map(|it| it.sign(&issuer.claims("ada", "operate")));
    assert_eq!(get(&url, &before).await.0, 200);
    issuer.show(&[&new]);
    let began = Instant::now();
    while get(&url, &after).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "the new key is never taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, problem) = get(&url, &before).await;
    assert_eq!((status, detail(&problem).contains("or not any more")), (401, true), "{problem}");
    // Anybody can make up names of keys.
    let (asked, began) = (issuer.asked(), Instant::now());
    let claims = issuer.claims("ada", "operate");
    let (mut slowest, mut tried) = (Duration::ZERO, 0);
    while began.elapsed() < Duration::from_secs(7) {
        let made_up = (0..20).map(|nth| {
            let kid = format!("{tried}-{nth}");
            let token = new.sign_as(&claims, |head| head.kid = Some(kid));
            let url = url.clone();
            async move { get(&url, &token).await.0 }
        });
        let flood = tokio::spawn(futures::future::join_all(made_up.collect::<Vec<_>>()));
        let one = Instant::now();
        assert_eq!(get(&url, &after).await.0, 200);
        slowest = slowest.max(one.elapsed());
        assert_eq!(flood.await.expect("answers"), [401; 20]);
        tried += 1;
    }
    let most = 2 + usize::try_from(began.elapsed().as_secs()).expect("seconds") / 5;
    let asked = issuer.asked() - asked;
    assert!(tried > 3 && (1..=most).contains(&asked), "asked {asked} times for {tried} floods");
    assert!(slowest < Duration::from_secs(3), "another caller waited {slowest:?}");
}

#[tokio::test]
async fn a_silent_issuer_is_told_and_keys_go_on() {
    let signer = Signer::new("one", Algorithm::ES256);
    let issuer = Issuer::start(&[&signer]).await;
    issuer.fall_silent(true);
    let system = System::new();
    let api_key = key(&system, &["operate"]);
    let server = system.start_with(&[], &issuer.variables());
    let url = format!("{}/pipeline", server.url);
    let token = signer.sign(&issuer.claims("ada", "operate"));
    let (status, problem) = get(&url, &token).await;
    assert_eq!(status, 503, "{problem}");
    let words = detail(&problem);
    assert!(words.contains("auth.issuer") && words.contains("500"), "{words}");
    assert_eq!(get(&url, text(&api_key)).await.0, 200);
    issuer.fall_silent(false);
    let began = Instant::now();
    while get(&url, &token).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "it is never asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What is known goes on to count for a while.
    issuer.fall_silent(true);
    assert_eq!(get(&url, &token).await.0, 200);
}

#[tokio::test]
async fn a_live_answer_ends_with_its_token() {
    let signer = Signer::new("one", Algorithm::ES256);
    let issuer = Issuer::start(&[&signer]).await;
    let system = System::new();
    let server = system.start_with(&[], &issuer.variables());
    let mut claims = issuer.claims("ada", "events:read");
    // It counts for as long as clocks may be apart, and for a few seconds of these.
    claims["exp"] = (now() - 26).into();
    let url = format!("{}/events?follow=true", server.url);
    let began = Instant::now();
    let live = http().get(url).bearer_auth(signer.sign(&claims)).send().await.expect("an answer");
    assert_eq!(live.status(), 200);
    let mut live = live.bytes_stream();
    let end = async {
        while let Some(chunk) = live.next().await {
            if chunk.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("an end");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_signs_in_to_the_pages() {
    let signer = Signer::new("one", Algorithm::ES256);
    let issuer = Issuer::start(&[&signer]).await;
    let system = System::new();
    let server = system.start_with(&[], &issuer.variables());
    let sign_in = async |token: &str| {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only(Vec::new());
        let client = client.redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let request = client.post(format!("{}/ui/sign-in", server.url));
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(format!("key={token}&next=pipeline")).send().await.expect("an answer")
    };
    let mut claims = issuer.claims("ada", "operate");
    let answer = sign_in(&signer.sign(&claims)).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let page = http().get(format!("{}/ui/pipeline", server.url)).header("cookie", cookie);
    let page = page.header("sec-fetch-site", "same-origin").send().await.expect("a page");
    assert_eq!(page.status(), 200);
    claims["more"] = "x".repeat(3_500).into();
    let refused = sign_in(&signer.sign(&claims)).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.text().await.expect("a page").contains("too long for a browser"));
}

#[test]
fn settings_that_would_take_no_token_or_anybodys_are_refused() {
    let system = System::new();
    let show = |variables: &[(&str, &str)]| {
        let mut command = system.command();
        command.args(["config", "check"]).envs(variables.iter().copied());
        let output = command.output().expect("an end");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (issuer, audience) =
        (("OFS_AUTH_ISSUER", "https://id.example.com/"), ("OFS_AUTH_AUDIENCE", "ofs"));
    let required = crate::doors::REQUIRED;
    let (sound, said) = show(&[required, issuer, audience]);
    assert!(sound, "{said}");
    for (variables, words) in [
        (&[required, issuer][..], "auth.audience: auth.issuer is set"),
        (&[required, audience], "auth.issuer: auth.audience is set"),
        (&[issuer, audience], "auth.mode: auth.issuer is set"),
        (
            &[required, ("OFS_AUTH_ISSUER", "http://id.example.com"), audience],
            "must begin with https://",
        ),
        (&[required, ("OFS_AUTH_ISSUER", "https://me@id.example.com"), audience], "without a user"),
        (&[required, ("OFS_AUTH_ISSUER", "id.example.com"), audience], "is not an https:// URL"),
    ] {
        let (sound, said) = show(variables);
        assert!(!sound && said.contains(words), "{said}");
    }
}
