//! What a server answers, or does not answer, is told in words, and with a hint, that fit.

use std::io::{Read, Write};

use super::aborts::{message, server_of, server_that_sends};
use crate::support::{Outcome, apply, bare_tarsy_db, test, test_directory};

fn run(url: &str, arguments: &[&str]) -> Outcome {
    let directory = test_directory();
    Outcome::of(bare_tarsy_db(directory.path()).env("DATABASE_URL", url).args(arguments))
}

const OTHER_PROGRAM: &str = "does something other than PostgreSQL answer at this host and port?";

#[apply(test)]
fn what_breaks_the_protocol_is_told_without_the_places_in_the_driver() {
    let http = server_of(|mut client| {
        let _ = client.read_exact(&mut [0; 8]);
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    for url in [http, server_that_sends(&message(b'?', b""))] {
        let told = run(&url, &["info"]).expect(69).stderr;
        assert!(told.contains(OTHER_PROGRAM), "{told}");
        assert!(!told.contains("sqlx"), "{told}");
    }
}
