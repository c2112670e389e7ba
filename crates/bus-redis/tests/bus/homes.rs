//! The same over a Cluster and behind Sentinels.

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::{Folder, Redis, until, within};

use crate::station::{Station, user};

async fn cluster() -> Result<Vec<Redis>> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        nodes.push(Redis::start_with(&arguments).await?);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let mut arguments = vec!["--cluster", "create"];
    arguments.extend(addresses.iter().map(String::as_str));
    arguments.push("--cluster-yes");
    nodes[0].command(&arguments)?;
    let whole = |node: &Redis| node.command(&["CLUSTER", "INFO"]).is_ok_and(|said| said.contains("cluster_state:ok"));
    until("the cluster is whole", || nodes.iter().all(whole)).await?;
    Ok(nodes)
}

#[tokio::test]
async fn over_a_cluster_all_is_as_over_one() {
    let nodes = cluster().await.unwrap();
    let url = format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port(), nodes[2].port());
    let (a, mut b) = (Station::open(&url, 1).await.unwrap(), Station::open(&url, 2).await.unwrap());
    a.comes(10);
    a.tell(0..100);
    let expected: Vec<Option<u64>> = (0..100).map(Some).collect();
    assert_eq!(b.hear(100).await.unwrap(), expected);
    let mut c = Station::open(&url, 3).await.unwrap();
    c.until_people(a.id, &[user(10)]).await.unwrap();
    assert_eq!(a.bus.take("x", 1, 60_000).await, Some(Ok(())));
    assert!(b.bus.take("x", 1, 60_000).await.unwrap().is_err());
}

/// A master, its replica, and one Sentinel that is enough.
struct Watched {
    master: Redis,
    replica: Redis,
    sentinel: std::process::Child,
    port: u16,
    _folder: Folder,
}

impl Watched {
    async fn start() -> Result<Self> {
        let master = Redis::start().await?;
        let of = format!("127.0.0.1 {}", master.port());
        let replica = Redis::start_with(&["--replicaof", &of]).await?;
        let (folder, port) = (Folder::new()?, tertulia_testkit::redis::free_port()?);
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 700\nsentinel failover-timeout main 3000\n",
            folder.path().display(),
            master.port()
        );
        std::fs::write(&file, text)?;
        let sentinel = std::process::Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .context("can't start a sentinel")?;
        let watched = Self { master, replica, sentinel, port, _folder: folder };
        let replica = watched.replica.port().to_string();
        let known = || watched.ask(&["SENTINEL", "replicas", "main"]).is_ok_and(|said| said.contains(&replica));
        until("the sentinel knows the replica", known).await?;
        Ok(watched)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output =
            std::process::Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output()?;
        ensure!(output.status.success(), "redis-cli failed");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

#[tokio::test]
async fn behind_sentinels_the_bus_follows_the_master() {
    let mut watched = Watched::start().await.unwrap();
    let url = format!("redis-sentinel://127.0.0.1:{}/main", watched.port);
    let (mut a, mut b) = (Station::open(&url, 1).await.unwrap(), Station::open(&url, 2).await.unwrap());
    a.tell([1]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(1)]);
    watched.master.kill().unwrap();
    a.until_alone(true).await.unwrap();
    b.until_alone(true).await.unwrap();
    a.until_alone(false).await.unwrap();
    b.until_alone(false).await.unwrap();
    within("news comes through again", async {
        loop {
            a.tell([2]);
            if b.hear(1).await.unwrap() == [Some(2)] {
                break;
            }
        }
    })
    .await
    .unwrap();
}
