//! `prune` and the operator's own triggers, which fire when rows are removed.

use crate::support::archive::archive_path;
use crate::support::cases::each;
use crate::support::history::{NOW_US, OLD_US, insert_old_sessions, insert_session, insert_whole_sessions, rows};
use crate::support::prune::prune;
use crate::support::{Database, Schema, apply, test};

/// A history with one old session, and a table into which the trigger function `note()` writes.
fn noted(options: &str) -> Database {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    database.execute(&format!(
        "CREATE TABLE notes (gone text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql {options} AS $$ BEGIN
             INSERT INTO notes VALUES (TG_TABLE_NAME); RETURN NULL; END $$"
    ));
    database
}

#[apply(test)]
fn a_trigger_without_a_search_path_is_named_before_anything_is_removed() {
    let database = noted("");
    each(
        [
            "TRIGGER noted AFTER DELETE ON alert_sessions FOR EACH ROW",
            "TRIGGER noted AFTER UPDATE OR DELETE ON llm_interactions FOR EACH STATEMENT",
            "CONSTRAINT TRIGGER noted AFTER DELETE ON stage_executions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
        ],
        |trigger| {
            database.execute(&format!("CREATE {trigger} EXECUTE FUNCTION note()"));
            let table = trigger.split(" ON ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a table");
            let words = format!(
                "the function `public.note()` of the trigger `noted` on `{table}` has no `search_path` of its own"
            );
            let planned = prune(&database, &["--dry-run"]).expect(0).json();
            assert_eq!(planned["in_the_way"], serde_json::json!([words]));
            let refused = prune(&database, &["--yes"]).expect(7);
            assert!(refused.stderr.contains(&words), "{}", refused.stderr);
            assert_eq!(database.count("alert_sessions"), 1);
            database.execute(&format!("DROP TRIGGER noted ON {table}"));
        },
    );
}

#[apply(test)]
fn the_statement_of_the_hint_lets_the_run_go_on() {
    let database = noted("");
    database.execute("CREATE TRIGGER noted AFTER DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION note()");
    let refused = prune(&database, &["--yes"]).expect(7).json();
    let hint = refused["error"]["hint"].as_str().expect("a hint");
    let (_, statement) = hint.split_once(": ").expect("a statement");
    assert_eq!(statement, r#"ALTER FUNCTION public.note() SET search_path = "public", pg_temp"#);
    database.execute(statement);
    prune(&database, &["--yes"]).expect(0);
    assert_eq!((database.count("alert_sessions"), database.count("notes")), (0, 1));
}

#[apply(test)]
fn triggers_that_do_not_fire_or_have_their_own_path_are_no_obstacle() {
    let database = noted("SET search_path = public");
    database.execute(
        "CREATE FUNCTION pathless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it fired'; END $$;
         CREATE TRIGGER noted AFTER DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER same BEFORE UPDATE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
         CREATE TRIGGER of_others BEFORE INSERT OR UPDATE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION pathless();
         CREATE TRIGGER disabled BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION pathless();
         CREATE TRIGGER of_replicas BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION pathless();
         ALTER TABLE alert_sessions DISABLE TRIGGER disabled, ENABLE REPLICA TRIGGER of_replicas",
    );
    prune(&database, &["--yes"]).expect(0);
    assert_eq!((database.count("alert_sessions"), database.count("notes")), (0, 1));
}

#[apply(test)]
fn what_a_foreign_key_of_the_operators_changes_has_triggers_as_well() {
    each(
        [
            ("ON DELETE CASCADE", "DELETE", 7),
            ("ON DELETE SET NULL", "UPDATE", 7),
            ("ON DELETE SET NULL", "UPDATE OF session_id", 7),
            ("ON DELETE SET NULL", "UPDATE OF id", 0),
            ("ON DELETE SET NULL", "DELETE", 0),
            ("ON DELETE NO ACTION", "DELETE", 0),
        ],
        |(action, event, expected)| {
            let database = noted("");
            database.execute(&format!(
            "CREATE TABLE marks (id int PRIMARY KEY, session_id varchar REFERENCES alert_sessions (session_id) {action});
             CREATE TRIGGER noted AFTER {event} ON marks FOR EACH ROW EXECUTE FUNCTION note()"
        ));
            prune(&database, &["--yes"]).expect(expected);
        },
    );
    let database = noted("");
    database.execute(
        "CREATE TABLE marks (id int PRIMARY KEY, session_id varchar REFERENCES alert_sessions (session_id) ON DELETE CASCADE);
         CREATE TABLE remarks (mark int REFERENCES marks (id) ON DELETE CASCADE);
         CREATE TRIGGER noted AFTER DELETE ON remarks FOR EACH ROW EXECUTE FUNCTION note()",
    );
    prune(&database, &["--yes"]).expect(7);
}

#[apply(test)]
fn a_trigger_on_events_matters_only_if_events_are_removed() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 1, NOW_US - 120 * 86_400_000_000);
    database.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER noted AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION note()",
    );
    prune(&database, &["--yes", "--events"]).expect(7);
    prune(&database, &["--yes"]).expect(0);
}

