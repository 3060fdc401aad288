//! A cluster of two servers that Patroni manages with etcd, all on this machine: one is the leader, the other one its
//! standby, which takes over when the leader is lost.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::net::TcpSocket;

use super::connection::Connection;
use super::harness::require_target;
use super::process::wait_until;
use super::server::{Guard, PASSWORD, as_postgres, binaries, closed_port, give_to_postgres};
use super::temporary_directory;

const NAMES: [&str; 2] = ["one", "two"];

/// Whether a COMMIT waits for the standby. If it does not, a failover may lose transactions that were committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replication {
    Synchronous,
    Asynchronous,
}

/// The cluster. It ends with this process.
pub(crate) struct Cluster {
    directory: PathBuf,
    nodes: [Node; 2],
    replication: Replication,
    /// Leads to the leader, whichever that is.
    leader_port: u16,
    /// Keep the ports of programs that are down.
    _reservations: Vec<TcpSocket>,
    /// Ends all programs and removes their files.
    _guard: Guard,
}

/// One server with its Patroni.
#[derive(Debug, Clone, Copy)]
struct Node {
    number: usize,
    port: u16,
    /// Where Patroni answers.
    api_port: u16,
}

impl Cluster {
    /// Starts etcd and two servers, and waits until one follows the other. Leaves the test out unless `make test-patroni`
    /// runs.
    pub(crate) fn start(replication: Replication) -> Self {
        require_target("TARSY_DB_TEST_PATRONI", "Patroni", "test-patroni");
        let directory = temporary_directory("tarsy-db-patroni-").keep();
        let guard = Guard::with(&format!(
            "cd {} && for file in *.pid; do kill -9 -- -$(cat $file); done;
             for file in */postmaster.pid; do kill -9 $(head -n 1 $file); done; sleep 0.2; rm -rf {0}",
            directory.display()
        ));
        let (reservations, ports): (Vec<_>, Vec<_>) = (0..6).map(|_| closed_port()).unzip();
        let nodes = [0, 1].map(|number| Node { number, port: ports[number], api_port: ports[2 + number] });
        let etcd = [ports[4], ports[5]].map(|port| format!("http://127.0.0.1:{port}"));
        let leader_port = forward_to_leader(nodes);
        let cluster = Self { directory, nodes, replication, leader_port, _reservations: reservations, _guard: guard };
        for node in nodes {
            let file = cluster.directory.join(NAMES[node.number]).with_extension("yml");
            std::fs::write(file, cluster.configuration(node, &etcd[0])).expect("a file can be written");
        }
        give_to_postgres(&cluster.directory);
        cluster.start_etcd(&etcd);
        cluster.start_node(0);
        wait_until("the first server leads", || nodes[0].leads());
        cluster.start_node(1);
        cluster.wait_for_standby();
        cluster
    }

