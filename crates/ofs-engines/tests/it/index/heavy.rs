//! Large documents: scanned and found a few at a time, and all of them.

use super::*;
use ofs_runtime::budget::{BATCH_BYTES, BATCHES};

/// Bytes of each; together they are more than any answer holds.
const LARGE: usize = 200 * 1024;
const COUNT: u128 = 60;

async fn heavy(engine: &impl Engine) -> Arc<dyn Index> {
    let index = holding(engine, &[]).await;
    for number in 0..COUNT {
        store(&*index, &[with(order(number), "productType", "x".repeat(LARGE))]).await;
    }
    index
}

fn assert_part(documents: usize) {
    assert!(documents > 0 && documents <= BATCHES * BATCH_BYTES / LARGE, "{documents} at once");
}

pub async fn a_scan_of_large_documents_pages_through_them(engine: &impl Engine) {
    let index = heavy(engine).await;
    let mut scanned: Vec<Key> = Vec::new();
    loop {
        let page = index.scan(&target("one"), scanned.last().copied(), 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert_part(page.len());
        scanned.extend(page.iter().map(|document| document.id));
    }
    assert_eq!(scanned, (0..COUNT).map(id).collect::<Vec<_>>());
}

pub async fn a_page_of_large_documents_is_short_and_has_a_next(engine: &impl Engine) {
    let index = heavy(engine).await;
    let (mut query, mut found) = (Query { limit: 200, ..everything() }, Vec::new());
    loop {
        let page = index.search(&query).await.unwrap();
        assert_eq!(u128::from(page.total), COUNT);
        assert_part(page.documents.len());
        found.extend(page.documents.iter().map(|order| order["id"].clone()));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, (0..COUNT).map(|number| json!(id(number))).collect::<Vec<_>>());
}
