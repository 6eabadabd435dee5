//! API keys and the audit trail. What changes keys and what tells of it are one write.

use super::*;
use futures::future::join_all;
use ofs_runtime::access::{ApiKey, Digest, Scope, Scopes, verify};

fn key(number: u128) -> ApiKey {
    ApiKey {
        id: Uuid::from_u128(number),
        name: format!("key {number}"),
        scopes: [Scope::OrdersRead, Scope::Pii].into_iter().collect(),
        digest: Digest([7; 32]),
        created_at: time(1),
        expires_at: Some(time(2)),
        revoked_at: None,
        used_at: None,
    }
}

async fn entries(access: &dyn Access) -> Vec<String> {
    let trail = access.trail(0, 1_000).await.unwrap();
    trail.into_iter().map(|noted| noted.entry).collect()
}

pub async fn a_key_is_read_back_as_it_was_given(engine: &impl Engine) {
    let access = engine.access().await;
    let (one, two) = (key(1), ApiKey { expires_at: None, scopes: Scopes::default(), ..key(2) });
    assert!(access.add_key(&two, false, "two").await.unwrap());
    assert!(access.add_key(&one, false, "one").await.unwrap());
    drop(access);
    let access = engine.access().await;
    assert_eq!(access.key(one.id).await, Ok(Some(one.clone())));
    assert_eq!(access.key(Uuid::from_u128(3)).await, Ok(None));
    assert_eq!(access.keys().await, Ok(vec![one, two]));
    assert_eq!(entries(&*access).await, ["two", "one"]);
}

pub async fn only_one_key_is_the_first(engine: &impl Engine) {
    let access = engine.access().await;
    let keys: Vec<ApiKey> = (1..=8).map(key).collect();
    let adding = keys.iter().map(|key| access.add_key(key, true, &key.name));
    let added: Vec<bool> = join_all(adding).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(added.iter().filter(|added| **added).count(), 1, "{added:?}");
    let kept = access.keys().await.unwrap();
    assert_eq!(entries(&*access).await, [kept[0].name.clone()]);
}

pub async fn a_key_is_revoked_once(engine: &impl Engine) {
    let access = engine.access().await;
    access.add_key(&key(1), false, "made").await.unwrap();
    assert!(access.revoke_key(key(1).id, time(5), "revoked").await.unwrap());
    assert!(!access.revoke_key(key(1).id, time(6), "again").await.unwrap());
    assert!(!access.revoke_key(key(2).id, time(6), "unknown").await.unwrap());
    let revoked = access.key(key(1).id).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(time(5)));
    assert_eq!(entries(&*access).await, ["made", "revoked"]);
}

pub async fn the_last_use_of_a_key_is_the_latest(engine: &impl Engine) {
    let access = engine.access().await;
    for number in 1..=2 {
        access.add_key(&key(number), false, "made").await.unwrap();
    }
    access.keys_used(&[(key(1).id, time(9)), (key(3).id, time(9))]).await.unwrap();
    access.keys_used(&[(key(1).id, time(8)), (key(2).id, time(4))]).await.unwrap();
    let used: Vec<_> = access.keys().await.unwrap().iter().map(|key| key.used_at).collect();
    assert_eq!(used, [Some(time(9)), Some(time(4))]);
}

pub async fn the_trail_holds_every_entry_in_one_chain(engine: &impl Engine) {
    let access = engine.access().await;
    let texts: Vec<String> = (0..40).map(|number| format!("{{\"n\":{number},\"ü\":1}}")).collect();
    join_all(texts.iter().map(|text| access.note(text))).await.into_iter().for_each(Result::unwrap);
    let mut found = entries(&*access).await;
    found.sort();
    let mut expected = texts.clone();
    expected.sort();
    assert_eq!(found, expected);
    let page = access.trail(30, 5).await.unwrap();
    let numbers: Vec<u64> = page.iter().map(|noted| noted.seq).collect();
    assert_eq!(numbers, [31, 32, 33, 34, 35]);
    let verified = verify(&*access).await.unwrap();
    assert_eq!((verified.entries, verified.findings), (40, vec![]));
}

pub async fn an_entry_that_is_altered_missing_or_moved_is_found(engine: &impl Engine) {
    let access = engine.access().await;
    for number in 1..=9 {
        access.note(&format!("entry {number}")).await.unwrap();
    }
    drop(access);
    for (sql, wrong) in [
        ("UPDATE audit SET entry = 'nothing' WHERE seq = 3", vec![3]),
        ("UPDATE audit SET entry = 'entry 3' WHERE seq = 3", vec![]),
        ("DELETE FROM audit WHERE seq = 5", vec![5]),
        (
            "UPDATE audit SET seq = 100 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 8;
          UPDATE audit SET seq = 8 WHERE seq = 100",
            vec![5, 7, 8, 9],
        ),
        ("DELETE FROM audit WHERE seq >= 7", vec![5, 7]),
    ] {
        engine.tamper(sql).await;
        let access = engine.access().await;
        let findings = verify(&*access).await.unwrap().findings;
        let found: Vec<u64> = findings.iter().map(|finding| finding.seq).collect();
        assert_eq!(found, wrong, "{sql}: {findings:?}");
    }
}

pub async fn the_trail_cannot_be_changed_by_mistake(engine: &impl Engine) {
    let access = engine.access().await;
    access.note("entry 1").await.unwrap();
    drop(access);
    for sql in ["UPDATE audit SET entry = 'x'", "DELETE FROM audit"] {
        assert!(engine.try_execute(sql).await.unwrap_err().contains("append-only"), "{sql}");
    }
}