#[apply(test)]
fn rules_of_the_operators_keep_rows_or_note_them() {
    each(
        [
            ("DO ALSO INSERT INTO notes VALUES (OLD.session_id)", 0, 0, 1),
            ("DO INSTEAD NOTHING", 4, 1, 0),
            ("WHERE OLD.status = 'failed' DO INSTEAD NOTHING", 0, 0, 0),
        ],
        |(rule, expected, sessions, notes)| {
            let database = noted("");
            database.execute(&format!("CREATE RULE noted AS ON DELETE TO alert_sessions {rule}"));
            prune(&database, &["--yes"]).expect(expected);
            assert_eq!((database.count("alert_sessions"), database.count("notes")), (sessions, notes));
        },
    );
}

#[apply(test)]
fn functions_of_conditions_rules_and_expressions_need_a_path_as_well() {
    let marks = "CREATE TABLE marks (id int PRIMARY KEY, about text DEFAULT 'a',
                                     session_id varchar REFERENCES alert_sessions (session_id) ON DELETE SET NULL);";
    each(
        [
            (
                "CREATE TRIGGER noted AFTER DELETE ON alert_sessions FOR EACH ROW WHEN (known(OLD.session_id))
                 EXECUTE FUNCTION note()",
                "trigger `noted` on `alert_sessions`",
            ),
            (
                "CREATE RULE noted AS ON DELETE TO alert_sessions WHERE known(OLD.session_id) DO ALSO
                 INSERT INTO notes VALUES (OLD.session_id)",
                "rule `noted` on `alert_sessions`",
            ),
            ("ALTER TABLE marks ADD CONSTRAINT noted CHECK (known(about))", "constraint `noted` on `marks`"),
            ("CREATE INDEX noted ON marks (known(about))", "index `noted` on `marks`"),
            (
                "ALTER TABLE marks ADD noted bool GENERATED ALWAYS AS (known(about || coalesce(session_id, ''))) STORED",
                "column `noted` on `marks`",
            ),
        ],
        |(statement, caller)| {
            let database = noted("SET search_path = public");
            // The row comes last: from PostgreSQL 17 on CREATE INDEX calls functions with an empty path itself.
            database.execute(&format!(
                "INSERT INTO notes VALUES ('a'); {marks}
                 CREATE FUNCTION known(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                     RETURN EXISTS (SELECT FROM notes); END $$;
                 {statement};
                 INSERT INTO marks VALUES (1, 'a', 'old')"
            ));
            let refused = prune(&database, &["--yes"]).expect(7);
            let words = format!("the function `public.known(text)` of the {caller} has no `search_path` of its own");
            assert!(refused.stderr.contains(&words), "{}", refused.stderr);
            database.execute("ALTER FUNCTION known(text) SET search_path = public, pg_temp");
            prune(&database, &["--yes"]).expect(0);
        },
    );
}

