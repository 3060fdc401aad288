//! `migrate-sqlite-to-postgres` while the leader is lost: the target has everything or nothing.

use crate::support::cases::each;
use crate::support::history::{OLD_US, insert_many};
use crate::support::migration::{arguments_to, compare_at};
use crate::support::patroni::{Cluster, Replication};
use crate::support::process::wait_until;
use crate::support::{Database, Running, Schema, apply, patroni};

const MANY: u32 = 2000;

#[apply(patroni)]
fn a_move_completes_or_leaves_nothing() {
    let cluster = Cluster::start(Replication::Synchronous);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    insert_many(&source, MANY, 20_000, OLD_US);
    // What the session of the move does, and whether it may be done before the leader is lost.
    let phases = [("COPY %", false), ("CREATE %INDEX%", false), ("COPY (SELECT%", true), ("COMMIT%", true)];
    each(phases, |(phase, is_late)| {
        let target = Database::on(&cluster.leader_url("postgres"));
        let url = cluster.primary_url(target.name());
        let mut run = Running::start(&source, &arguments_to(&url));
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '{phase}'",
            target.name()
        );
        target.with_connection(|connection| {
            wait_until("the move is there", || connection.number(&sql) > 0 || run.is_over());
        });
        let lost = cluster.lose_leader();
        let outcome = run.finish();
        assert_ne!(cluster.leader(), lost, "{phase}");
        cluster.start_node(lost);
        cluster.wait_for_standby();
        // Where the answer to the COMMIT was lost it may have taken place.
        let is_complete = outcome.code == Some(0) || outcome.stderr.contains("whether the commit took place");
        assert!(!is_complete || is_late, "{phase}: {}", outcome.stderr);
        let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'alert_sessions'";
        if is_complete && target.number(tables) == 1 {
            compare_at(&source, &url).expect(0);
        } else {
            outcome.expect(69);
            assert_eq!(target.number(tables), 0, "{phase}");
        }
    });
}
