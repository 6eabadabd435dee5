//! Background tasks: one that panics ends the process and says so; what was accepted is finished
//! after the next start.

use crate::crashes::wait_for_end;
use crate::server::{place, until_status};
use crate::system::System;
use std::collections::BTreeSet;

/// Every background task of a whole server, as its log names them.
async fn tasks(system: &System) -> BTreeSet<String> {
    let mut server =
        system.start_with(&["--demo=5"], &[("OFS_LOGS_LEVEL", "ofs=debug,ofs_runtime=debug")]);
    let id = place(&server.url, &crate::server::order(Some("success"))).await.expect("an order");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    server.stop();
    let said = server.said();
    let started = said.iter().filter_map(|line| line.split_once("background task started task="));
    started.map(|(_, name)| name.trim_matches('"').to_owned()).collect()
}

async fn a_background_task_that_panics_ends_the_process(system: System) {
    let tasks = tasks(&system).await;
    for part in ["order-service/worker", "payment-worker/outbox", "fulfillment-worker/retry"] {
        assert!(tasks.contains(part), "{part} is not among {tasks:?}");
    }
    let mut accepted = Vec::new();
    for task in &tasks {
        // Writers are needed for the start; they are to panic when it is over.
        let at = format!("{task}:{}", if task.ends_with("-writer") { 20 } else { 1 });
        let said = match system.try_start(&["--demo=50"], &[("OFS_CRASH_AT", &at)]) {
            Ok(mut server) => {
                accepted.extend(place(&server.url, &crate::server::order(Some("success"))).await);
                let status = wait_for_end(&mut server, task).await;
                assert_eq!(status.code(), Some(1), "{task}: {status}");
                server.said().join("\n")
            }
            Err(said) => said,
        };
        let how = format!("error: the background task {task} has panicked");
        assert!(said.contains(&how), "{task}: {said}");
    }
    let server = system.start();
    for id in &accepted {
        until_status(&server.url, id, "FulfillmentScheduled").await;
    }
}

on_every_set! { a_background_task_that_panics_ends_the_process }
