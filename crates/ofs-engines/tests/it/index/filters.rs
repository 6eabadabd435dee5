//! Index port: filters, with one value and with several.

use super::{COUNTRY, Engine, PRODUCT, STATUS, any_of, created, holding, id, ids, only, order};
use super::{time, with};
use serde_json::Value;

pub async fn filters_are_exact(engine: &impl Engine) {
    let index = holding(
        engine,
        &[
            with(order(1), "status", "PaymentFailed"),
            with(order(2), "country", "DE"),
            with(order(3), "productType", "Smart Phone"),
            with(with(order(4), "country", "DE"), "status", "PaymentFailed"),
            with(with(order(5), "country", Value::Null), "productType", Value::Null),
        ],
    )
    .await;
    let failed = any_of(STATUS, &["PaymentFailed"]);
    let german = any_of(COUNTRY, &["DE"]);
    assert_eq!(ids(&*index, &only([failed.clone()])).await, [id(4), id(1)]);
    assert_eq!(ids(&*index, &only([german.clone()])).await, [id(4), id(2)]);
    assert_eq!(ids(&*index, &only([any_of(COUNTRY, &["de"])])).await, []);
    assert_eq!(ids(&*index, &only([failed, german.clone()])).await, [id(4)]);
    let neither = only([german, any_of(COUNTRY, &["US"])]);
    assert_eq!(ids(&*index, &neither).await, [], "both have to hold");
    for product in ["smart phone", "SMART PHONE"] {
        assert_eq!(ids(&*index, &only([any_of(PRODUCT, &[product])])).await, [id(3)]);
    }
    let phone = only([any_of(PRODUCT, &["phone"])]);
    assert_eq!(ids(&*index, &phone).await, [id(4), id(2), id(1)]);
    let times = only([created(Some(time(2)), Some(time(4)))]);
    assert_eq!(ids(&*index, &times).await, [id(3), id(2)]);
    assert_eq!(ids(&*index, &only([created(Some(time(5)), None)])).await, [id(5)]);
    assert_eq!(ids(&*index, &only([created(None, Some(time(2)))])).await, [id(1)]);
    assert_eq!(ids(&*index, &only([created(None, None)])).await.len(), 5);
}

pub async fn a_filter_with_several_values_finds_any_of_them(engine: &impl Engine) {
    let index = holding(
        engine,
        &[
            with(order(1), "status", "PaymentFailed"),
            with(with(order(2), "country", "DE"), "productType", "Lamp"),
            with(with(order(3), "country", "JP"), "productType", "Ｃａｆé"),
            with(with(order(4), "country", "DE"), "status", "FulfillmentScheduled"),
            with(with(order(5), "country", Value::Null), "productType", Value::Null),
        ],
    )
    .await;
    let ended = any_of(STATUS, &["FulfillmentScheduled", "PaymentFailed"]);
    assert_eq!(ids(&*index, &only([ended.clone()])).await, [id(4), id(1)]);
    let twice = only([any_of(COUNTRY, &["DE", "JP", "DE", "FR"])]);
    assert_eq!(ids(&*index, &twice).await, [id(4), id(3), id(2)]);
    let both = only([any_of(COUNTRY, &["DE", "US"]), ended]);
    assert_eq!(ids(&*index, &both).await, [id(4), id(1)]);
    let products = any_of(PRODUCT, &["CAFE\u{301}", "lamp"]);
    assert_eq!(ids(&*index, &only([products.clone()])).await, [id(3), id(2)]);
    let all = only([any_of(COUNTRY, &["DE"]), products]);
    let found = index.search(&all).await.unwrap();
    assert_eq!((found.total, found.documents.len()), (1, 1));
    // As many as fit into a request, and some that cannot be in the index at all.
    let long = "x".repeat(50_000);
    let many: Vec<String> = (0..5_000).map(|number| format!("product {number}")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.extend([long.as_str(), "LAMP"]);
    let nowhere = only([any_of(PRODUCT, &many), any_of(COUNTRY, &many)]);
    assert_eq!(ids(&*index, &nowhere).await, []);
    let lamps = only([any_of(PRODUCT, &many), any_of(COUNTRY, &[])]);
    assert_eq!(ids(&*index, &lamps).await, [id(2)]);
    let none = only([any_of(COUNTRY, &[long.as_str()])]);
    assert_eq!(ids(&*index, &none).await, [], "a value that nothing can have is not left out");
}
