//! Events, which have no session.

use super::{Database, Schema};

/// Creates the baseline, and with it the table of revision 03 as that makes it.
pub(crate) fn init_with_events(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(match database.is_sqlite() {
        true => {
            "CREATE TABLE events (id INTEGER NOT NULL, channel VARCHAR(100) NOT NULL, payload JSON,
                                  created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, PRIMARY KEY (id))"
        }
        false => {
            "CREATE TABLE events (id serial PRIMARY KEY, channel varchar(100) NOT NULL, payload json,
                                  created_at timestamp DEFAULT now() NOT NULL)"
        }
    });
    database.execute(
        "CREATE INDEX idx_events_created_at ON events (created_at);
         CREATE INDEX idx_events_channel_id ON events (channel, id);
         CREATE INDEX ix_events_channel ON events (channel)",
    );
}

/// Writes events with these moments, which are SQL expressions; their ids count from 1.
pub(crate) fn insert_events(database: &Database, moments: &[&str]) {
    for (index, moment) in moments.iter().enumerate() {
        let id = index + 1;
        database.execute(&format!(
            r#"INSERT INTO events (id, channel, payload, created_at)
               VALUES ({id}, 'sessions', '{{"type": "session.created"}}', {moment})"#
        ));
    }
}
