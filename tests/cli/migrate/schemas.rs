//! `migrate-sqlite-to-postgres`: where TARSy's tables are, and that nothing which another role planted runs.

use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_whole_sessions};
use crate::support::migration::{compare, compare_at, migrate, migrate_to, one_session_and_nothing};
use crate::support::obstacle::{is_listed, migrate_as};
use crate::support::{Database, Outcome, Role, Schema, apply, test};

/// A source at the newest revision with all kinds of rows.
fn source() -> Database {
    let source = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&source, 1, NOW_US);
    source
}

/// Makes new sessions look for tables in other schemas.
fn look_in(target: &Database, path: &str) {
    target.execute(&format!("ALTER DATABASE {} SET search_path = {path}", target.name()));
}

#[apply(test)]
fn tables_in_any_schema_are_filled_compared_and_appended_to() {
    each(["history", "\"My \"\"own\"\" schema\""], |schema| {
        let (source, target) = (source(), Database::postgresql());
        target.execute(&format!("CREATE SCHEMA {schema}"));
        look_in(&target, schema);
        assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
        compare(&source, &target).expect(0);
        assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
        target.execute(&format!("DELETE FROM {schema}.mcp_communications"));
        compare(&source, &target).expect(8);
        Outcome::of(migrate(&source, &target).args(["--append", "--dry-run"])).expect(0);
        Outcome::of(migrate(&source, &target).arg("--append")).expect(0);
        assert_eq!(target.number(&format!("SELECT count(*) FROM {schema}.mcp_communications")), 1);
        compare(&source, &target).expect(0);
        let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
        assert!(refused.stderr.contains("alert_sessions holds"), "without the schema: {}", refused.stderr);
    });
}

