//! TLS with certificates of our own, replaced while sessions go on.

use crate::support::{World, config, stop};
use relay::{Config, Relay, RelayError};
use replica::{Connection, LinkError, Trust};
use std::path::Path;
use tempfile::TempDir;

/// A self-signed certificate and its key, as PEM files; gives the certificate as bytes.
pub(crate) fn certify(certificate: &Path, key: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}

pub(crate) fn with_tls(folder: &TempDir) -> (Config, Vec<u8>) {
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let der = certify(&certificate, &key);
    let mut config = config(folder);
    config.tls_certificate = Some(certificate);
    config.tls_key = Some(key);
    (config, der)
}

fn trust(certificate: &[u8]) -> Trust {
    Trust::new([certificate.to_vec()], false).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_trust_the_certificate_connect_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (config, certificate) = with_tls(&folder);
    let relay = Relay::start(config).unwrap();
    assert!(relay.address().starts_with("wss://127.0.0.1:"), "{}", relay.address());
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call_with(&relay.address(), &trust(&certificate), &["authority"]).await;
    line.level("authority").await;
    line.hang_up().await;
    let stranger = Connection::connect(&relay.address(), &Trust::new([], false).unwrap()).await;
    assert!(matches!(stranger, Err(LinkError::Connect { .. })), "{stranger:?}");
    let plain = relay.address().replace("wss://", "ws://");
    assert!(Connection::connect(&plain, &trust(&certificate)).await.is_err(), "plain words at a TLS port");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_used_for_new_sessions_and_old_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (config, old) = with_tls(&folder);
    let (certificate, key) = (config.tls_certificate.clone().unwrap(), config.tls_key.clone().unwrap());
    let relay = Relay::start(config).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    let mut line = root.call_with(&relay.address(), &trust(&old), &["authority", "north"]).await;
    line.level("north").await;

    // A broken file changes nothing.
    std::fs::write(&certificate, "-----BEGIN NOTHING-----\n").unwrap();
    let error = relay.reload_tls().unwrap_err();
    assert!(matches!(&error, RelayError::Tls { option: "tls_certificate", .. }), "{error}");
    assert!(error.to_string().contains("certificate.pem"), "{error}");
    let again = root.call_with(&relay.address(), &trust(&old), &["authority"]).await;
    again.hang_up().await;
    // Nor does the key of another certificate.
    certify(&certificate, &folder.path().join("other.pem"));
    let error = relay.reload_tls().unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("tls_certificate"), "{error}");

    let new = certify(&certificate, &key);
    relay.reload_tls().unwrap();
    let by_old = Connection::connect(&relay.address(), &trust(&old)).await;
    assert!(by_old.is_err(), "the old certificate is not shown any more");
    let fresh = root.call_with(&relay.address(), &trust(&new), &["authority"]).await;
    fresh.hang_up().await;
    // The session from before lives.
    let written = root.write("north", None);
    line.level("north").await;
    assert!(relay.replica().store().view().unwrap().has(&world.log("north"), &written).unwrap());
    line.hang_up().await;
    stop(relay).await;
}
