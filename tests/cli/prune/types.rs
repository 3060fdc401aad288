//! `prune` and `info` where the operator has given columns types of an extension, which the driver does not know.

use crate::support::cases::each;
use crate::support::history::{OLD_US, insert_whole_sessions, session_ids};
use crate::support::prune::prune;
use crate::support::{Database, Schema, apply, run_at, test};

#[apply(test)]
fn columns_may_have_types_of_an_extension() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 3, OLD_US);
    database.execute("UPDATE alert_sessions SET status = 'in_progress' WHERE session_id = 's3'");
    let keys = database.texts(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
         WHERE contype = 'f' AND connamespace = 'public'::regnamespace",
    );
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    database.execute(&keys.join("; "));
    database.execute("CREATE EXTENSION citext");
    each(
        [
            ("alembic_version", "version_num"),
            ("alert_sessions", "status"),
            ("alert_sessions", "session_id"),
            ("stage_executions", "session_id"),
            ("stage_executions", "execution_id"),
            ("chats", "session_id"),
        ],
        |(table, column)| {
            database.execute(&format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE citext"));
        },
    );
    run_at(database.url(), &["info"]).expect(0);
    prune(&database, &["--dry-run", "--orphans"]).expect(0);
    database.execute("DELETE FROM alert_sessions WHERE session_id = 's1'");
    prune(&database, &["--yes", "--orphans"]).expect(0);
    assert_eq!((session_ids(&database), database.count("stage_executions")), (vec!["s3".to_owned()], 2));
}

#[apply(test)]
fn columns_of_other_types_end_with_4_and_the_advice_to_check() {
    let changes = [
        "ALTER TABLE alert_sessions ALTER started_at_us TYPE numeric",
        "ALTER TABLE alert_sessions ALTER started_at_us TYPE text",
        "ALTER TABLE alert_sessions ALTER started_at_us TYPE double precision",
        "CREATE TYPE mine AS ENUM ('completed'); ALTER TABLE alert_sessions ALTER status TYPE mine USING status::text::mine",
    ];
    each(changes, |change| {
        let database = Database::postgresql().with_schema(Schema::Head);
        insert_whole_sessions(&database, 1, OLD_US);
        database.execute(change);
        let hint = "hint: `tarsy-db check` names the differences between the tables and their revision";
        for arguments in [&["--dry-run"][..], &["--yes"]] {
            prune(&database, &[arguments, &["--archive", "archive.db"]].concat()).expect(4).tells(&[hint]);
        }
        let info = run_at(database.url(), &["info"]).expect(4);
        info.tells(&[hint]);
        assert!(info.stdout.contains("alert_sessions"), "{}", info.stdout);
        assert_eq!(session_ids(&database).len(), 1);
    });
}
