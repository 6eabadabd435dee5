//! Every golden file decodes and is written again as it stands.

use ofs_events::{Event, Payload, Topic};
use std::fs;
use std::path::PathBuf;

fn golden_files() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of golden files")
        .map(|entry| entry.expect("a golden file").path())
        .map(|path| {
            let name = path.file_name().expect("a file name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable golden file").trim_ascii().to_vec())
        })
        .collect();
    files.sort();
    files
}

fn topic_of(name: &str) -> Topic {
    let event_type = name.split('.').next().expect("a type before the first dot");
    let known = Payload::known().find(|(known, ..)| *known == event_type);
    known.unwrap_or_else(|| panic!("{name} is named after no event")).2
}

#[test]
fn every_golden_file_decodes_and_encodes_byte_for_byte() {
    for (name, bytes) in golden_files() {
        let key = b"019c13e0-0000-7000-8000-00000000000a";
        let event = Event::decode(topic_of(&name), Some(key), &bytes)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(event.encode()), String::from_utf8(bytes), "{name}");
    }
}

#[test]
fn every_known_event_has_a_golden_file() {
    let files = golden_files();
    for (event_type, ..) in Payload::known() {
        assert!(
            files.iter().any(|(name, _)| name == &format!("{event_type}.json")),
            "{event_type}"
        );
    }
}
