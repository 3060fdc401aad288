//! `migrate-sqlite-to-postgres`: after any failure the target is unchanged.

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::history::{NOW_US, TABLES, insert_many};
use crate::support::migration::{arguments, migrate, source_and_target};
use crate::support::process::{Held, wait_until};
use crate::support::server::Server;
use crate::support::small_disk::SmallDisk;
use crate::support::{Database, Outcome, Running, Schema, apply, test};

fn assert_empty(target: &Database) {
    for table in TABLES {
        assert_eq!(target.count(table), 0, "{table}");
    }
}

fn wait_for_halted_copy(target: &Database) {
    let halted = "SELECT count(*) FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid)
                  WHERE p.datname = current_database() AND a.wait_event_type = 'Lock' AND p.tuples_processed > 100";
    wait_until("COPY has come to the middle", || target.number(halted) == 1);
}

/// 400 sessions with 8 MB: more than the sockets between both ends hold.
fn large_source_and_target() -> (Database, Database) {
    let (source, target) = source_and_target();
    insert_many(&source, 400, 20_000, NOW_US);
    (source, target.with_schema(Schema::Baseline))
}

#[apply(test)]
fn killed_in_the_middle_of_copy_leaves_nothing_and_the_next_run_succeeds() {
    let (source, target) = large_source_and_target();
    let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'l-200'");
    let run = Running::start(&source, &arguments(&target));
    wait_for_halted_copy(&target);
    run.signal("KILL");
    assert_eq!(run.finish().code, None);
    halt.close();
    wait_for_no_session_of_the_tool(&target);
    assert_empty(&target);
    target.execute("DROP FUNCTION halt CASCADE");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.count("llm_interactions"), 400);
}

#[apply(test)]
fn killed_after_copy_and_before_commit_leaves_nothing() {
    let (source, target) = large_source_and_target();
    let indexes = "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    let before = target.texts(indexes);
    let run = Running::start(&source, &[&["-v"], arguments(&target).as_slice()].concat());
    // 8 MB are compared next.
    wait_until("the comparison begins", || run.stderr().contains("comparing stage_executions"));
    run.signal("KILL");
    assert_eq!(run.finish().code, None);
    wait_for_no_session_of_the_tool(&target);
    assert_empty(&target);
    assert_eq!(before, target.texts(indexes));
}

#[apply(test)]
fn a_session_that_is_ended_in_the_middle_of_copy_is_told_why() {
    let (source, target) = large_source_and_target();
    let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'l-200'");
    let run = Running::start(&source, &arguments(&target));
    wait_for_halted_copy(&target);
    target.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy WHERE datname = current_database()");
    run.finish().expect(69).tells(&["terminating connection due to administrator command"]);
    halt.close();
    assert_empty(&target);
}

#[apply(test)]
fn terminated_in_the_middle_of_copy_rolls_back() {
    let (source, target) = large_source_and_target();
    let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'l-200'");
    let run = Running::start(&source, &arguments(&target));
    wait_for_halted_copy(&target);
    run.signal("TERM");
    let outcome = run.finish().expect(143);
    assert_eq!(outcome.json()["error"]["exit_code"], 143);
    halt.close();
    wait_for_no_session_of_the_tool(&target);
    assert_empty(&target);
}

#[apply(test)]
fn terminated_while_a_table_is_read_ends_before_the_table_does() {
    let (source, target) = source_and_target();
    insert_many(&source, 3000, 20_000, NOW_US);
    let run = Running::start(&source, &[&["-v"], arguments(&target).as_slice()].concat());
    // Each table is logged when it has been read, the one before the large one first.
    wait_until("the large table is being read", || run.stderr().contains("copying stage_executions"));
    run.signal("TERM");
    let stopped = run.finish().expect(143);
    assert!(!stopped.stderr.contains("copying llm_interactions"), "{}", stopped.stderr);
}

#[apply(test)]
fn a_server_that_crashes_in_the_middle_of_copy_is_unavailable_and_empty_afterwards() {
    let server = Server::start(&[]);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    insert_many(&source, 400, 20_000, NOW_US);
    let target = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    let halt = Held::halt_inserts(&target, "llm_interactions", "NEW.interaction_id = 'l-200'");
    let run = Running::start(&source, &arguments(&target));
    wait_for_halted_copy(&target);
    server.stop("immediate");
    drop(halt);
    let outcome = run.finish().expect(69);
    assert_eq!(outcome.json()["error"]["exit_code"], 69);
    server.run();
    assert_empty(&target);
}

#[apply(test)]
fn a_disk_that_fills_up_is_told_and_rolled_back() {
    let disk = SmallDisk::mount(24);
    let server = Server::start(&[]);
    let target = Database::on(&server.url("postgres"));
    let (_, name) = target.url().rsplit_once('/').expect("the URL names a database");
    let other = Database::on(&server.url("postgres"));
    other.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.directory_of_the_server().display()));
    other.execute(&format!("ALTER DATABASE {name} SET TABLESPACE small"));
    let target = target.with_schema(Schema::Baseline);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    source.execute(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id, final_analysis)
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500)
         SELECT n, n, 'kubernetes', 'completed', 'chain', hex(randomblob(15000)) FROM n",
    );
    let outcome = Outcome::of(&mut migrate(&source, &target)).expect(74);
    assert_eq!(outcome.json()["error"]["exit_code"], 74);
    assert_empty(&target);
}
