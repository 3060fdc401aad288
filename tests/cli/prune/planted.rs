//! Operators and functions that another role planted in `public`, where PostgreSQL prefers them to its own for TARSy's
//! types: none runs. And texts that a role's own setting would read differently.

use crate::support::cases::each;
use crate::support::history::{NOW_US, OLD_US, insert_session, insert_whole_sessions};
use crate::support::prune::prune;
use crate::support::{Database, Schema, apply, test};

/// What fits the types of TARSy's columns better than PostgreSQL's own, or as well.
const PLANTED: &str = r"
    CREATE TABLE ran (what text);
    CREATE FUNCTION ran(what text) RETURNS void LANGUAGE sql SET search_path = public AS $$ INSERT INTO ran VALUES (what) $$;
    DO $plant$
    DECLARE operand text; other text; operator text;
    BEGIN
        FOREACH operand IN ARRAY ARRAY['varchar', 'text', 'int8', 'timestamp'] LOOP
            FOREACH other IN ARRAY ARRAY['varchar', 'text', 'int8', 'int4', 'timestamp'] LOOP
                FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>='] LOOP
                    EXECUTE format('CREATE FUNCTION %I(%s, %s) RETURNS bool LANGUAGE plpgsql
                                    AS $f$ BEGIN PERFORM public.ran(%L); RETURN false; END $f$',
                                   format('op%s', operator), operand, other, format('%s %s %s', operand, operator, other));
                    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %I)',
                                   operator, operand, other, format('op%s', operator));
                END LOOP;
            END LOOP;
        END LOOP;
    END $plant$;
    CREATE FUNCTION pg_column_size(varchar) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM public.ran('size'); RETURN 1; END $$;
    CREATE FUNCTION pg_column_size(int8) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM public.ran('size'); RETURN 1; END $$;
    CREATE FUNCTION noted(numeric, int8) RETURNS numeric LANGUAGE plpgsql
        AS $$ BEGIN PERFORM public.ran('aggregate'); RETURN 1; END $$;
    CREATE FUNCTION noted(numeric, int4) RETURNS numeric LANGUAGE plpgsql
        AS $$ BEGIN PERFORM public.ran('aggregate'); RETURN 1; END $$;
    CREATE AGGREGATE sum(int8) (SFUNC = noted, STYPE = numeric);
    CREATE AGGREGATE sum(int4) (SFUNC = noted, STYPE = numeric);
    CREATE AGGREGATE count(int4) (SFUNC = noted, STYPE = numeric);
";

#[apply(test)]
fn no_planted_operator_or_function_runs() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 3, OLD_US);
    database.execute(
        "INSERT INTO events (channel, payload, created_at) VALUES ('c', '{}', timestamp '2020-01-01 00:00:00');
         ALTER TABLE chats DROP CONSTRAINT IF EXISTS chats_session_id_fkey",
    );
    database.execute_unguarded("DELETE FROM alert_sessions WHERE session_id = 's2'");
    database.execute(PLANTED);
    each([&["--dry-run", "--orphans", "--events"][..], &["--yes", "--orphans", "--events"][..]], |arguments| {
        prune(&database, arguments).expect(0);
    });
    for table in ["alert_sessions", "events", "llm_interactions", "stage_executions", "chat_user_messages"] {
        assert_eq!(database.count(table), 0, "{table}");
    }
    assert_eq!(database.texts("SELECT DISTINCT what FROM public.ran"), []);
}

#[apply(test)]
fn texts_are_what_the_operator_gave_whatever_the_role_has_set() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    for (id, status) in [("odd", "it''s \\ odd"), ("other", "its odd"), ("s''\\", "it''s \\ odd")] {
        insert_session(&database, id, status, Some(OLD_US));
    }
    let setting = "standard_conforming_strings = off";
    database.execute(&format!("ALTER DATABASE \"{}\" SET {setting}", database.name()));
    let found = prune(&database, &["--include-active", "--status", "it's \\ odd", "--yes"]).expect(0).json();
    assert_eq!(found["removed"]["sessions"], 2);
    assert_eq!(database.texts("SELECT session_id FROM alert_sessions"), [Some("other".to_owned())]);
}

#[apply(test)]
fn ids_with_quotes_and_backslashes_are_ids(database: &Database) {
    database.create_schema(Schema::Baseline);
    for id in ["it''s", "\\''; DROP TABLE alert_sessions; --", "a\\\\b", "\"quoted\"", "{\"a\":1}", "$1", "?"] {
        insert_session(database, id, "completed", Some(OLD_US));
    }
    // One is kept, because it is in use.
    insert_session(database, "us''ed", "completed", Some(OLD_US));
    database.execute(&format!(
        "UPDATE stage_executions SET status = 'active', started_at_us = {NOW_US} WHERE session_id = 'us''ed'"
    ));
    let found = prune(database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!(found["removed"]["sessions"], 7);
    assert_eq!(database.texts("SELECT session_id FROM alert_sessions"), [Some("us'ed".to_owned())]);
}
