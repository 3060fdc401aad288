//! Where the expected schema is replayed, a role needs TEMPORARY. Every command gives the GRANT.

use crate::support::cases::each;
use crate::support::check::is_found;
use crate::support::migration::migrate_to;
use crate::support::role::give_tables_to;
use crate::support::{Database, Outcome, Role, Schema, apply, run_at, test};

#[apply(test)]
fn a_missing_temporary_is_named_with_the_grant_by_every_command() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    let role = Role::new(&database);
    database.execute(&format!("GRANT CREATE ON SCHEMA public TO {}", role.name));
    give_tables_to(&database, &role.name);
    database.execute(&format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", database.name()));
    let grant = format!("GRANT TEMPORARY ON DATABASE {} TO {}", database.name(), role.name);
    let [upgrade, script, adopt] = [&["init", "--to", "head"][..], &["init", "--to", "4", "--sql"], &["init"]];
    each([upgrade, script, adopt], |arguments| {
        if arguments == adopt {
            database.execute("DELETE FROM alembic_version");
        }
        let refused = run_at(&role.url(), arguments).expect(77);
        for words in [&grant, "cannot be used by role", "permission denied, needs TEMPORARY"] {
            assert!(refused.stderr.contains(words), "no `{words}` in {}", refused.stderr);
        }
    });
    database.execute("INSERT INTO alembic_version VALUES ('ae85467a75d2'); DROP INDEX ix_alert_sessions_status");
    is_found(&run_at(&role.url(), &["check", "--output", "json"]).expect(4), "schema", "failed", &grant);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let refused = Outcome::of(&mut migrate_to(&source, &role.url())).expect(77);
    assert!((refused.stdout + &refused.stderr).contains(&grant));

    database.execute(&grant);
    database.execute("CREATE INDEX ix_alert_sessions_status ON alert_sessions (status)");
    run_at(&role.url(), &["init", "--to", "head"]).expect(0);
}
