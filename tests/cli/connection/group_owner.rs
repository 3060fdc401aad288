//! A role that works as another role than it logs in as (`ALTER ROLE ... SET role = ...`), so that a group owns the
//! tables.

use std::time::Duration;

use crate::support::activity::{LOCK_OF_THE_SCHEMA, wait_for_lock, wait_for_no_session_of_the_tool};
use crate::support::history::full_history;
use crate::support::migration::arguments_to;
use crate::support::process::Held;
use crate::support::proxy::{COMMIT, Moment, Proxy, Silence};
use crate::support::{Database, Role, Running, apply, test};

/// With the shortest timeouts the server is asked several times in this time.
const LONG: Duration = Duration::from_secs(8);

/// Runs `init` as a member of a group that owns the schema.
fn with_group(database: &Database, look: impl FnOnce(&str)) {
    let member = Role::new(database);
    let group = format!("{}_group", database.name());
    database.execute(&format!(
        "CREATE ROLE {group}; GRANT {group} TO {member}; ALTER ROLE {member} SET role = '{group}';
         GRANT CREATE, USAGE ON SCHEMA public TO {group}",
        member = member.name
    ));
    look(&format!("{}?connect_timeout=1", member.url()));
    database.execute(&format!("DROP OWNED BY {group}; DROP ROLE {group}"));
}

#[apply(test)]
fn long_work_of_a_member_is_waited_for() {
    let database = Database::postgresql();
    with_group(&database, |url| {
        // Not a lock, for which there is a limit.
        database.execute(&format!(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF set_config('test.slept', coalesce(current_setting('test.slept', true), '') || '.', true) = '.' THEN
                     PERFORM pg_sleep({});
                 END IF; END $$;
             CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION slow()",
            LONG.as_secs()
        ));
        let outcome = Running::start_at(url, database.directory(), &["init"]).finish();
        database.execute("DROP EVENT TRIGGER slow");
        outcome.expect(0);
    });
}

#[apply(test)]
fn work_of_a_member_ends_with_the_command() {
    let database = Database::postgresql();
    with_group(&database, |url| {
        let held = Held::begin(&database, LOCK_OF_THE_SCHEMA);
        let run = Running::start_at(url, database.directory(), &["init", "--lock-timeout", "1h"]);
        wait_for_lock(&database);
        run.signal("TERM");
        let outcome = run.finish().expect(143);
        assert!(outcome.stderr.contains("uncommitted changes were rolled back"), "{}", outcome.stderr);
        wait_for_no_session_of_the_tool(&database);
        held.close();
    });
}

#[apply(test)]
fn the_session_of_a_member_whose_commit_was_not_answered_is_ended() {
    let (source, target) = (full_history(), Database::postgresql());
    let proxy = Proxy::to(target.port());
    proxy.halt_at(Moment::After(COMMIT), Silence::Connection);
    with_group(&target, |url| {
        let url = url.replace(&format!(":{}/", target.port()), &format!(":{}/", proxy.port));
        let mut run = Running::start(&source, &arguments_to(&url));
        assert!(proxy.has_halted(&mut run), "{}", run.stderr());
        let outcome = run.finish().expect(69);
        assert!(outcome.stderr.contains("cannot determine whether the commit took place"), "{}", outcome.stderr);
        wait_for_no_session_of_the_tool(&target);
        proxy.cut();
        assert_eq!(target.count("alert_sessions"), 100);
    });
}
