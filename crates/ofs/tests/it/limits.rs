//! How much one caller may send, and that the others notice nothing of it.

use crate::doors::{REQUIRED, get, key, text};
use crate::server::http;
use crate::system::System;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn one_callers_flood_is_refused_and_leaves_the_others_alone() {
    const RATE: u32 = 40;
    let system = System::new();
    let [one, two] = [(); 2].map(|()| key(&system, &["operate"]));
    let server = system.start_with(&[], &[REQUIRED, ("OFS_HTTP_RATE", &RATE.to_string())]);
    let url = format!("{}/index/refused", server.url);
    let client = http();
    let began = Instant::now();
    let (mut taken, mut refused) = (0, 0);
    while began.elapsed() < Duration::from_secs(3) {
        let answer = client.get(&url).bearer_auth(text(&one)).send().await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("ratelimit-policy"), format!("\"requests\";q={RATE};w=1"));
        match answer.status().as_u16() {
            200 => taken += 1,
            429 => {
                assert_eq!(header("retry-after"), "1");
                assert!(header("ratelimit").contains(";r=0;"), "{}", header("ratelimit"));
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    // A second's worth at once, then as much in each second.
    let fair = f64::from(RATE) * (1.0 + began.elapsed().as_secs_f64());
    assert!(refused > 0 && f64::from(taken) <= fair + 1.0, "{taken} of {fair}, {refused} refused");
    assert_eq!(get(&url, &two).await.0, 200, "another key is another caller");
    // Whoever guesses keys is counted by address.
    let forged = json!({ "key": text(&one).replace(&text(&one)[37..41], "beef") });
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(get(&url, &forged).await.0);
    }
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(get(&url, &two).await.0, 200);
    let ready = client.get(format!("{}/health/ready", server.url)).send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200, "probes are always answered");
}
