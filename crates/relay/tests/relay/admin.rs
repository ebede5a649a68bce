//! What an operator sees: health, metrics, devices, backups.

use crate::support::{World, config, public, soon, stop};
use access::KeyText;
use changeset::PublicKey;
use relay::Relay;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One request as a program sends it: the status and the body.
pub(crate) async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = soon("an answer of the admin endpoint", exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

pub(crate) async fn look(relay: &Relay, path: &str) -> (u16, String) {
    http(relay.admin_address(), &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
}

pub(crate) async fn devices(relay: &Relay) -> Value {
    let address = relay.admin_address().to_string();
    tokio::task::spawn_blocking(move || relay::ask_devices(&address)).await.unwrap().unwrap()
}

pub(crate) fn device<'a>(report: &'a Value, key: &PublicKey) -> &'a Value {
    let text = KeyText::of_key(key).to_string();
    let devices = report["devices"].as_array().unwrap();
    devices.iter().find(|device| device["key"] == text.as_str()).unwrap_or_else(|| panic!("no {text} in {report:#}"))
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_devices_say_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    assert_eq!(look(&relay, "/healthz").await, (200, "ok\n".to_owned()));
    let world = World::new();
    let (mut root, mut second) = (world.device(1), world.device(2));
    root.grant(world.grant(2, "north"));
    let written = root.write("north", None);
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("north").await;
    let mut second_line = second.call(&relay, &["authority", "north"]).await;
    second.holds("north", &[written]).await;
    second_line.level("north").await;
    second_line.hang_up().await;
    root.write("north", None);
    line.level("north").await;

    let (status, text) = look(&relay, "/metrics").await;
    assert_eq!(status, 200);
    for (name, _, value) in relay.replica().counters().all() {
        assert!(metric(&text, &format!("fieldbook_{name}_total")) <= value, "{name}");
    }
    assert_eq!(metric(&text, "fieldbook_change_sets_in_total"), 4);
    assert_eq!(metric(&text, "fieldbook_change_sets"), 4);
    assert_eq!(metric(&text, "fieldbook_sessions_total"), 2);
    assert_eq!(metric(&text, "fieldbook_workspaces"), 1);
    assert_eq!(metric(&text, "fieldbook_logs"), 2);
    assert!(metric(&text, "fieldbook_store_bytes") > 0);
    assert!(metric(&text, "fieldbook_disk_free_bytes") > 0);
    assert!(metric(&text, "fieldbook_memory_resident_bytes") > 1 << 20);
    assert!(metric(&text, "fieldbook_commits_total") > 0);
    assert!(metric(&text, "fieldbook_commit_microseconds_total") > 0);

    let report = devices(&relay).await;
    let (here, away) = (device(&report, &public(1)), device(&report, &public(2)));
    assert_eq!((&here["connected"], &here["tier"]), (&Value::Bool(true), &Value::from("device")));
    assert_eq!((&away["connected"], &away["tier"]), (&Value::Bool(false), &Value::Null));
    assert_eq!((&here["to_send"], &away["to_send"]), (&Value::from(0), &Value::from(1)), "{report:#}");
    assert!(away["last_receipt_ms"].as_u64().unwrap() >= world.now_ms);
    assert_eq!(away["people"][0], "Person 2");
    assert_eq!(here["workspace"], KeyText::of_workspace(&world.workspace).to_string());
    let table = relay::table(&report);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains(&public(2).short()) && table.contains("away"), "{table}");

    assert_eq!(look(&relay, "/nothing").await.0, 404);
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(http(relay.admin_address(), post).await.0, 405);
    let page = "GET /devices HTTP/1.1\r\nhost: x\r\norigin: http://evil.example\r\n\r\n";
    assert_eq!(http(relay.admin_address(), page).await.0, 403, "a page in a browser is not answered");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_disk_threshold_it_is_not_healthy_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.free_disk_min = u64::MAX;
    let relay = Relay::start(config).unwrap();
    let (status, text) = look(&relay, "/healthz").await;
    assert_eq!(status, 503);
    assert!(text.starts_with("disk: "), "{text}");
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call(&relay, &["authority"]).await;
    let paused = crate::support::Seen::Paused("authority".into());
    line.until("a pause", |seen| (*seen == paused).then_some(())).await;
    assert_eq!(relay.replica().counters().change_sets_in.get(), 0);
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_written_while_it_runs_into_its_folder_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let backups = folder.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    config.backup_folder = Some(backups.clone());
    let relay = Relay::start(config).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    let written = root.write("north", None);
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("north").await;
    let ask = |name: &'static str| {
        let admin = relay.admin_address().to_string();
        async move { tokio::task::spawn_blocking(move || relay::ask_backup(&admin, name)).await.unwrap() }
    };
    assert_eq!(ask("monday.redb").await.unwrap(), backups.join("monday.redb").display().to_string());
    for outside in ["../tuesday", "/tmp/tuesday", "..", "", ".hidden"] {
        let error = ask(outside).await.unwrap_err().to_string();
        assert!(error.contains("400") && error.contains("backup_folder"), "{outside}: {error}");
    }
    let twice = ask("monday.redb").await.unwrap_err().to_string();
    assert!(twice.contains("monday.redb"), "{twice}");
    assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 1);
    stop(relay).await;
    // The copy is a store with everything in it.
    let copy = folder.path().join("restored.redb");
    storage::Store::restore(backups.join("monday.redb"), &copy).unwrap();
    let (store, _) = storage::Store::open(&copy, storage::Options::default()).unwrap();
    assert!(store.view().unwrap().has(&world.log("north"), &written).unwrap());
}
