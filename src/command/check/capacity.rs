//! How many backends a PostgreSQL server has connections for.

use sea_orm::DbErr;
use serde_json::json;

use super::finding::Finding;
use crate::database::connection::row;
use crate::database::transaction::Transaction;
use crate::format::counted;
use crate::output::Status;

const NAME: &str = "capacity";

/// Limits of connections, and what other sessions use of them. -1 is no limit.
#[derive(Debug, Clone, Copy)]
struct Connections {
    of_server: i64,
    /// Those that only superusers get, and roles with the privilege for it.
    reserved: i64,
    used: i64,
    of_database: i64,
    used_in_database: i64,
    of_role: i64,
    used_by_role: i64,
}

/// Whether the server has connections for another backend, whose pool may open `of_backend` of them; `None` is no
/// limit. Behind a pooler the connections are those of the pooler.
pub(crate) async fn capacity(reading: &Transaction, of_backend: Option<u32>) -> Finding {
    Finding::of(NAME, connections(reading).await, |connections| judge(connections, of_backend))
}

/// The limits of the database and of the role that logs in do not apply to superusers. A role sees of other roles'
/// sessions only that they exist.
const CONNECTIONS: &str = "
    SELECT current_setting('max_connections')::bigint AS of_server,
           current_setting('superuser_reserved_connections')::bigint
               + coalesce(current_setting('reserved_connections', true), '0')::bigint AS reserved,
           CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END::bigint AS of_database,
           CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END::bigint AS of_role,
           count(a.pid) AS used,
           count(a.pid) FILTER (WHERE a.datid = d.oid) AS used_in_database,
           count(a.pid) FILTER (WHERE a.usesysid = r.oid) AS used_by_role
    FROM pg_roles r
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_stat_activity a ON a.pid <> pg_backend_pid() AND a.datid IS NOT NULL AND a.usesysid IS NOT NULL
                                    AND coalesce(a.backend_type, 'client backend') = 'client backend'
    WHERE r.rolname = session_user
    GROUP BY r.oid, r.rolsuper, r.rolconnlimit, d.oid, d.datconnlimit";

async fn connections(reading: &Transaction) -> Result<Connections, DbErr> {
    let row = row(reading, CONNECTIONS).await?;
    let number = |name| row.try_get("", name);
    Ok(Connections {
        of_server: number("of_server")?,
        reserved: number("reserved")?,
        used: number("used")?,
        of_database: number("of_database")?,
        used_in_database: number("used_in_database")?,
        of_role: number("of_role")?,
        used_by_role: number("used_by_role")?,
    })
}

fn judge(connections: Connections, of_backend: Option<u32>) -> Finding {
    let (free, why) = free(connections);
    let data = |replicas: Option<i64>| {
        let Connections { of_server, reserved, used, .. } = connections;
        json!({ "free": free, "of_replica": of_backend, "replicas": replicas, "max_connections": of_server,
                "reserved": reserved, "used": used })
    };
    let Some(of_backend) = of_backend else {
        let lines =
            vec!["the pool of a backend replica has no limit".to_owned(), format!("{free} more connections"), why];
        return Finding::new(NAME, Status::Note, lines).because("pool_without_limit").with(data(None));
    };
    let replicas = free / i64::from(of_backend).max(1);
    let (status, room) = match replicas {
        0 => (Status::Warning, "no room for one more".to_owned()),
        _ => (Status::Ok, format!("room for {}", counted(replicas.unsigned_abs(), "more replica"))),
    };
    let connections = if of_backend == 1 { "1 connection".to_owned() } else { format!("{of_backend} connections") };
    let lines = vec![format!("each backend replica may open {connections}"), room, why];
    let finding = Finding::new(NAME, status, lines).with(data(Some(replicas)));
    if replicas == 0 { finding.because("no_room_for_replica") } else { finding }
}

/// How many connections are free, and the limit that allows the fewest.
fn free(connections: Connections) -> (i64, String) {
    let Connections { of_server, reserved, used, of_database, used_in_database, of_role, used_by_role } = connections;
    let server = (of_server - reserved - used, format!("{of_server} at most, {reserved} reserved, {used} in use"));
    let of = |whose: &str, limit: i64, used: i64| {
        (limit >= 0).then(|| (limit - used, format!("{limit} for this {whose}, {used} in use")))
    };
    let limits = [of("database", of_database, used_in_database), of("role", of_role, used_by_role)];
    let (free, why) = limits.into_iter().flatten().fold(server, std::cmp::min);
    (free.max(0), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Connections = Connections {
        of_server: 100,
        reserved: 3,
        used: 22,
        of_database: -1,
        used_in_database: 20,
        of_role: -1,
        used_by_role: 10,
    };

    fn judged(connections: Connections, of_backend: Option<u32>) -> (Status, String) {
        let finding = judge(connections, of_backend);
        (finding.status, finding.detail.0.join("; "))
    }

    #[test]
    fn another_replica_has_room_or_not() {
        let text = "each backend replica may open 15 connections; room for 5 more replicas; 100 at most, 3 reserved, 22 in use";
        assert_eq!(judged(SERVER, Some(15)), (Status::Ok, text.to_owned()));
        let (status, text) = judged(Connections { used: 83, ..SERVER }, Some(15));
        assert_eq!(status, Status::Warning);
        assert!(text.ends_with("; no room for one more; 100 at most, 3 reserved, 83 in use"), "{text}");
        assert_eq!(judged(Connections { used: 100, ..SERVER }, Some(1)).0, Status::Warning);
        assert_eq!(judged(SERVER, None).0, Status::Note);
    }

    #[test]
    fn the_tightest_limit_counts() {
        let role = Connections { of_role: 30, of_database: 90, ..SERVER };
        assert!(judged(role, Some(15)).1.ends_with("room for 1 more replica; 30 for this role, 10 in use"));
        let database = Connections { of_database: 20, ..SERVER };
        let (status, text) = judged(database, Some(1));
        assert!(status == Status::Warning && text.ends_with("; 20 for this database, 20 in use"), "{text}");
    }
}
