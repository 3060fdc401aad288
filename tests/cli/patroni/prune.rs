//! `prune` through switchovers and losses of the leader: it continues on the new one, and counts each session once.

use crate::support::cases::each;
use crate::support::connection::Connection;
use crate::support::history::{OLD_US, insert_many};
use crate::support::patroni::{Cluster, Replication};
use crate::support::process::wait_until;
use crate::support::prune::start_to_prune_at;
use crate::support::{Database, Outcome, Running, Schema, apply, patroni};

const MANY: u32 = 1200;

/// What happens to the leader.
#[derive(Debug, Clone, Copy)]
enum Event {
    Switchover,
    /// Its server ends as in a crash.
    Crash,
    /// Server and Patroni end, and Patroni is started again after the run.
    Loss,
}

impl Event {
    const ALL: [Self; 3] = [Self::Switchover, Self::Crash, Self::Loss];

    fn happen(self, cluster: &Cluster) -> Option<usize> {
        match self {
            Self::Switchover => cluster.switch_over(),
            Self::Crash => cluster.crash_leader(),
            Self::Loss => return Some(cluster.lose_leader()),
        }
        None
    }
}

fn cluster_with_schema(replication: Replication) -> (Cluster, Database) {
    let cluster = Cluster::start(replication);
    let database = Database::on(&cluster.leader_url("postgres"));
    database.create_schema(Schema::Baseline);
    (cluster, database)
}

/// Starts a run and waits until it is in its middle.
fn start_and_wait(url: &str, database: &Database, more: &[&str]) -> Running {
    insert_many(database, MANY, 640, OLD_US);
    let run = start_to_prune_at(url, database, more);
    wait_until("some sessions are gone", || database.count("alert_sessions") < i64::from(MANY));
    run
}

fn removed(outcome: &Outcome) -> u64 {
    outcome.json()["removed"]["sessions"].as_u64().expect("a number")
}

/// Prunes through an event, and waits until the cluster is whole again.
fn prune_through(event: Event, cluster: &Cluster, database: &Database, more: &[&str]) -> Outcome {
    let more = [&["--retry-for", "60s"], more].concat();
    let mut run = start_and_wait(&cluster.primary_url(database.name()), database, &more);
    let lost = event.happen(cluster);
    run.says("retrying for up to 1m");
    run.says("reconnected");
    let outcome = run.finish().expect(0);
    if let Some(lost) = lost {
        cluster.start_node(lost);
    }
    cluster.wait_for_standby();
    assert_eq!(database.count("alert_sessions"), 0, "{event:?}");
    assert_eq!(database.count("llm_interactions"), 0, "{event:?}");
    assert_eq!(outcome.stderr.matches("reconnected").count(), 1, "{event:?}: {}", outcome.stderr);
    outcome
}

#[apply(patroni)]
fn it_continues_on_the_new_leader_and_counts_each_session_once() {
    let (cluster, database) = cluster_with_schema(Replication::Synchronous);
    each(Event::ALL, |event| {
        let outcome = prune_through(event, &cluster, &database, &[]);
        assert_eq!(removed(&outcome), u64::from(MANY), "{event:?}");
        let reached = cluster.url_of_node(cluster.leader(), database.name());
        let (_, reached) = reached.rsplit_once('@').expect("a user");
        assert!(outcome.json()["database"].as_str().is_some_and(|shown| shown.ends_with(reached)), "{event:?}");
    });
}

#[apply(patroni)]
fn without_synchronous_replication_lost_commits_are_neither_counted_nor_archived_twice() {
    let (cluster, database) = cluster_with_schema(Replication::Asynchronous);
    each(Event::ALL, |event| {
        let archive = format!("{event:?}.db");
        let outcome = prune_through(event, &cluster, &database, &["--archive", &archive]);
        assert_eq!(removed(&outcome), u64::from(MANY), "{event:?}");
        let archive = format!("sqlite://{}", database.directory().join(archive).display());
        for table in ["alert_sessions", "llm_interactions"] {
            let archived = Connection::open(&archive).number(&format!("SELECT count(*) FROM {table}"));
            assert_eq!(archived, i64::from(MANY), "{event:?}");
        }
    });
}

#[apply(patroni)]
fn a_run_that_begins_while_no_node_leads_waits_for_one() {
    let (cluster, database) = cluster_with_schema(Replication::Synchronous);
    insert_many(&database, MANY, 640, OLD_US);
    let lost = cluster.lose_leader();
    let mut run = start_to_prune_at(&cluster.primary_url(database.name()), &database, &[]);
    run.says("retrying for up to 1m");
    let outcome = run.finish().expect(0);
    assert_ne!(cluster.leader(), lost);
    assert_eq!((removed(&outcome), database.count("alert_sessions")), (MANY.into(), 0));
}

#[apply(patroni)]
fn it_continues_at_an_address_that_leads_to_the_new_leader() {
    let (cluster, database) = cluster_with_schema(Replication::Synchronous);
    let mut run = start_and_wait(database.url(), &database, &[]);
    cluster.switch_over();
    run.says("reconnected");
    let outcome = run.finish().expect(0);
    assert_eq!((removed(&outcome), database.count("alert_sessions")), (MANY.into(), 0));
}

#[apply(patroni)]
fn at_one_host_that_was_demoted_it_ends_and_says_so_once() {
    let (cluster, database) = cluster_with_schema(Replication::Synchronous);
    let url = cluster.url_of_node(cluster.leader(), database.name());
    let run = start_and_wait(&url, &database, &["--retry-for", "5s"]);
    cluster.switch_over();
    let outcome = run.finish().expect(69);
    assert!(!outcome.stderr.contains("reconnected"), "{}", outcome.stderr);
    let left = u64::try_from(database.count("alert_sessions")).expect("a number");
    assert_eq!(removed(&outcome), u64::from(MANY) - left);
}
