//! Index port: words, sorting, pages, totals and facets.

use super::{COUNTRY, CREATED, Engine, PRODUCT, STATUS, UPDATED, any_of, at_version, created};
use super::{everything, holding, id, ids, only, order, store, time, typed, with};
use ofs_events::{Key, Timestamp};
use ofs_runtime::index::{Cursor, Document, Index, Query};
use serde_json::{Value, json};

pub async fn a_word_is_found_whole_or_as_a_beginning(engine: &impl Engine) {
    let index = holding(
        engine,
        &[
            with(order(0xa1), "customerEmail", "user@example.com"),
            with(
                with(order(0xb2), "customerEmail", "Ann.Lee+tag@mail.test.org"),
                "productType",
                "Smart-Phone Größe XL",
            ),
        ],
    )
    .await;
    let (user, ann) = (id(0xa1), id(0xb2));
    for text in ["user@example.com", "user", "example", "example.com", "use", "USER", " user  "] {
        assert_eq!(typed(&*index, text).await, [user], "{text}");
    }
    for text in [
        "ann",
        "lee",
        "tag",
        "ann.lee+tag@mail.test.org",
        "lee+tag@mail",
        "test.org",
        "mail.test",
        "smart",
        "smart-phone",
        "GRÖ",
        "größe",
        "xl",
        "ann xl",
        "xl smart ann",
        "\"lee\"",
    ] {
        assert_eq!(typed(&*index, text).await, [ann], "{text}");
    }
    assert_eq!(typed(&*index, "phone").await, [user, ann]);
    for text in ["ser", "xample", "ann user", "phone tablet", "user@example.com.au", "annlee"] {
        assert_eq!(typed(&*index, text).await, [], "{text}");
    }
    let whole = ann.to_string();
    for text in [whole.as_str(), &whole.to_uppercase(), whole.get(..18).unwrap()] {
        assert_eq!(typed(&*index, text).await, [ann], "{text}");
    }
    for letters in 1..=ann.to_string().len() {
        let start = whole.get(..letters).unwrap();
        let both = user.to_string().starts_with(start);
        let expected = if both { vec![user, ann] } else { vec![ann] };
        assert_eq!(typed(&*index, start).await, expected, "{start}");
    }
    for letters in 1..="lee+tag@mail.test.org".len() {
        let start = "lee+tag@mail.test.org".get(..letters).unwrap();
        assert_eq!(typed(&*index, start).await, [ann], "{start}");
    }
    assert_eq!(typed(&*index, "  ").await, [user, ann], "nothing typed filters nothing");
    let longest = format!("{}@example.org", "\u{20000}".repeat(308));
    store(&*index, &[with(order(3), "customerEmail", longest.as_str())]).await;
    for text in [longest.as_str(), longest.get(..400).unwrap(), "example.org"] {
        assert_eq!(typed(&*index, text).await, [id(3)], "{text}");
    }
}

