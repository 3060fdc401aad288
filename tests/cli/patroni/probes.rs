//! `wait`, `init`, `check` and `info` while the leader is lost, and on its standby.

use crate::support::cases::each;
use crate::support::check::is_found;
use crate::support::patroni::{Cluster, Replication};
use crate::support::{Database, Outcome, apply, patroni, run_at, tarsy_db};

const STANDBY: &str = "the server is a standby and accepts no writes";

#[apply(patroni)]
fn wait_and_init_get_through_the_loss_of_the_leader() {
    let cluster = Cluster::start(Replication::Synchronous);
    let database = Database::on(&cluster.leader_url("postgres"));
    let url = cluster.primary_url(database.name());
    let lost = cluster.lose_leader();
    // The standby still is one.
    run_at(&url, &["init", "--to", "head"]).expect(69).tells(&["hint: run `tarsy-db wait`"]);
    let waited = run_at(&url, &["wait", "--timeout", "60s"]).expect(0);
    assert_ne!(cluster.leader(), lost);
    assert!(!waited.stdout.contains("(1 attempt"), "{}", waited.stdout);
    run_at(&url, &["init"]).expect(0);
    cluster.start_node(lost);
    cluster.wait_for_standby();

    cluster.lose_leader();
    let upgraded = run_at(&url, &["init", "--wait=60s", "--to", "head"]).expect(0);
    assert!(upgraded.stdout.contains("upgraded"), "{}", upgraded.stdout);
    assert_eq!(cluster.leader(), lost);
    run_at(&url, &["check"]).expect(0);
}

#[apply(patroni)]
fn commands_on_the_standby_read_and_do_not_write() {
    let cluster = Cluster::start(Replication::Synchronous);
    let database = Database::on(&cluster.leader_url("postgres"));
    Outcome::of(tarsy_db(&database).arg("init")).expect(0);
    // The standby has what was committed, perhaps a moment later.
    let standby = cluster.url_of_node(1 - cluster.leader(), database.name());
    cluster.wait_for_replay();
    let checked = run_at(&standby, &["check", "--output", "json"]).expect(69);
    is_found(&checked, "writable", "failed", "standby");
    is_found(&checked, "schema", "ok", "as in revision ae85467a75d2");
    run_at(&standby, &["info"]).expect(0);
    run_at(&standby, &["init"]).expect(0);
    assert!(run_at(&standby, &["init", "--to", "head", "--dry-run"]).expect(0).stdout.contains("would upgrade"));
    run_at(&standby, &["init", "--to", "head"]).expect(69).tells(&[STANDBY, "hint: connect to the primary"]);
    run_at(&standby, &["wait", "--max-attempts", "1"]).expect(69).tells(&[STANDBY]);

    // The first host of the URL is a standby, after a switchover if need be.
    if cluster.leader() == 0 {
        cluster.switch_over();
        cluster.wait_for_standby();
    }
    let writes = [&["init", "--to", "head"][..], &["wait", "--max-attempts", "1"]];
    each(writes, |arguments| {
        let refused = run_at(&cluster.url(database.name()), arguments).expect(69);
        refused.tells(&[STANDBY, "hint: add `target_session_attrs=read-write` to the URL"]);
    });
    each(writes, |arguments| {
        run_at(&cluster.primary_url(database.name()), arguments).expect(0);
    });
}
