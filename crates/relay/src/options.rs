//! The options of a relay, each with its unit, its default, and what goes wrong at either end: one table, from which come
//! the flags, the configuration file, and the example of it.

/// One option.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// Its name in the configuration file; as a flag with dashes.
    pub name: &'static str,
    /// What its value is, for the help.
    pub value: &'static str,
    /// Its default as the file writes it; empty for none.
    pub default: &'static str,
    /// What to write in an example where there is no default.
    pub example: &'static str,
    /// What it does, its unit, and what goes wrong at either end.
    pub help: &'static str,
}

const fn setting(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    example: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default, example, help }
}

/// Every option, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting(
        "data",
        "FOLDER",
        "",
        "\"/var/lib/fieldbook-relay\"",
        "Where the store lies, in one file relay.redb; made if it is not there. Needed. Only one process can have it open. \
         On a network file system locks and syncs may lie: use a disk of this machine.",
    ),
    setting(
        "listen",
        "ADDRESS:PORT",
        "\"127.0.0.1:7171\"",
        "",
        "Where devices connect. Port 0 lets the system choose one. Beyond this machine (0.0.0.0, [::]) it needs TLS, or \
         allow_plain.",
    ),
    setting(
        "allow_plain",
        "BOOL",
        "false",
        "",
        "Whether to listen beyond this machine without TLS, as behind a proxy that adds it. What is sent is signed in any \
         case, but without TLS everybody on the way can read it.",
    ),
    setting(
        "tls_certificate",
        "FILE",
        "",
        "\"/etc/fieldbook/fullchain.pem\"",
        "The certificate and those that lead to its authority, PEM. SIGHUP reads it again; sessions go on. A file without \
         the intermediate ones makes phones refuse the relay while browsers accept it.",
    ),
    setting(
        "tls_key",
        "FILE",
        "",
        "\"/etc/fieldbook/privkey.pem\"",
        "The certificate's private key, PEM. Readable by this process, and by nobody else.",
    ),
    setting(
        "admin",
        "ADDRESS:PORT",
        "\"127.0.0.1:7172\"",
        "",
        "Where /healthz, /metrics, /devices and /backup are served, over plain HTTP and to whoever asks. Port 0 lets the \
         system choose one.",
    ),
    setting(
        "allow_open_admin",
        "BOOL",
        "false",
        "",
        "Whether the admin address may be beyond this machine. It shows names and keys of devices and makes backups without \
         asking who asks: only in a network that is closed itself.",
    ),
    setting(
        "tier",
        "relay|core",
        "\"relay\"",
        "",
        "What its receipts say it is: relay, near the devices; core, at the centre and with backups. An app that waits for \
         core is told so by this word, so say it only of a machine that is backed up.",
    ),
    setting(
        "workspaces",
        "KEY,KEY…",
        "",
        "[\"0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjg\"]",
        "The workspaces that are kept, each by its 52 characters. Without it every one that somebody brings is kept: on a \
         public address anybody may fill the disk. An empty list keeps none.",
    ),
    setting(
        "relays",
        "KEY,KEY…",
        "[]",
        "",
        "The keys of other relays that may call this one and read and bring everything, each 52 characters. Whoever is not \
         listed counts as a device and needs a grant. A key too many reads everything.",
    ),
    setting(
        "sessions_max",
        "COUNT",
        "4096",
        "",
        "The most sessions at once; each costs about 30 KiB. Whoever comes beyond is asked to come back. Too low: devices \
         wait in turns; too high: memory, and file descriptors (see ulimit -n).",
    ),
    setting(
        "connections_max",
        "COUNT",
        "8192",
        "",
        "The most connections at once, those in their handshakes included; beyond it they are closed without a word, which \
         costs nothing. Less than sessions_max and nobody is ever asked politely.",
    ),
    setting(
        "workspace_bytes_max",
        "BYTES",
        "",
        "\"20 GiB\"",
        "The most bytes of pages for each workspace; none for no limit. Beyond it pushes wait, reading goes on, and devices \
         keep what they have. Too low: devices fill up; none: one workspace can take the whole disk.",
    ),
    setting(
        "device_bytes_per_minute",
        "BYTES",
        "",
        "\"32 MiB\"",
        "The most bytes that one device may push in a minute; none for no limit. Beyond it the device waits for the rest of \
         the minute. Below 4 MiB the outbox of a week offline takes long; none: one device can keep all others waiting.",
    ),
    setting(
        "free_disk_min",
        "BYTES",
        "\"256 MiB\"",
        "",
        "Below so many free bytes nothing more is taken, /healthz fails, and reading goes on. 0 runs until the disk is \
         full: then a backup or the logs of other programs fail first. More than the disk has: nothing is ever taken.",
    ),
    setting(
        "cache_bytes",
        "BYTES",
        "\"4 MiB\"",
        "",
        "Memory for the store's pages; the system's own cache comes on top. Below 1 MiB commits slow down; more than the \
         active workspaces take does nothing.",
    ),
    setting(
        "recent_bytes",
        "BYTES",
        "\"4 MiB\"",
        "",
        "Memory for pages that many are about to read, held once for all of them. 0: each is read and checked again for \
         every reader; more than a few seconds of traffic does nothing.",
    ),
    setting(
        "window_bytes",
        "BYTES",
        "\"512 KiB\"",
        "",
        "How much one device may have on its way to the relay before it is acknowledged. While it is taken it costs about ten \
         times that in memory, for each device that pushes. 64 KiB is the least: first uploads over slow lines take long; \
         above 4 MiB a few devices that come back after a week need all memory.",
    ),
    setting(
        "workers",
        "COUNT",
        "0",
        "",
        "Threads that check signatures and read the logs; 0 for one for each core, at most four. One: a large push delays \
         everybody; more than cores: slower.",
    ),
    setting(
        "io_threads",
        "COUNT",
        "0",
        "",
        "Threads that move bytes; 0 for one for each core, at most two. One serves thousands of devices; more than cores: \
         slower.",
    ),
    setting(
        "handshake_seconds",
        "SECONDS",
        "10",
        "",
        "How long TLS and the websocket's upgrade may take together. Below 3 devices on slow lines never get in; above a \
         minute idle strangers hold connections.",
    ),
    setting(
        "drain_seconds",
        "SECONDS",
        "10",
        "",
        "How long sessions may take to end in good order at SIGTERM. 0 cuts them, which loses nothing but makes devices send \
         again what was not acknowledged; longer than the supervisor waits (systemd: 90) and it kills.",
    ),
    setting(
        "backup_folder",
        "FOLDER",
        "",
        "\"/var/backups/fieldbook\"",
        "Where POST /backup writes; without it there are no backups that way. On the store's own disk a backup protects \
         from mistakes only.",
    ),
    setting(
        "log",
        "error|warn|info|debug|trace",
        "\"info\"",
        "",
        "How much is logged, to standard error; SIGHUP reads it again. info has a line for each session; debug one for each \
         delivery, which a busy disk feels. Contents of change sets are never logged.",
    ),
    setting(
        "log_format",
        "text|json",
        "\"text\"",
        "",
        "How log lines are written: for people, or one JSON object each.",
    ),
];

/// An example of a configuration file: every option with its help and its default. The file `fieldbook-relay.example.toml`
/// is this.
pub fn example() -> String {
    let mut text = String::from(
        "# An example of a configuration of fieldbook-relay, with every option at its default. Copy it, take the # from\n\
         # what you change, and check it with `fieldbook-relay check-config FILE`. Sizes are bytes, or \"64 KiB\", \"1 GiB\".\n",
    );
    for setting in SETTINGS {
        text.push('\n');
        let mut line = String::from("#");
        for word in setting.help.split_whitespace() {
            if line.chars().count() + word.chars().count() > 110 {
                text.push_str(&line);
                text.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
        match (setting.default, setting.name) {
            // What must be said is said.
            ("", "data") => text.push_str(&format!("{} = {}\n", setting.name, setting.example)),
            ("", _) => text.push_str(&format!("# Default: none.\n# {} = {}\n", setting.name, setting.example)),
            (default, _) => text.push_str(&format!("{} = {default}\n", setting.name)),
        }
    }
    text
}
