//! `init` in databases that cannot hold every text.

use crate::support::check::{check, is_found};
use crate::support::revision::{init, ledger};
use crate::support::server::shared;
use crate::support::{Database, Schema, apply, baseline, test};

/// An empty database with this encoding.
fn database_in(encoding: &str) -> Database {
    let database = Database::postgresql();
    let name = database.name().to_owned();
    let admin = Database::on(shared());
    // The URL has created the database, with the encoding of the cluster.
    database.url();
    admin.execute(&format!("DROP DATABASE {name}"));
    admin.execute(&format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0"));
    database
}

#[apply(test)]
fn no_schema_is_created_where_not_every_text_can_be_stored() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = database_in(encoding);
        for arguments in [&[][..], &["--dry-run"], &["--sql"], &["--to", "head"]] {
            let refused = init(&database, arguments).expect(78);
            for words in [
                "cannot create the schema",
                &format!("{encoding} cannot hold every text"),
                "ENCODING 'UTF8' TEMPLATE template0",
            ] {
                assert!(refused.stderr.contains(words), "{arguments:?}: no `{words}` in {}", refused.stderr);
            }
        }
        assert_eq!(baseline::listing(&database), "");
    }
}

#[apply(test)]
fn a_history_that_is_already_there_is_warned_of() {
    let database = database_in("LATIN1");
    let statements = init(&Database::postgresql(), &["--sql"]).expect(0);
    database.execute(&statements.stdout);
    for arguments in [&[][..], &["--to", "head", "--dry-run"], &["--to", "head"]] {
        let done = init(&database, arguments).expect(0);
        assert!(done.stderr.contains("LATIN1 cannot hold every text"), "{arguments:?}: {}", done.stderr);
    }
    assert_eq!(ledger(&database), [Some("b67c135119d7".to_owned())]);
    is_found(&check(&database, &[]).expect(4), "encoding", "failed", "LATIN1 cannot hold every text");
    let sound = Database::postgresql().with_schema(Schema::Baseline);
    assert!(!init(&sound, &[]).expect(0).stderr.contains("cannot hold"));
}
