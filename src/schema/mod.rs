//! What a database looks like now, what a revision should look like, and the difference.
//!
//! The expected schema is never written down: [`expected`] replays the migrations and reads the result with the code
//! that reads the live database.
//!
//! | module | what it is for |
//! |---|---|
//! | [`upgrade`] | from a database as it is to a revision, in one transaction |
//! | [`error`] | why a schema is refused |
//! | [`lock`] | the lock under which the schema is changed, and who holds it |
//! | [`variant`] | the legitimate variants of a revision, and the best match |
//! | [`expected`] | what a revision should look like |
//! | [`drift`] | the error of tables that are not those of their revision; `diff` finds the differences |
//! | [`diff`] | what sets one schema apart from another |
//! | [`repair`] | what can be repaired while the backend works: indexes and sequences |
//! | [`sequence`] | sequences, and the values they are behind |
//! | [`parent_index`] | an index that TARSy lacks and large histories need |
//! | [`early`] | columns that only early releases had |
//! | [`privilege`] | what the role may do |
//! | [`row_policy`] | policies that hide rows |
//! | [`read`] | reads the schema of a live database |
//! | [`state`] | what a database says of itself: its ledger and its tables |
//! | [`model`] | tables, columns, indexes and keys, as data |
//! | [`column_kind`] | the types of columns, as both backends name them |
//! | [`sql`] | quotes what is built into SQL |

pub(crate) mod column_kind;
pub(crate) mod diff;
pub(crate) mod drift;
pub(crate) mod early;
pub(crate) mod error;
pub(crate) mod expected;
pub(crate) mod lock;
pub(crate) mod model;
pub(crate) mod parent_index;
pub(crate) mod privilege;
pub(crate) mod read;
pub(crate) mod repair;
pub(crate) mod row_policy;
pub(crate) mod sequence;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod upgrade;
pub(crate) mod variant;
