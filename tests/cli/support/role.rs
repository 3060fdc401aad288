//! A PostgreSQL role that may do less than the one that owns the database.

use super::Database;
use super::server::{PASSWORD, VERIFIER};

/// A role that may log in, and nothing more until it is granted something. It ends with the test.
pub(crate) struct Role<'d> {
    database: &'d Database,
    pub(crate) name: String,
}

impl<'d> Role<'d> {
    /// Creates the role.
    pub(crate) fn new(database: &'d Database) -> Self {
        let name = format!("{}_role", database.name());
        database.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{VERIFIER}'"));
        Self { database, name }
    }

    pub(crate) fn database(&self) -> &Database {
        self.database
    }

    /// The URL of the database for this role.
    pub(crate) fn url(&self) -> String {
        let (_, place) = self.database.url().rsplit_once('@').expect("the URL names a user");
        format!("postgresql://{}:{PASSWORD}@{place}", self.name)
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.database.execute(&format!(
                "REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}",
                name = self.name
            ));
        }
    }
}

/// Makes a role the owner of everything in the database.
pub(crate) fn give_tables_to(target: &Database, role: &str) {
    let statements = "SELECT format('ALTER TABLE %s OWNER TO ', oid::regclass) FROM pg_class
                      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
    for statement in target.texts(statements).into_iter().flatten() {
        target.execute(&format!("{statement}{role}"));
    }
}