#[apply(test)]
fn a_role_with_a_schema_of_its_own_writes_to_the_tables_of_the_other() {
    let (source, target) = (source(), Database::postgresql());
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    target.execute("TRUNCATE alert_sessions, events CASCADE");
    let role = Role::new(&target);
    target.execute(&format!(
        "CREATE SCHEMA AUTHORIZATION {name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {name};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}",
        name = role.name
    ));
    Outcome::of(migrate_to(&source, &role.url()).args(["--append", "--verify", "full"])).expect(77);
    crate::support::role::give_tables_to(&target, &role.name);
    target.execute(&format!("GRANT CREATE ON SCHEMA public TO {}", role.name));
    migrate_as(&source, &role).expect(0);
    compare_at(&source, &role.url()).expect(0);
    assert_eq!(target.number(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", role.name)), 0);
}

/// What a role with CREATE on `public` plants: better matches for functions and operators of PostgreSQL's own. Each
/// writes down that it ran.
const PLANTED: &str = "
    CREATE TABLE ran (what text);
    CREATE FUNCTION setval(text, bigint, boolean) RETURNS int8 LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ran VALUES ('setval'); RETURN 1; END $$;
    CREATE FUNCTION format(text, name, name) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ran VALUES ('format'); RETURN 'SELECT 1'; END $$;
    CREATE FUNCTION upper(name) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ran VALUES ('upper'); RETURN 'BTREE'; END $$;
    CREATE FUNCTION concat_ws(text, text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ran VALUES ('concat'); RETURN ''; END $$;
    CREATE FUNCTION planted_equal(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ran VALUES ('varchar ='); RETURN $1::text OPERATOR(pg_catalog.=) $2::text; END $$;
    CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = planted_equal);";

#[apply(test)]
fn nothing_that_another_role_planted_runs() {
    let (source, target) = (source(), Database::postgresql().with_schema(Schema::Head));
    let role = Role::new(&target);
    target.execute(&format!(
        "GRANT CREATE ON SCHEMA public TO {name}; SET ROLE {name}; {PLANTED} RESET ROLE",
        name = role.name
    ));
    let ran = || target.texts("SELECT DISTINCT what FROM ran ORDER BY 1");
    target.execute("DELETE FROM ran");
    for (flags, code) in [
        (&["--dry-run"][..], 0),
        (&[], 0),
        (&["--verify-only"], 0),
        (&["--append"], 0),
        (&["--append", "--dry-run"], 0),
        (&[], 7),
    ] {
        let run = Outcome::of(migrate(&source, &target).args(flags)).expect(code);
        assert_eq!(ran(), [], "{flags:?}: {}", run.stderr);
    }
    target.execute("TRUNCATE alert_sessions, events CASCADE");
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
    assert_eq!(ran(), []);
    target.execute("DROP TABLE ran CASCADE");
}

/// The definitions of indexes, constraints and comments of the tables.
const DEFINITIONS: &str = "
    SELECT pg_get_indexdef(indexrelid) || ' ' || coalesce(obj_description(indexrelid, 'pg_class'), '')
    FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'))
    FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE c.relnamespace = 'public'::regnamespace
    ORDER BY 1";

#[apply(test)]
fn what_the_operator_added_in_public_comes_back_unchanged() {
    let (source, target) = (source(), Database::postgresql().with_schema(Schema::Head));
    target.execute(
        "CREATE FUNCTION shortened(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 5)';
         CREATE FUNCTION nested(text) RETURNS text IMMUTABLE LANGUAGE plpgsql SET search_path = public
             AS 'BEGIN RETURN shortened($1); END';
         CREATE DOMAIN word AS text;
         CREATE COLLATION ours (provider = libc, locale = 'C');
         CREATE OPERATOR CLASS reversed FOR TYPE text USING btree AS
             OPERATOR 1 pg_catalog.>(text, text), OPERATOR 2 pg_catalog.>=(text, text), OPERATOR 3 pg_catalog.=(text, text),
             OPERATOR 4 pg_catalog.<=(text, text), OPERATOR 5 pg_catalog.<(text, text), FUNCTION 1 bttextcmp(text, text);
         CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
         CREATE INDEX by_operator ON alert_sessions (agent_type) WHERE status::text === 'failed';
         CREATE INDEX by_function ON alert_sessions (nested(status)) WHERE shortened(status) IS NOT NULL;
         CREATE INDEX by_type ON alert_sessions ((status::word));
         CREATE INDEX by_collation ON alert_sessions (status COLLATE ours);
         CREATE INDEX by_class ON alert_sessions (status reversed);
         COMMENT ON INDEX by_class IS 'the ''operator''s';
         CREATE TABLE notes (session varchar CONSTRAINT of_session REFERENCES alert_sessions);
         COMMENT ON CONSTRAINT of_session ON notes IS 'ours';
         ALTER TABLE alert_sessions ADD CONSTRAINT a_word CHECK (nested(status)::word <> '')",
    );
    let before = target.texts(DEFINITIONS);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.texts(DEFINITIONS), before);
}

#[apply(test)]
fn an_index_whose_function_needs_public_is_named_before_and_when_it_fails() {
    let (source, target) = (source(), Database::postgresql().with_schema(Schema::Head));
    target.execute(
        "CREATE FUNCTION shortened(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 5)';
         CREATE FUNCTION nested(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN shortened($1); END';
         CREATE INDEX ours ON alert_sessions (nested(status))",
    );
    let failed = Outcome::of(&mut migrate(&source, &target)).expect(1);
    for words in [
        "function nested is called for index `ours` and has no search_path of its own",
        "ALTER FUNCTION nested SET search_path = ...",
        "cannot recreate index `ours`",
        "function shortened(text) does not exist",
    ] {
        assert!(failed.stderr.contains(words), "no `{words}` in {}", failed.stderr);
    }
    assert_eq!(target.count("alert_sessions"), 0);
    target.execute("ALTER FUNCTION nested SET search_path = public");
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
}

#[apply(test)]
fn a_trigger_whose_function_has_no_path_of_its_own_is_refused() {
    let (source, target) = one_session_and_nothing();
    let target = target.with_schema(Schema::Baseline);
    target.execute(
        "CREATE TABLE log (what text);
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (NEW.status); RETURN NEW; END';
         CREATE TRIGGER noted AFTER INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION noted()",
    );
    for flags in [&[][..], &["--append"], &["--dry-run"]] {
        let refused = Outcome::of(migrate(&source, &target).args(flags)).expect(7);
        let words = [
            "the trigger `noted`, whose function noted() has no search_path",
            "ALTER FUNCTION noted() SET search_path",
        ];
        is_listed(&refused, "trigger", "alert_sessions", &words);
    }
    target.execute("ALTER FUNCTION noted() SET search_path = public");
    Outcome::of(&mut migrate(&source, &target)).expect(0).tells(&["also fires for these old rows"]);
    assert_eq!(target.count("log"), 1);
}
