//! `ofs doctor` and what is open: said in one line each, and with exit code 1.

use crate::doors::{REQUIRED, SCOPES, key};
use crate::system::{System, json, lines};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

fn doctor(system: &System, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = system.command();
    command.arg("doctor").args(args).envs(variables.iter().copied());
    command.output().expect("an end")
}

#[test]
fn each_open_door_is_a_line_and_closing_them_all_is_exit_code_0() {
    let system = System::new();
    let closed = doctor(&system, &[], &[]);
    assert_eq!(closed.status.code(), Some(0), "{closed:?}");
    std::fs::write(system.dir().join("key.pem"), "a key").expect("a file");
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(system.dir().join("key.pem"), readable).expect("permissions");
    let listen = ("OFS_LISTEN", "0.0.0.0:8080");
    let tls = [("OFS_TLS_CERTIFICATE", "cert.pem"), ("OFS_TLS_KEY", "key.pem")];
    let found = doctor(&system, &[listen, ("OFS_AUTH_MODE", "none")], &[]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let said = lines(&found.stdout);
    let open: Vec<&String> = said.iter().filter(|line| line.starts_with("open: ")).collect();
    assert_eq!(open.len(), 3, "{said:#?}");
    for (line, setting) in open.iter().zip(["auth.mode=required", "tls.certificate", "http.rate"]) {
        let (_, close) = line.split_once("; close it with ").expect("what closes it");
        assert!(close.starts_with(setting), "{line}");
    }
    let settings = [listen, REQUIRED, tls[0], tls[1], ("OFS_HTTP_RATE", "50")];
    let found = doctor(&system, &settings, &["--json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let open = &json(&found)["open"];
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    assert!(
        open[0]["what"].as_str().expect("words").starts_with("key.pem holds a secret"),
        "{open}"
    );
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(system.dir().join("key.pem"), own).expect("permissions");
    let closed = doctor(&system, &settings, &["--json"]);
    assert_eq!(closed.status.code(), Some(0), "{closed:?}");
    assert_eq!(json(&closed)["open"], serde_json::json!([]));
}

#[test]
fn secrets_that_all_may_read_and_keys_for_everything_are_named() {
    let system = System::new();
    std::fs::write(system.dir().join("api.key"), "ofs_x\n").expect("a file");
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(system.dir().join("api.key"), readable).expect("permissions");
    let made = key(&system, &SCOPES);
    let id = made["id"].as_str().expect("an id");
    let what = |output: &Output| -> Vec<String> {
        let open = json(output)["open"].as_array().expect("findings").clone();
        open.iter().map(|open| open["what"].as_str().expect("words").to_owned()).collect()
    };
    let found = what(&doctor(&system, &[REQUIRED, ("OFS_API_KEY_FILE", "api.key")], &["--json"]));
    let wanted = ["api.key holds a secret", "does not expire", "has all scopes"];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found}");
    }
    assert!(found[1].contains(id) && found[2].contains(id), "{found:?}");
    assert_eq!(
        what(&doctor(&system, &[], &["--json"])),
        [""; 0],
        "where none is needed, none matters"
    );
    let revoked = system.ofs(None, &["keys", "revoke", id]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!(what(&doctor(&system, &[REQUIRED], &["--json"])), [""; 0]);
}

#[test]
fn what_is_open_is_said_also_where_a_server_runs() {
    let system = System::new();
    let _server = system.start();
    let found = doctor(&system, &[("OFS_AUTH_MODE", "none")], &[]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(lines(&found.stdout)[0].starts_with("open: auth.mode"), "{found:?}");
    assert!(lines(&found.stderr).concat().contains("needs a stopped server"), "{found:?}");
}
