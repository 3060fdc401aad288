//! The schema of a database, the schema that a revision should have, and the difference.
//!
//! The expected schema is not written down by hand: [`expected`] replays the migrations, and the same code reads the
//! result and the live database. A standby cannot replay anything: for it [`recorded`] has what a replay found.
//!
//! | module | what it is for |
//! |---|---|
//! | [`upgrade`] | brings a database to a revision in one transaction |
//! | [`error`] | errors of the schema |
//! | [`lock`] | the lock for changes of the schema, and its holder |
//! | [`variant`] | the legitimate variants of a revision, and the best match |
//! | [`expected`] | the schema that a revision should have |
//! | [`app_role`] | the role of TARSy's backend where another role owns the tables |
//! | [`recorded`] | the schemas of all revisions as a replay on PostgreSQL found them |
//! | [`drift`] | the error for tables that do not match their revision; `diff` finds the differences |
//! | [`diff`] | the differences between two schemas |
//! | [`repair`] | repairs while the backend works: indexes and sequences |
//! | [`older_transactions`] | the transactions that hold up the building of an index |
//! | [`sequence`] | sequences, and whether they are ahead of the data |
//! | [`parent_index`] | an index that TARSy lacks and large histories need |
//! | [`early`] | columns that exist before the revision that adds them |
//! | [`privilege`] | privileges that the role lacks |
//! | [`replica_identity`] | published tables whose rows cannot be changed |
//! | [`row_policy`] | policies that hide rows |
//! | [`encoding`] | the encoding of a PostgreSQL database |
//! | [`time_zone`] | the time zone of sessions |
//! | [`read`] | reads the schema of a live database |
//! | [`state`] | the ledger and the tables of a database, and what `init` does with them |
//! | [`state_error`] | why a database is not a history that this version knows |
//! | [`application`] | other applications, whose tables have the names of TARSy's |
//! | [`visible`] | the relations to which unqualified names lead on PostgreSQL |
//! | [`revision_name`] | the names of revisions, as an operator gives them |
//! | [`definition`] | definitions without the schemas of their names |
//! | [`model`] | tables, columns, indexes and keys, as data |
//! | [`column_kind`] | column types in the names of both backends |

pub(crate) mod app_role;
pub(crate) mod application;
pub(crate) mod column_kind;
pub(crate) mod definition;
pub(crate) mod diff;
pub(crate) mod drift;
pub(crate) mod early;
pub(crate) mod encoding;
pub(crate) mod error;
pub(crate) mod expected;
pub(crate) mod lock;
pub(crate) mod model;
pub(crate) mod older_transactions;
pub(crate) mod parent_index;
pub(crate) mod privilege;
pub(crate) mod read;
pub(crate) mod recorded;
pub(crate) mod repair;
pub(crate) mod replica_identity;
pub(crate) mod revision_name;
pub(crate) mod row_policy;
pub(crate) mod sequence;
pub(crate) mod state;
pub(crate) mod state_error;
pub(crate) mod time_zone;
pub(crate) mod upgrade;
pub(crate) mod variant;
pub(crate) mod visible;
