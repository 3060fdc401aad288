//! A role that may create objects in a schema of the search path plants functions and operators there that PostgreSQL
//! would prefer to its own. No command of a superuser runs one, and every command gives the same results as without.

use crate::support::history::{NOW, OLD_US, full_history, insert_session};
use crate::support::redaction::Redaction;
use crate::support::server::Server;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, test};

/// Better matches for what the catalog has.
const PLANT: &str = include_str!("../support/plant.sql");

const PRUNE: [&str; 8] = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%", "--orphans"];

/// Two databases of one server, one of them with planted objects.
struct Field {
    planted: Database,
    plain: Database,
    server: Server,
    /// The schema of TARSy's tables.
    schema: &'static str,
}

impl Field {
    /// TARSy's tables belong into the first schema of the path; the objects are planted in one of its schemas.
    fn new(path: &'static [&'static str], planted_in: &str) -> Self {
        let server = Server::start(&[]);
        let [planted, plain] = [(); 2].map(|()| Database::on(&server.url("postgres")));
        for database in [&planted, &plain] {
            for schema in path {
                database.execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
            }
        }
        planted.execute(&format!("SET search_path = {planted_in}; {PLANT}"));
        plain.execute(&format!("ALTER ROLE CURRENT_USER SET search_path = {}", path.join(", ")));
        Self { planted, plain, server, schema: path[0] }
    }

    /// Runs statements in both databases, without the planted objects.
    fn execute(&self, sql: &str) {
        for database in [&self.planted, &self.plain] {
            database.execute(&format!("SET search_path = ''; {}", sql.replace("{schema}", self.schema)));
        }
    }

    /// Runs a command on both databases: it ends with this code and gives the same output, and nothing planted runs.
    #[track_caller]
    fn runs(&self, arguments: &[&str], code: i32) -> String {
        let before = self.server.log().len();
        let [planted, plain] = [&self.planted, &self.plain].map(|database| {
            let url = database.url();
            let mut command = bare_tarsy_db(database.directory());
            command.env("DATABASE_URL", url).args(arguments.iter().map(|word| word.replace("{url}", url)));
            let Outcome { stdout, stderr, .. } = Outcome::of(&mut command).expect(code);
            let redaction = Redaction::default().text(database.name(), "tarsy_test");
            let redaction = redaction.text(&database.directory().display().to_string(), "<directory>");
            // The catalog is larger with the planted objects.
            let same = redaction.apply(&(stdout + &stderr));
            same.lines().filter(|line| !line.starts_with("│ size ")).collect::<Vec<_>>().join("\n")
        });
        let log = self.server.log();
        let ran: Vec<_> = log[before..].lines().filter(|line| line.contains("PLANTED")).take(10).collect();
        assert!(ran.is_empty(), "{arguments:?} ran {ran:#?}");
        assert_eq!(planted, plain, "{arguments:?}");
        planted
    }

    /// The whole life of a history, from an empty database.
    fn lives(&self) {
        self.runs(&["wait", "--for", "schema", "--max-attempts", "1"], 3);
        self.runs(&["check"], 3);
        self.runs(&["init"], 0);
        let first = Database::sqlite().with_schema(Schema::Baseline);
        for number in 1..=5 {
            insert_session(&first, &format!("first-{number}"), "completed", Some(OLD_US));
        }
        let first = first.file().display().to_string();
        let migrate = ["migrate-sqlite-to-postgres", "--to", "{url}", "--from"];
        self.runs(&[&migrate[..], &[&first, "--dry-run"]].concat(), 0);
        self.runs(&[&migrate[..], &[&first]].concat(), 0);
        self.runs(&[&migrate[..], &[&first]].concat(), 7);
        self.runs(&[&migrate[..], &[&first, "--verify-only"]].concat(), 0);

        self.runs(&["init", "--to", "head", "--dry-run"], 0);
        let script = self.runs(&["init", "--to", "head", "--sql"], 0);
        assert!(script.contains("search_path"), "{script}");
        self.runs(&["init", "--to", "head"], 0);
        self.runs(&["init", "--to", "head"], 0);
        self.planted.execute("CREATE ROLE backend LOGIN");
        let for_role = ["init", "--to", "head", "--app-role", "backend"];
        self.runs(&[&for_role[..], &["--dry-run"]].concat(), 0);
        self.runs(&[&for_role[..], &["--sql"]].concat(), 0);
        self.runs(&for_role, 0);
        self.runs(&["check", "--as-role", "backend"], 0);
        for condition in ["connect", "writable", "schema"] {
            self.runs(&["wait", "--for", condition], 0);
        }
        let second = full_history();
        let second = second.file().display().to_string();
        self.runs(&[&migrate[..], &[&second, "--append", "--dry-run"]].concat(), 0);
        self.runs(&[&migrate[..], &[&second, "--append"]].concat(), 0);

        self.execute(
            "DROP INDEX {schema}.ix_alert_sessions_status;
             ALTER SEQUENCE {schema}.events_id_seq RESTART WITH 1;
             SET session_replication_role = replica;
             DELETE FROM {schema}.stage_executions WHERE execution_id OPERATOR(pg_catalog.=) 'e-7'::pg_catalog.text;
             RESET session_replication_role",
        );
        for arguments in [&["info"][..], &["info", "--exact"]] {
            self.runs(arguments, 0);
        }
        self.runs(&["check"], 4);
        let fixed = self.runs(&["check", "--deep", "--fix"], 4);
        assert!(fixed.contains("created index") && fixed.contains("advanced sequence"), "{fixed}");
        self.runs(&["check"], 0);

        self.runs(&[&PRUNE[..], &["--dry-run", "--events"]].concat(), 0);
        self.runs(&[&PRUNE[..], &["--yes", "--archive", "archive.db", "--status", "completed"]].concat(), 0);
        self.runs(&[&PRUNE[..], &["--yes", "--events", "--vacuum"]].concat(), 0);
        self.runs(&["check", "--deep"], 0);
    }
}

#[apply(test)]
fn the_planted_objects_are_preferred_where_nothing_prevents_it() {
    let field = Field::new(&["public"], "public");
    let before = field.server.log().len();
    field.planted.execute("SELECT varchar 'a' = varchar 'a', max(varchar 'b'), pg_total_relation_size(1259::oid)");
    let log = field.server.log();
    for name in ["= ", "max(", "pg_total_relation_size("] {
        assert!(log[before..].contains(name), "{name} in {}", &log[before..]);
    }
}

#[apply(test)]
fn nothing_planted_beside_the_tables_runs() {
    Field::new(&["public"], "public").lives();
}

#[apply(test)]
fn nothing_planted_in_public_runs_where_the_tables_are_elsewhere() {
    Field::new(&["history", "public"], "public").lives();
}

#[apply(test)]
fn nothing_planted_runs_in_a_schema_whose_name_needs_quotes() {
    Field::new(&["\"Incident history\"", "public"], "\"Incident history\"").lives();
}