pub async fn a_text_is_found_as_people_type_it(engine: &impl Engine) {
    let products = [
        "Case for 📱",
        "Phone📱",
        "1½ inch tube",
        "C++ (2nd edition)",
        "C# in depth",
        "携帯電話ケース",
        "Café",
        "Cafe\u{301}",
        "iPhone電話Case",
        ".NET guide",
        "👩🏽\u{200d}💻 mug",
        "🇧🇩🇪🇸 pins",
        "ＷＩＤＥ　ﾊﾟｿｺﾝ",
    ];
    let documents: Vec<_> = (0..)
        .zip(products)
        .map(|(number, product)| {
            let document = with(order(number), "productType", product);
            with(document, "customerEmail", format!("kunde{number}@mail.net"))
        })
        .collect();
    let index = holding(engine, &documents).await;
    for (text, expected) in [
        ("📱", &[0, 1][..]),
        ("phone📱", &[1]),
        ("½", &[2]),
        ("1½", &[2]),
        ("inch", &[2]),
        ("C++", &[3]),
        ("(c++)", &[3]),
        ("c++ edition", &[3]),
        ("C#", &[4]),
        ("C", &[0, 3, 4, 6, 7, 8]),
        ("電話", &[5, 8]),
        ("携帯", &[5]),
        ("ケース", &[5]),
        ("話携", &[]),
        ("Café", &[6, 7]),
        ("CAFE\u{301}", &[6, 7]),
        ("Cafe", &[]),
        ("Caf", &[6, 7]),
        ("case", &[0, 8]),
        (".net", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (".net guide", &[9]),
        ("\u{1f469}🏽", &[10]),
        ("💻", &[]),
        ("🇧🇩", &[11]),
        ("🇩🇪", &[]),
        ("wide パソコン", &[12]),
        ("ｗｉｄｅ　ﾊﾟ", &[12]),
        ("@mail.net - kunde3", &[3]),
    ] {
        let expected: Vec<_> = expected.iter().copied().map(id).collect();
        assert_eq!(typed(&*index, text).await, expected, "{text}");
    }
    for (product, expected) in [("CAFÉ", vec![id(7), id(6)]), ("wide パソコン", vec![id(12)])]
    {
        let query = only([any_of(PRODUCT, &[product])]);
        assert_eq!(ids(&*index, &query).await, expected, "{product}");
    }
}

pub async fn nothing_a_person_types_is_an_error(engine: &impl Engine) {
    let index = holding(engine, &[order(1)]).await;
    let long = "x".repeat(100_000);
    let many = "a b c d ".repeat(5_000);
    let different: String = (0..3_000).map(|number| format!("w{number} ")).collect();
    for text in [
        "\"",
        "'",
        "AND OR NOT",
        "status:Created",
        "((",
        "a\\",
        "*",
        "?",
        "~1",
        "[1 TO 2]",
        "^2",
        "\u{0}",
        "\u{1F980}",
        "\u{202E}abc",
        "ß\u{301}",
        "-",
        "--",
        "+",
        "/re.*/",
        "{\"a\":1}",
        "\u{FFFF}",
        "%00",
        "id:*",
        &long,
        &many,
        &different,
    ] {
        let values = [text, "US"];
        for filters in [vec![], vec![any_of(COUNTRY, &values), any_of(PRODUCT, &values)]] {
            let query = Query { text: Some(text.to_owned()), ..only(filters) };
            index.search(&query).await.unwrap();
        }
    }
    for text in ["*", "((", "x*", "user?@example.com", "id:*"] {
        assert_eq!(typed(&*index, text).await, [], "{text} means nothing special");
    }
}

/// All pages of `query`, walked with its limit.
async fn walk(index: &dyn Index, query: &Query) -> Vec<Key> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let found = index.search(&query).await.unwrap();
        assert!(found.documents.len() <= query.limit);
        all.extend(
            found.documents.iter().map(|one| one["id"].as_str().unwrap().parse::<Key>().unwrap()),
        );
        match found.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

pub async fn walking_the_pages_gives_every_order_once_and_in_order(engine: &impl Engine) {
    // Five creation times among 60 orders, one of them missing altogether; updated the other way.
    let documents: Vec<Document> = (0..60)
        .map(|number| {
            let created = match number % 5 {
                0 => Value::Null,
                tie => json!(time(i64::try_from(tie).unwrap())),
            };
            let updated = json!(time(1000 - i64::try_from(number / 7).unwrap()));
            with(with(order(number), "createdAt", created), "updatedAt", updated)
        })
        .collect();
    let index = holding(engine, &[]).await;
    for part in documents.chunks(13) {
        store(&*index, part).await;
    }
    for by in [CREATED, UPDATED] {
        let mut expected: Vec<(i64, Key)> = documents
            .iter()
            .map(|document| {
                let at =
                    document.body[by.member].as_str().map(|at| at.parse::<Timestamp>().unwrap());
                (at.map_or(0, Timestamp::as_micros), document.id)
            })
            .collect();
        expected.sort_unstable();
        for descending in [false, true] {
            for limit in [1, 7, 59, 60, 61] {
                let sort_by = by.name;
                let query = Query { sort_by, descending, limit, ..everything() };
                let expected: Vec<Key> = expected.iter().map(|(_, id)| *id).collect();
                let mut walked = walk(&*index, &query).await;
                if descending {
                    walked.reverse();
                }
                assert_eq!(walked, expected, "{sort_by} {descending} {limit}");
            }
        }
    }
    let past = Cursor { micros: i64::MIN, id: id(0) };
    let query = Query { after: Some(past), ..everything() };
    assert_eq!(ids(&*index, &query).await, [], "nothing is older than all time");
}

pub async fn pages_stay_stable_while_orders_are_added(engine: &impl Engine) {
    let tie = json!(time(5));
    let documents: Vec<_> =
        (10..30).map(|number| with(order(number), "createdAt", tie.clone())).collect();
    let index = holding(engine, &documents).await;
    let mut query = Query { limit: 6, ..everything() };
    let mut walked = Vec::new();
    let mut added = 100;
    loop {
        let found = index.search(&query).await.unwrap();
        walked.extend(found.documents);
        // Ahead of the first page, by time and by tie.
        store(&*index, &[order(added), with(order(added + 1), "createdAt", tie.clone())]).await;
        added += 2;
        match found.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let expected: Vec<_> = documents.into_iter().rev().map(|document| document.body).collect();
    assert_eq!(walked, expected);
}

pub async fn totals_and_facets_count_all_matches(engine: &impl Engine) {
    let countries = ["US", "US", "US", "DE", "DE", "FR"];
    let documents: Vec<_> = (0..60)
        .map(|number| {
            let country = countries[usize::try_from(number % 6).unwrap()];
            let status = if number % 10 == 0 { "PaymentFailed" } else { "FulfillmentScheduled" };
            with(with(order(number), "country", country), "status", status)
        })
        .collect();
    let index = holding(engine, &documents).await;
    // A changed document counts once, as what it is now.
    store(&*index, &[at_version(with(documents[1].clone(), "status", "Created"), 2)]).await;
    let found = index.search(&Query { limit: 3, ..everything() }).await.unwrap();
    let counts = |facets: &[ofs_runtime::index::FacetCount]| -> Vec<(String, u64)> {
        facets.iter().map(|facet| (facet.value.clone(), facet.count)).collect()
    };
    let expect = |facets: &[(&str, u64)]| -> Vec<(String, u64)> {
        facets.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect()
    };
    assert_eq!((found.total, found.documents.len()), (60, 3));
    assert_eq!(
        counts(&found.facets[STATUS.name]),
        expect(&[("FulfillmentScheduled", 53), ("PaymentFailed", 6), ("Created", 1)])
    );
    assert_eq!(counts(&found.facets[COUNTRY.name]), expect(&[("US", 30), ("DE", 20), ("FR", 10)]));
    let german = Query { limit: 2, ..only([any_of(COUNTRY, &["DE"])]) };
    let page = index.search(&german).await.unwrap();
    let last = index.search(&Query { after: page.next, limit: 50, ..german }).await.unwrap();
    assert_eq!((page.total, last.total, last.documents.len()), (20, 20, 18), "on every page");
    assert_eq!(counts(&last.facets[COUNTRY.name]), expect(&[("DE", 20)]));

    let more: Vec<_> = (0..60_u8)
        .map(|number| {
            let name = [b'A' + number / 26, b'A' + number % 26];
            let name = String::from_utf8(name.to_vec()).unwrap();
            with(order(1000 + u128::from(number)), "country", name)
        })
        .collect();
    store(&*index, &more).await;
    let found = index.search(&everything()).await.unwrap();
    let countries = &found.facets[COUNTRY.name];
    assert_eq!((found.total, countries.len()), (120, 50), "the fifty largest");
    let mut values: Vec<_> = countries.iter().map(|facet| facet.value.as_str()).collect();
    assert_eq!((values.remove(0), values.remove(0), values.remove(0)), ("US", "DE", "FR"));
    assert_eq!((values[0], values[46]), ("AA", "BU"), "equal counts by value");
    assert!(values.is_sorted());
}

pub async fn a_time_counts_to_the_microsecond_however_it_is_written(engine: &impl Engine) {
    let written = [
        "9999-12-30T00:00:00Z",
        "2026-01-31T12:00:00.000002Z",
        "2026-01-31t13:00:00.000001999+01:00",
        "2026-01-31 12:00:00z",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
    ];
    let documents: Vec<_> =
        (0..).zip(written).map(|(number, at)| with(order(number), "createdAt", at)).collect();
    let index = holding(engine, &documents).await;
    assert_eq!(ids(&*index, &everything()).await, [id(0), id(1), id(2), id(3), id(4), id(5)]);
    assert_eq!(walk(&*index, &Query { limit: 1, ..everything() }).await.len(), 6);
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let (after, before) = (at("2026-01-31T12:00:00.000001Z"), at("2026-01-31T12:00:00.000002Z"));
    assert_eq!(ids(&*index, &only([created(after, before)])).await, [id(2)]);
    let old = only([created(None, at("1970-01-01T00:00:00Z"))]);
    assert_eq!(ids(&*index, &old).await, [id(4), id(5)]);
    assert_eq!(index.search(&old).await.unwrap().documents[0], documents[4].body, "as it was put");
}