    fn start_etcd(&self, [clients, peers]: &[String; 2]) {
        let mut etcd = as_postgres(Path::new("etcd"));
        etcd.arg("--data-dir").arg(self.directory.join("etcd"));
        etcd.args(["--unsafe-no-fsync", "--listen-client-urls", clients, "--advertise-client-urls", clients]);
        etcd.args(["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]);
        etcd.args(["--initial-cluster", &format!("default={peers}")]);
        self.launch("etcd", &mut etcd);
    }

    /// Starts a node that does not run, with its files as they are.
    pub(crate) fn start_node(&self, number: usize) {
        let mut patroni = as_postgres(Path::new("patroni"));
        self.launch(NAMES[number], patroni.arg(self.directory.join(NAMES[number]).with_extension("yml")));
    }

    /// Starts a program in a process group of its own, and notes its number.
    fn launch(&self, name: &str, program: &mut Command) {
        let file = |extension| self.directory.join(name).with_extension(extension);
        let log = std::fs::File::options().append(true).create(true).open(file("log")).expect("a file can be opened");
        let errors = log.try_clone().expect("a file");
        let started = program.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let group = started.expect("`apt-get install patroni etcd-server` installs the programs").id();
        std::fs::write(file("pid"), group.to_string()).expect("a file can be written");
    }

    fn configuration(&self, node: Node, etcd: &str) -> String {
        let Node { number, port, api_port } = node;
        let (name, directory) = (NAMES[number], self.directory.display());
        let mut text = format!(
            "scope: tarsy\nname: {name}\n\
             restapi: {{listen: '127.0.0.1:{api_port}', connect_address: '127.0.0.1:{api_port}'}}\n\
             etcd3: {{hosts: ['{}']}}\n",
            etcd.trim_start_matches("http://")
        );
        // A directory of PATH may have links to some of them.
        let initdb = binaries().join("initdb").canonicalize().expect("it is there");
        let programs = initdb.parent().expect("a directory");
        let is_synchronous = self.replication == Replication::Synchronous;
        // As short as is certain on a machine with much to do.
        write!(
            text,
            "bootstrap:
  dcs:
    ttl: 10
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: {is_synchronous}
    postgresql: {{use_pg_rewind: true, parameters: {{max_connections: 60}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, no-sync, {{auth-host: scram-sha-256}}, {{auth-local: trust}}]
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: '{directory}/{name}'
  bin_dir: '{}'
  pgpass: '{directory}/{name}.pgpass'
  authentication:
    superuser: {{username: postgres, password: {PASSWORD}}}
    replication: {{username: replicator, password: {PASSWORD}}}
    rewind: {{username: postgres, password: {PASSWORD}}}
  parameters: {{unix_socket_directories: '{directory}', fsync: 'off', wal_keep_size: 512MB}}
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 scram-sha-256', 'host replication replicator 127.0.0.1/32 scram-sha-256']
",
            programs.display()
        )
        .expect("a text takes all");
        text
    }

    /// The number of the node that leads, once one does.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        wait_until("a node leads", || {
            leader = self.nodes.iter().position(|node| node.leads());
            leader.is_some()
        });
        leader.expect("it was waited for")
    }

    /// Waits until one node leads and the other one may take over, and returns the number of the leader.
    pub(crate) fn wait_for_standby(&self) -> usize {
        let path = if self.replication == Replication::Synchronous { "/synchronous" } else { "/replica" };
        let mut leader = 0;
        wait_until("a standby follows the leader", || {
            leader = self.leader();
            let status = self.nodes[leader].ask("GET", "/patroni", "").map(|(_, status)| status).unwrap_or_default();
            let is_standby = self.nodes[1 - leader].ask("GET", path, "").is_some_and(|(status, _)| status == 200);
            is_standby && status["replication"][0]["state"] == "streaming"
        });
        leader
    }

    /// Waits until the standby has replayed what the leader has written.
    pub(crate) fn wait_for_replay(&self) {
        let leader = self.wait_for_standby();
        let mut connection = Connection::open(&self.url_of_node(leader, "postgres"));
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()";
        wait_until("the standby has replayed everything", || connection.number(sql) > 0);
        connection.close();
    }

    /// Lets the standby take over in good order.
    pub(crate) fn switch_over(&self) {
        let leader = self.leader();
        let body = format!("{{\"leader\": \"{}\"}}", NAMES[leader]);
        // Patroni refuses while it does not know the standby.
        wait_until("the standby takes over", || {
            self.nodes[leader].ask("POST", "/switchover", &body).is_some_and(|(status, _)| status == 200)
        });
    }

    /// Ends the leader's server as a crash does. Its Patroni starts it again, or the standby takes over.
    pub(crate) fn crash_leader(&self) {
        self.crash(self.leader());
    }

    /// Ends the leader's Patroni and server at once, as the loss of a machine does. Returns its number.
    pub(crate) fn lose_leader(&self) -> usize {
        let leader = self.leader();
        let group = std::fs::read_to_string(self.directory.join(NAMES[leader]).with_extension("pid"));
        kill(&format!("-{}", group.expect("the number was noted")));
        self.crash(leader);
        leader
    }

    fn crash(&self, number: usize) {
        let file = self.directory.join(NAMES[number]).join("postmaster.pid");
        let text = std::fs::read_to_string(file).expect("the server runs");
        kill(text.lines().next().expect("a number"));
    }

    /// The URL of a database on one node.
    pub(crate) fn url_of_node(&self, number: usize, database: &str) -> String {
        format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.nodes[number].port)
    }

    /// The URL of a database on both nodes.
    pub(crate) fn url(&self, database: &str) -> String {
        let [one, two] = self.nodes.map(|node| node.port);
        format!("postgresql://postgres:{PASSWORD}@/{database}?host=127.0.0.1:{one}&host=127.0.0.1:{two}")
    }

    /// The URL of a database on the node that is the primary.
    pub(crate) fn primary_url(&self, database: &str) -> String {
        format!("{}&target_session_attrs=read-write", self.url(database))
    }

    /// The same through a port that leads to the leader, as behind HAProxy. Tests create and read databases there.
    pub(crate) fn leader_url(&self, database: &str) -> String {
        format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.leader_port)
    }
}

fn kill(process: &str) {
    let killed = Command::new("kill").args(["-9", "--", process]).status();
    assert!(killed.is_ok_and(|status| status.success()), "cannot kill {process}");
}

impl Node {
    fn leads(self) -> bool {
        self.ask("GET", "/primary", "").is_some_and(|(status, _)| status == 200)
    }

    /// Asks this node's Patroni: the status and the document of the answer.
    fn ask(self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api_port)).ok()?;
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }
}

/// Forwards each connection to the node that leads when it begins. Returns the port.
fn forward_to_leader(nodes: [Node; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Some(leader) = nodes.into_iter().find(|node| node.leads()) else { continue };
            let Ok(server) = TcpStream::connect(("127.0.0.1", leader.port)) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let [mut from, mut to] = [from, to].map(|socket| socket.try_clone().expect("a socket"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}
