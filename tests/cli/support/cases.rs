//! One test over many cases.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::harness::{is_left_out, message};
use super::process::PATIENCE;

/// Runs each case, and fails with a list of those that failed.
#[track_caller]
pub(crate) fn each<T: Debug>(cases: impl IntoIterator<Item = T>, test: impl FnMut(T)) {
    let failed = failures(cases, test);
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

/// The cases that fail, with the reason. After several timeouts the other cases are not run.
pub(crate) fn failures<T: Debug>(cases: impl IntoIterator<Item = T>, mut test: impl FnMut(T)) -> Vec<String> {
    let mut failed = Vec::new();
    let started = Instant::now();
    for case in cases {
        let name = shortened(&format!("{case:?}"));
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| test(case))) else { continue };
        if is_left_out(&*payload) {
            resume_unwind(payload);
        }
        failed.push(format!("case {name}: {}", message(&*payload)));
        if started.elapsed() > PATIENCE {
            break;
        }
    }
    failed
}

fn shortened(name: &str) -> String {
    const LENGTH: usize = 200;
    let short: String = name.chars().take(LENGTH).collect();
    if short.len() < name.len() { short + "..." } else { short }
}
