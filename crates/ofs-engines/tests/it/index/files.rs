//! tantivy only: what happens when its files rot, vanish or cannot be written.

use super::{Engine, Tantivy, at_version, everything, holding, id, ids, order, store, target};
use super::{STORE, with};
use ofs_runtime::index::{Error, Index, Put};
use std::fs;
use std::path::PathBuf;
use std::slice::from_ref;
use std::sync::Arc;

fn generation(engine: &Tantivy) -> PathBuf {
    engine.dir.path().join("targets").join("one")
}

/// Opened as `engine` now is, generation `one` needs a rebuild, and can be rebuilt under its name.
async fn needs_a_rebuild(engine: &Tantivy) {
    let index = engine.open().await;
    let status = index.status().await.unwrap();
    assert_eq!((status.active, status.targets, status.documents), (None, Vec::new(), 0));
    assert_eq!(status.instance, Some(STORE));
    rebuild(index).await;
}

async fn rebuild(index: Arc<dyn Index>) {
    let one = target("one");
    assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
    assert!(matches!(index.put(&one, &[order(1)]).await, Err(Error::Missing(_))));
    assert!(matches!(index.scan(&one, None, 1).await, Err(Error::Missing(_))));
    index.begin(&one, STORE).await.unwrap();
    store(&*index, &[order(2)]).await;
    index.finish(&one).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(2)]);
}

#[tokio::test]
async fn a_generation_with_an_unreadable_list_of_segments_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    fs::write(generation(&engine).join("meta.json"), "{ not json").unwrap();
    needs_a_rebuild(&engine).await;
}

#[tokio::test]
async fn a_generation_that_lost_a_file_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    for entry in fs::read_dir(generation(&engine)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::remove_file(path).unwrap();
        }
    }
    needs_a_rebuild(&engine).await;
}

#[tokio::test]
async fn a_generation_cut_short_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    for entry in fs::read_dir(generation(&engine)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "fast") {
            fs::write(path, "short").unwrap();
        }
    }
    needs_a_rebuild(&engine).await;
}

#[tokio::test]
async fn a_generation_that_does_not_know_its_store_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    fs::write(generation(&engine).join("instance"), "?").unwrap();
    needs_a_rebuild(&engine).await;
}

#[tokio::test]
async fn a_generation_indexed_in_the_way_of_another_build_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let layout = generation(&engine).join("layout");
    drop(holding(&engine, &[order(1)]).await);
    fs::write(&layout, "1").unwrap();
    needs_a_rebuild(&engine).await;
    fs::remove_file(&layout).unwrap();
    needs_a_rebuild(&engine).await;
}

#[tokio::test]
async fn a_generation_deleted_under_the_running_program_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    fs::remove_dir_all(generation(&engine)).unwrap();
    assert_eq!(index.status().await.unwrap().active, None);
    rebuild(index).await;
}

#[tokio::test]
async fn without_a_readable_active_file_no_generation_is_searched() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    fs::write(engine.dir.path().join("active"), [0_u8; 3]).unwrap();
    let index = engine.open().await;
    assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
    let status = index.status().await.unwrap();
    assert_eq!((status.active, status.targets), (None, vec![target("one")]));
    index.finish(&target("one")).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(1)]);
}

#[tokio::test]
async fn what_was_half_made_or_half_removed_is_cleared_away() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    let all = engine.dir.path().join("targets");
    for name in [".new-two", ".old-zero"] {
        fs::create_dir(all.join(name)).unwrap();
        fs::write(all.join(name).join("meta.json"), "{").unwrap();
    }
    fs::write(all.join("a-file-of-somebody-else"), "").unwrap();
    let index = engine.open().await;
    assert!(!all.join(".new-two").exists() && !all.join(".old-zero").exists());
    assert_eq!(index.status().await.unwrap().targets, [target("one")]);
    index.finish(&target("one")).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(1)]);
}

#[tokio::test]
async fn a_target_whose_name_leaves_the_directory_is_refused() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    for name in ["", "..", ".hidden", "a/b", "/etc", "a\\b", "é", &"x".repeat(200)] {
        assert!(index.begin(&target(name), STORE).await.is_err(), "{name}");
    }
    assert_eq!(index.status().await.unwrap().targets, [target("one")]);
}

#[tokio::test]
async fn a_push_that_cannot_be_written_is_not_claimed_and_a_later_one_is() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    let one = target("one");
    // A directory where tantivy wants to rename a file to: every write fails.
    let list = generation(&engine).join(".managed.json");
    let kept = fs::read(&list).unwrap();
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    let newer = at_version(with(order(1), "status", "PaymentFailed"), 2);
    for _ in 0..3 {
        let puts = index.put(&one, &[newer.clone(), order(2)]).await.unwrap();
        assert!(matches!(puts.as_slice(), [Put::Later(_), Put::Later(_)]), "{puts:?}");
        assert_eq!(index.scan(&one, None, 9).await.unwrap(), [order(1)], "as last committed");
    }
    fs::remove_dir(&list).unwrap();
    fs::write(&list, kept).unwrap();
    let puts = index.put(&one, &[newer.clone(), order(2)]).await.unwrap();
    assert_eq!(puts, [Put::Stored, Put::Stored]);
    drop(index);
    let index = engine.open().await;
    assert_eq!(index.scan(&one, None, 9).await.unwrap(), [newer.clone(), order(2)]);
    assert_eq!(index.put(&one, from_ref(&newer)).await.unwrap(), [Put::Newer]);
}

#[tokio::test]
async fn a_generation_whose_documents_rotted_is_rebuilt() {
    let engine = Tantivy::new().await.unwrap();
    let index = holding(&engine, &[order(1)]).await;
    drop(index);
    for entry in fs::read_dir(generation(&engine)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "store") {
            let mut content = fs::read(&path).unwrap();
            content[..60].fill(0xEE);
            fs::write(path, content).unwrap();
        }
    }
    let index = engine.open().await;
    assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
    assert_eq!(index.status().await.unwrap().active, None);
    rebuild(index).await;
}