#[apply(test)]
fn triggers_find_and_change_the_other_rows_of_a_session() {
    let audit = "INSERT INTO notes SELECT status FROM alert_sessions WHERE session_id = OLD.session_id";
    let mark = "UPDATE alert_sessions SET alert_type = TG_TABLE_NAME WHERE session_id = OLD.session_id";
    each(
        [
            ("AFTER DELETE ON stage_executions", audit),
            ("AFTER DELETE ON child", audit),
            ("BEFORE DELETE ON stage_executions", mark),
        ],
        |(fires, does)| {
            let database = noted("");
            // Three sessions go in one statement, without triggers.
            for number in ["2", "3"] {
                insert_session(&database, number, "completed", Some(OLD_US));
            }
            database.execute(&format!(
                "CREATE TABLE child () INHERITS (llm_interactions);
                 WITH moved AS (DELETE FROM ONLY llm_interactions RETURNING *) INSERT INTO child SELECT * FROM moved;
                 CREATE FUNCTION of_session() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
                     {does}; RETURN OLD; END $$;
                 CREATE TRIGGER of_session {fires} FOR EACH ROW EXECUTE FUNCTION of_session()"
            ));
            prune(&database, &["--yes"]).expect(0);
            let notes = if does == audit { vec![Some("completed".to_owned()); 3] } else { Vec::new() };
            assert_eq!(database.texts("SELECT gone FROM notes"), notes);
            assert_eq!((database.count("alert_sessions"), database.count("stage_executions")), (0, 0));
        },
    );
}

#[apply(test)]
fn a_session_stays_whole_if_a_trigger_keeps_one_of_its_rows(database: &Database) {
    let archive = Database::sqlite();
    insert_old_sessions(database, 5);
    let before = rows(database);
    let is_fourth = "OLD.session_id = '4'";
    database.execute(&match database.is_sqlite() {
        true => format!(
            "CREATE TRIGGER keep BEFORE DELETE ON LLM_interactions WHEN {is_fourth} BEGIN SELECT RAISE(IGNORE); END"
        ),
        false => format!(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER keep BEFORE DELETE ON llm_interactions FOR EACH ROW WHEN ({is_fourth}) EXECUTE FUNCTION keep()"
        ),
    });
    each([&[][..], &["--archive", &archive_path(&archive)]], |more| {
        let pruned = prune(database, &[&["--yes"], more].concat()).expect(4).json();
        let stuck = &pruned["stuck"][0];
        assert_eq!((&stuck["session_id"], &pruned["remaining_sessions"]), (&"4".into(), &1.into()));
        let reason = stuck["reason"].as_str().expect("a text");
        assert!(reason.contains("trigger") && reason.contains("llm_interactions"), "{reason}");
        let left = rows(database);
        assert!(left.len() == 4 && left.iter().all(|(key, values)| before.get(key) == Some(values)), "{left:?}");
    });
}

#[apply(test)]
fn a_publication_that_needs_a_replica_identity_is_named_with_what_to_do() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    database.execute(
        "ALTER TABLE alert_sessions REPLICA IDENTITY NOTHING; CREATE PUBLICATION changes FOR TABLE alert_sessions",
    );
    let planned = prune(&database, &["--dry-run"]).expect(0).json();
    let obstacle = planned["in_the_way"][0].as_str().expect("an obstacle");
    assert!(obstacle.starts_with("the server refuses deletes of `public.alert_sessions`"), "{obstacle}");
    assert!(obstacle.ends_with("`ALTER TABLE public.alert_sessions REPLICA IDENTITY DEFAULT`"), "{obstacle}");
    assert_eq!(planned["run_exit_code"], 4);
    let refused = prune(&database, &["--yes"]).expect(4);
    refused.tells(&["does not have a replica identity and publishes", "ALTER TABLE ... REPLICA IDENTITY DEFAULT"]);
    database.execute("ALTER TABLE alert_sessions REPLICA IDENTITY DEFAULT");
    prune(&database, &["--yes"]).expect(0);
}
