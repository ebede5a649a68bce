//! Configurations, right and wrong.

use relay::{Config, ConfigError, Level, Place, Relay, RelayError, SETTINGS};
use std::path::PathBuf;
use std::time::Duration;
use sync::Tier;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// What is wrong with this text, and in which line.
fn wrong(text: &str) -> (usize, String) {
    let (_folder, path) = file(text);
    let error = match Config::from_file(&path) {
        Ok(config) => config.check().unwrap_err(),
        Err(error) => error,
    };
    let place = match &error {
        ConfigError::Syntax { place, .. }
        | ConfigError::Unknown { place, .. }
        | ConfigError::Bad { place, .. }
        | ConfigError::Together { place, .. } => place.clone(),
        other => panic!("{other}"),
    };
    let Place::File { line, path: named, .. } = place else { panic!("{error}: {place:?}") };
    assert_eq!(named, path);
    assert!(error.to_string().starts_with(&format!("{}:{line}:", path.display())), "{error}");
    (line, error.to_string())
}

#[test]
fn the_example_file_is_every_option_at_its_default() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fieldbook-relay.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, relay::example(), "write it anew: fieldbook-relay example-config > {}", path.display());
    let (read, plain) = (Config::from_file(&path).unwrap(), Config::new("/var/lib/fieldbook-relay"));
    read.check().unwrap();
    macro_rules! same {
        ($($field:ident)*) => { $(assert_eq!(read.$field, plain.$field, stringify!($field));)* };
    }
    same!(data listen allow_plain tls_certificate tls_key admin allow_open_admin tier workspaces relays sessions_max
        connections_max workspace_bytes_max device_bytes_per_minute free_disk_min cache_bytes recent_bytes window_bytes workers
        io_threads handshake drain backup_folder log log_format);
    // What has no default is right when the # is taken away.
    for setting in SETTINGS.iter().filter(|setting| setting.default.is_empty()) {
        let (_folder, path) = file(&format!("{} = {}", setting.name, setting.example));
        Config::from_file(&path).unwrap();
    }
}

#[test]
fn every_option_can_be_set_in_the_file_and_a_flag_goes_over_it() {
    let (_folder, path) = file(
        "data = \"d\"\nlisten = \"[::1]:1\"\ntier = \"core\"\nfree_disk_min = 7\ncache_bytes = \"64 KiB\"\n\
         drain_seconds = 3\nlog = \"debug\"\nworkspace_bytes_max = \"2 GiB\"\nsessions_max = 1_000\n\
         workspaces = [\"0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjg\"]\n",
    );
    let mut config = Config::from_file(&path).unwrap();
    assert_eq!((config.listen.port(), config.tier, config.free_disk_min), (1, Tier::Core, 7));
    assert_eq!((config.cache_bytes, config.drain, config.log), (65_536, Duration::from_secs(3), Level::Debug));
    assert_eq!((config.workspace_bytes_max, config.sessions_max), (Some(2 << 30), 1000));
    assert_eq!(config.workspaces.as_ref().map(|held| held.len()), Some(1));
    config.set_flag("listen", "127.0.0.1:2").unwrap();
    config.set_flag("workspaces", "").unwrap();
    assert_eq!((config.listen.port(), config.workspaces.clone()), (2, Some([].into())));
    let error = config.set_flag("free_disk_min", "much").unwrap_err().to_string();
    assert!(error.starts_with("--free-disk-min: ") && error.contains("MiB"), "{error}");
    config.check().unwrap();
}

#[test]
fn what_is_wrong_names_its_line_and_the_cure() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("data = \"d\"\nlisten = \"localhost:1\"\n", 2, &["`listen`", "127.0.0.1:7171"]),
        ("data = \"d\"\n\nlisen = \"127.0.0.1:1\"\n", 3, &["no option `lisen`", "did you mean `listen`?"]),
        ("data = \"d\"\nxyzzy = 1\n", 2, &["no option `xyzzy`", "--help"]),
        ("data = \"d\"\n[relay]\n", 2, &["no option `relay`"]),
        ("data = \"d\"\nlisten = \n", 2, &[]),
        ("data = \"d\"\ndata = \"e\"\n", 2, &["duplicate"]),
        ("data = \"d\"\nsessions_max = 0\n", 2, &["`sessions_max`", "1 to 1000000"]),
        ("data = \"d\"\nsessions_max = -1\n", 2, &["1 to 1000000"]),
        ("data = \"d\"\nsessions_max = 0x10\n", 2, &["`sessions_max`"]),
        ("data = \"d\"\nsessions_max = 1.5\n", 2, &["`sessions_max`"]),
        ("data = \"d\"\nfree_disk_min = \"1 GB\"\n", 2, &["GiB"]),
        ("data = \"d\"\ncache_bytes = \"99999999 TiB\"\n", 2, &["number of bytes"]),
        ("data = \"d\"\ntier = \"hub\"\n", 2, &["relay or core"]),
        ("data = \"d\"\nlog = \"loud\"\n", 2, &["error, warn, info, debug or trace"]),
        ("data = \"d\"\nallow_plain = \"perhaps\"\n", 2, &["true or false"]),
        ("data = \"d\"\nworkspaces = [\"short\"]\n", 2, &["52 characters"]),
        ("data = \"d\"\nworkspaces = \"x\"\n", 2, &["a list"]),
        ("data = \"d\"\nrelays = [1]\n", 2, &["a list"]),
        ("data = \"d\"\ndrain_seconds = 601\n", 2, &["0 to 600"]),
        ("data = \"d\"\nlisten = \"0.0.0.0:1\"\n", 2, &["TLS", "allow_plain"]),
        ("data = \"d\"\nadmin = \"0.0.0.0:1\"\n", 2, &["127.0.0.1", "allow_open_admin"]),
        ("data = \"d\"\nlisten = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:1\"\n", 3, &["another port"]),
        ("data = \"d\"\ntls_key = \"k\"\n", 2, &["add tls_certificate"]),
        ("data = \"d\"\ntls_certificate = \"k\"\n", 2, &["add tls_key"]),
        ("data = \"d\"\nconnections_max = 10\n", 2, &["sessions_max"]),
        ("data = \"\"\n", 1, &["a path"]),
    ];
    for (text, line, words) in cases {
        let (found, message) = wrong(text);
        assert_eq!(found, *line, "{text:?}: {message}");
        for word in *words {
            assert!(message.contains(word), "{text:?}: {word:?} is not in {message:?}");
        }
    }
    let (_folder, path) = file("listen = \"127.0.0.1:1\"\n");
    let error = Config::from_file(path).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("`data`") && error.contains("name the folder"), "{error}");
    let gone = Config::from_file("/nowhere/relay.toml").unwrap_err().to_string();
    assert!(gone.starts_with("/nowhere/relay.toml: "), "{gone}");
}

#[test]
fn plain_websockets_stay_on_this_machine_unless_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::support::config(&folder);
    config.listen = ([0, 0, 0, 0], 0).into();
    let error = Relay::start(config.clone()).unwrap_err();
    assert!(matches!(error, RelayError::Config(ConfigError::Together { option: "listen", .. })), "{error}");
    assert!(!folder.path().join("data").exists(), "nothing was made");
    config.allow_plain = true;
    Relay::start(config).unwrap().stop();
}
