//! The workbench of parked events: what is wrong in a record, and what a retry would do.

use crate::browser::until_page;
use crate::server::{get, http, order, place, until};
use crate::system::{System, record};
use ofs_events::Topic;
use serde_json::{Value, json};

on_every_set! {
    many_events_are_given_up_as_a_job_that_says_what_came_of_each,
    a_dry_run_tells_what_a_retry_would_do_and_changes_nothing,
    what_is_wrong_in_a_record_is_marked_beside_one_that_can_be_read,
}

async fn post(url: &str) -> (u16, Value) {
    let answer = http().post(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn a_dry_run_tells_what_a_retry_would_do_and_changes_nothing(system: System) {
    // No gateway answers in time, so the payment is parked, and its verdict is not known to us.
    let patience = [("OFS_PAYMENT_GATEWAY_TIMEOUT", "50ms")];
    let server = system.start_with(&[], &patience);
    let id = place(&server.url, &order(Some("sim:timeout:99"))).await.expect("201");
    let parked = format!("{}/parked?order={id}", server.url);
    let found = until(&parked, "parked", |_, page| page["parked"][0].is_object()).await;
    let number = found["parked"][0]["id"].clone();
    let (status, told) = post(&format!("{}/parked/{number}/dry-run", server.url)).await;
    assert_eq!((status, &told["outcome"]), (200, &json!("wait")), "{told}");
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.contains("does not ask the payment gateway to charge"), "{reason}");
    assert_eq!(told["events"], json!([]));
    let page = until_page(&format!("{}/ui/parked/{number}", server.url), "Dry run").await;
    let page = page.press("Dry run", &[]).await;
    assert!(page.text().contains("A retry would not decide it now"), "{}", page.text());
    let (_, after) = get(&format!("{}/orders/{id}", server.url)).await;
    assert_eq!(after["status"], "Created");
    let told =
        system.ofs(Some(&server.url), &["parked", "retry", "--dry-run", &number.to_string()]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("wait"), "{told}");
    let (status, _) = post(&format!("{}/parked/999999999/dry-run", server.url)).await;
    assert_eq!(status, 404);
}

async fn what_is_wrong_in_a_record_is_marked_beside_one_that_can_be_read(system: System) {
    let order_id = "0198c0de-0000-7000-8000-000000000007";
    let event = |payload: Value| {
        json!({"eventId": "0198c0de-0000-7000-8000-0000000000e1", "eventType": "OrderCreatedV1",
            "eventVersion": 1, "occurredAt": "2026-01-31T12:00:00Z",
            "correlationId": "0198c0de-0000-7000-8000-0000000000c1", "causationId": null,
            "payload": payload})
        .to_string()
    };
    let lacks = event(json!({"orderId": order_id, "customerEmail": "a@b", "productType": "Phone"}));
    let wrong = event(json!({"orderId": order_id, "customerEmail": "a@b", "productType": 7,
        "country": "US"}));
    let key = Some(order_id.as_bytes());
    let records = [lacks, wrong].map(|text| record(Topic::Orders, key, text.as_bytes()));
    system.append(records.to_vec()).await;
    let server = system.start();
    let parked = format!("{}/parked?service=payment-worker", server.url);
    let found = until(&parked, "both", |_, page| page["parked"][1].is_object()).await;
    for (nth, said) in [
        "payload.country \"US\" missing the payload is not a OrderCreatedV1: missing field `country`",
        "payload.productType \"Phone\" 7 the payload is not a OrderCreatedV1: productType:",
    ]
    .iter()
    .enumerate()
    {
        let number = &found["parked"][nth]["id"];
        let page = until_page(&format!("{}/ui/parked/{number}", server.url), "can be read").await;
        assert!(page.text().contains(said), "{said}: {}", page.text());
        assert_eq!(page.html.matches("<mark>").count(), 1, "{}", page.html);
    }
    // The second waits behind the first, which is wrong itself.
    let number = &found["parked"][0]["id"];
    let (_, told) = post(&format!("{}/parked/{number}/dry-run", server.url)).await;
    assert_eq!(told["outcome"], "fail", "{told}");
    let (status, told) =
        post(&format!("{}/parked/{}/dry-run", server.url, found["parked"][1]["id"])).await;
    assert_eq!(status, 409, "{told}");
}

async fn many_events_are_given_up_as_a_job_that_says_what_came_of_each(system: System) {
    let broken = (0..30).map(|nth| {
        let order_id = format!("0198c0de-0000-7000-8000-0000000000{nth:02x}");
        record(Topic::Orders, Some(order_id.as_bytes()), b"{not json")
    });
    system.append(broken.collect()).await;
    let server = system.start();
    let url = |path: &str| format!("{}{path}", server.url);
    let (_, none) = get(&url("/parked/job")).await;
    assert_eq!(none["job"], Value::Null);
    let list = url("/parked?service=payment-worker&state=parked");
    let found = until(&list, "all", |_, page| page["parked"][29].is_object()).await;
    let gone = found["parked"][3]["id"].clone();

    let begin = async |mut body: Value| {
        body["service"] = json!("payment-worker");
        let asked = http().post(url("/parked/job")).json(&body).send();
        let answer = asked.await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    for (body, status) in [
        (json!({"action": "discard", "because": "  "}), 400),
        (json!({"action": "burn", "because": "x"}), 400),
        (json!({"action": "discard", "because": "x", "count": 7}), 409),
        (json!({"action": "discard", "because": "x", "count": 7.0}), 409),
        (json!({"action": "discard", "because": "x", "count": 7.5}), 400),
        (json!({"action": "discard", "because": "x", "count": -1}), 400),
    ] {
        assert_eq!(begin(body.clone()).await.0, status, "{body}");
    }
    let latest = url("/parked/job");
    let ended = async || {
        let is_over = |_, told: &Value| told["job"]["endedAt"].is_string();
        until(&latest, "ended", is_over).await["job"].clone()
    };
    let (status, told) = begin(json!({"action": "retry", "because": "to see", "count": 30})).await;
    assert_eq!((status, &told["state"], &told["total"]), (202, &json!("running"), &json!(30)));
    let job = ended().await;
    let outcome = |job: &Value, word: &str| {
        let turns = job["turns"].as_array().expect("turns").iter();
        turns.filter(|turn| turn["outcome"] == word).count()
    };
    assert_eq!((&job["state"], outcome(&job, "failed")), (&json!("done"), 30), "{job}");
    assert!(job["turns"][0]["reason"].as_str().is_some_and(|why| why.contains("envelope")));

    let discard = format!("/parked/{gone}/discard");
    let sent = http().post(url(&discard)).json(&json!({"reason": "first"})).send().await;
    assert_eq!(sent.expect("an answer").status(), 200);
    let (status, _) = begin(json!({"action": "discard", "because": "by hand", "count": 29})).await;
    assert_eq!(status, 202);
    let job = ended().await;
    assert_eq!((&job["state"], outcome(&job, "discarded")), (&json!("done"), 29), "{job}");
    assert_eq!(get(&list).await.1["parked"], json!([]));
    // There is nothing left to be cancelled.
    let (status, told) = post(&url("/parked/job/cancel")).await;
    assert_eq!((status, &told["job"]["state"]), (200, &json!("done")));
}
