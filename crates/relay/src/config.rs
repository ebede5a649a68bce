//! The configuration of a relay: a file, flags over it, and checks of what does not go together.

use crate::options::SETTINGS;
use access::KeyText;
use changeset::{PublicKey, WorkspaceId};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sync::Tier;
use toml::de::{DeTable, DeValue};

/// How a relay runs. Every field is documented in [`crate::SETTINGS`], under its name: unit, default, and what goes wrong
/// at either end.
#[derive(Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "documented once, in SETTINGS, for the file, the flags and this")]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub allow_plain: bool,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub admin: SocketAddr,
    pub allow_open_admin: bool,
    pub tier: Tier,
    pub workspaces: Option<BTreeSet<WorkspaceId>>,
    pub relays: BTreeSet<PublicKey>,
    pub sessions_max: usize,
    pub connections_max: usize,
    pub workspace_bytes_max: Option<u64>,
    pub device_bytes_per_minute: Option<u64>,
    pub free_disk_min: u64,
    pub cache_bytes: usize,
    pub recent_bytes: usize,
    pub window_bytes: u64,
    pub workers: usize,
    pub io_threads: usize,
    pub handshake: Duration,
    pub drain: Duration,
    pub backup_folder: Option<PathBuf>,
    pub log: Level,
    pub log_format: LogFormat,
    /// The wall clock; only tests have another than the system's.
    pub clock: replica::Clock,
    /// Where each option was said, for messages about what does not go together.
    places: BTreeMap<&'static str, Place>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({} at {}, admin {})", self.data.display(), self.listen, self.admin)
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum LogFormat {
    Text,
    Json,
}

/// Where an option was said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// On the command line.
    Flag(String),
    /// By the program that embeds the relay, or nowhere.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
            Self::Default => f.write_str("the configuration"),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: the configuration could not be read: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// An option that does not exist.
    #[error("{place}: there is no option `{name}`{}", nearest.map_or_else(|| "; fieldbook-relay --help lists all".to_owned(), |name| format!("; did you mean `{name}`?")))]
    Unknown {
        /// Where.
        place: Place,
        /// Its name.
        name: String,
        /// One that is spelled nearly so.
        nearest: Option<&'static str>,
    },
    /// A value that the option cannot have.
    #[error("{place}: `{option}` cannot be {found}; write {wanted}")]
    Bad {
        /// Where.
        place: Place,
        /// Which option.
        option: &'static str,
        /// What stands there.
        found: String,
        /// What could.
        wanted: &'static str,
    },
    /// Options that do not go together.
    #[error("{place}: `{option}`: {what}")]
    Together {
        /// Where.
        place: Place,
        /// The option to change.
        option: &'static str,
        /// Why, and the cure.
        what: &'static str,
    },
}

impl Config {
    /// The defaults, with the store in this folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7171)),
            allow_plain: false,
            tls_certificate: None,
            tls_key: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 7172)),
            allow_open_admin: false,
            tier: Tier::Relay,
            workspaces: None,
            relays: BTreeSet::new(),
            sessions_max: 4096,
            connections_max: 8192,
            workspace_bytes_max: None,
            device_bytes_per_minute: None,
            free_disk_min: 256 << 20,
            cache_bytes: 4 << 20,
            recent_bytes: 4 << 20,
            window_bytes: 512 << 10,
            workers: 0,
            io_threads: 0,
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            backup_folder: None,
            log: Level::Info,
            log_format: LogFormat::Text,
            clock: replica::system_clock(),
            places: BTreeMap::new(),
        }
    }

    /// The configuration of a file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line; whether the options go together is looked at by [`Config::check`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::from_text(path, &text)
    }

    /// The configuration of a file with this text; nothing is read. The path stands in errors.
    ///
    /// # Errors
    /// [`ConfigError`], as [`Config::from_file`] gives it.
    pub fn from_text(path: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::new(PathBuf::new());
        config.read_text(path.as_ref(), text)?;
        Ok(config)
    }

    fn read_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let place = |at: usize| place_in(path, text, at);
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        for (name, value) in table.get_ref() {
            let name_place = place(name.span().start);
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name.get_ref().as_ref()) else {
                return Err(unknown(name_place, name.get_ref()));
            };
            let given = match value.get_ref() {
                DeValue::String(text) => Given::Text(text.to_string()),
                DeValue::Integer(number) if number.radix() == 10 => Given::Text(number.as_str().to_owned()),
                DeValue::Boolean(value) => Given::Text(value.to_string()),
                DeValue::Array(items) => {
                    let text = |item: &toml::Spanned<DeValue<'_>>| {
                        item.get_ref().as_str().map(str::to_owned).ok_or_else(|| place(item.span().start))
                    };
                    match items.iter().map(text).collect::<Result<_, _>>() {
                        Ok(items) => Given::List(items),
                        Err(place) => {
                            let found = "a list of anything but texts".to_owned();
                            return Err(ConfigError::Bad { place, option: setting.name, found, wanted: KEYS });
                        }
                    }
                }
                other => {
                    let found = format!("a {}", other.type_str());
                    let (place, wanted) = (place(value.span().start), "what the example file shows");
                    return Err(ConfigError::Bad { place, option: setting.name, found, wanted });
                }
            };
            self.set(setting.name, &given, place(value.span().start))?;
        }
        Ok(())
    }

    /// Sets an option as a flag does: lists are separated by commas.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], [`ConfigError::Bad`].
    pub fn set_flag(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let place = Place::Flag(name.to_owned());
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            return Err(unknown(place, name));
        };
        let given = match setting.name {
            "workspaces" | "relays" => {
                Given::List(text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect())
            }
            _ => Given::Text(text.to_owned()),
        };
        self.set(setting.name, &given, place)
    }

    fn set(&mut self, option: &'static str, given: &Given, place: Place) -> Result<(), ConfigError> {
        let result = self.put(option, given);
        if let Err(wanted) = result {
            return Err(ConfigError::Bad { place, option, found: given.to_string(), wanted });
        }
        self.places.insert(option, place);
        Ok(())
    }

    /// Puts a value where it belongs; the error says what could stand there.
    fn put(&mut self, option: &str, given: &Given) -> Result<(), &'static str> {
        match option {
            "data" => self.data = given.path()?,
            "listen" => self.listen = given.address()?,
            "allow_plain" => self.allow_plain = given.yes_or_no()?,
            "tls_certificate" => self.tls_certificate = Some(given.path()?),
            "tls_key" => self.tls_key = Some(given.path()?),
            "admin" => self.admin = given.address()?,
            "allow_open_admin" => self.allow_open_admin = given.yes_or_no()?,
            "tier" => self.tier = given.one_of("relay or core", &[("relay", Tier::Relay), ("core", Tier::Core)])?,
            "workspaces" => {
                self.workspaces = Some(given.keys()?.into_iter().map(KeyText::to_workspace).collect());
            }
            "relays" => self.relays = given.keys()?.into_iter().map(KeyText::to_key).collect(),
            "sessions_max" => self.sessions_max = given.count(1, 1_000_000, "a number from 1 to 1000000")?,
            "connections_max" => self.connections_max = given.count(1, 1_000_000, "a number from 1 to 1000000")?,
            "workspace_bytes_max" => self.workspace_bytes_max = Some(given.size()?),
            "device_bytes_per_minute" => self.device_bytes_per_minute = Some(given.size()?),
            "free_disk_min" => self.free_disk_min = given.size()?,
            "cache_bytes" => self.cache_bytes = given.small_size()?,
            "recent_bytes" => self.recent_bytes = given.small_size()?,
            "window_bytes" => self.window_bytes = given.window()?,
            "workers" => self.workers = given.count(0, 256, "a number from 0 to 256")?,
            "io_threads" => self.io_threads = given.count(0, 256, "a number from 0 to 256")?,
            "handshake_seconds" => self.handshake = given.seconds(1, 600, "a number of seconds from 1 to 600")?,
            "drain_seconds" => self.drain = given.seconds(0, 600, "a number of seconds from 0 to 600")?,
            "backup_folder" => self.backup_folder = Some(given.path()?),
            "log" => {
                const LEVELS: &[(&str, Level)] = &[
                    ("error", Level::Error),
                    ("warn", Level::Warn),
                    ("info", Level::Info),
                    ("debug", Level::Debug),
                    ("trace", Level::Trace),
                ];
                self.log = given.one_of("error, warn, info, debug or trace", LEVELS)?;
            }
            "log_format" => {
                self.log_format =
                    given.one_of("text or json", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
            }
            _ => return Err("an option that exists"),
        }
        Ok(())
    }

    /// Looks whether the options go together. [`crate::Relay::start`] does it too.
    ///
    /// # Errors
    /// [`ConfigError::Together`], with the place of the option to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        let together = |option: &'static str, what: &'static str| {
            let place = self.places.get(option).cloned().unwrap_or(Place::Default);
            Err(ConfigError::Together { place, option, what })
        };
        if self.data.as_os_str().is_empty() {
            return together("data", "is missing; name the folder where the store is to lie");
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => return together("tls_certificate", "comes with its key; add tls_key"),
            (None, Some(_)) => return together("tls_key", "comes with its certificate; add tls_certificate"),
            (None, None) if !self.listen.ip().is_loopback() && !self.allow_plain => {
                return together(
                    "listen",
                    "is reached from other machines, which needs TLS; add tls_certificate and tls_key, listen at \
                     127.0.0.1 behind a proxy, or set allow_plain if everybody on the way may read along",
                );
            }
            _ => {}
        }
        if !self.admin.ip().is_loopback() && !self.allow_open_admin {
            return together(
                "admin",
                "is reached from other machines and asks nobody who they are; use 127.0.0.1, or set allow_open_admin in \
                 a closed network",
            );
        }
        if self.listen == self.admin && self.listen.port() != 0 {
            return together("admin", "is the address of listen; give it another port");
        }
        if self.connections_max < self.sessions_max {
            return together("connections_max", "is less than sessions_max; raise it, or lower sessions_max");
        }
        Ok(())
    }

    /// Whether devices connect by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls_certificate.is_some()
    }
}

/// A value as it was given.
enum Given {
    Text(String),
    List(Vec<String>),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}`"),
            Self::List(items) => write!(f, "`{}`", items.join(", ")),
        }
    }
}

const SIZE: &str = "a number of bytes, or one with a unit: \"64 KiB\", \"256 MiB\", \"20 GiB\"";
const KEYS: &str = "a list of texts of 52 characters each, as `fieldbook status` shows them";

impl Given {
    fn text(&self, wanted: &'static str) -> Result<&str, &'static str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::List(_) => Err(wanted),
        }
    }

    fn path(&self) -> Result<PathBuf, &'static str> {
        let text = self.text("a path")?;
        if text.is_empty() { Err("a path") } else { Ok(PathBuf::from(text)) }
    }

    fn address(&self) -> Result<SocketAddr, &'static str> {
        const WANTED: &str = "an IP address and a port: \"127.0.0.1:7171\", \"0.0.0.0:443\" or \"[::]:443\"";
        self.text(WANTED)?.parse().map_err(|_| WANTED)
    }

    fn yes_or_no(&self) -> Result<bool, &'static str> {
        self.one_of("true or false", &[("true", true), ("false", false)])
    }

    fn one_of<T: Copy>(&self, wanted: &'static str, choices: &[(&str, T)]) -> Result<T, &'static str> {
        let text = self.text(wanted)?;
        choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or(wanted)
    }

    fn keys(&self) -> Result<Vec<KeyText>, &'static str> {
        match self {
            Self::Text(_) => Err(KEYS),
            Self::List(items) => items.iter().map(|item| item.parse().map_err(|_| KEYS)).collect(),
        }
    }

    fn count(&self, min: usize, max: usize, wanted: &'static str) -> Result<usize, &'static str> {
        let number: usize = self.text(wanted)?.replace('_', "").parse().map_err(|_| wanted)?;
        if (min..=max).contains(&number) { Ok(number) } else { Err(wanted) }
    }

    fn seconds(&self, min: usize, max: usize, wanted: &'static str) -> Result<Duration, &'static str> {
        Ok(Duration::from_secs(self.count(min, max, wanted)? as u64))
    }

    fn size(&self) -> Result<u64, &'static str> {
        let text = self.text(SIZE)?.replace('_', "");
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let number: u64 = digits.parse().map_err(|_| SIZE)?;
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(SIZE),
        };
        number.checked_mul(1 << shift).ok_or(SIZE)
    }

    fn window(&self) -> Result<u64, &'static str> {
        const WANTED: &str = "from 64 KiB to 64 MiB, in bytes or with a unit: \"512 KiB\"";
        let size = self.size()?;
        if (sync::limits::MIN_WINDOW_BYTES..=64 << 20).contains(&size) { Ok(size) } else { Err(WANTED) }
    }

    fn small_size(&self) -> Result<usize, &'static str> {
        const WANTED: &str = "at most 1 TiB, in bytes or with a unit: \"8 MiB\"";
        let size = self.size()?;
        if size > 1 << 40 { Err(WANTED) } else { usize::try_from(size).map_err(|_| WANTED) }
    }
}

fn unknown(place: Place, name: &str) -> ConfigError {
    let near = SETTINGS.iter().map(|setting| (distance(name, setting.name), setting.name)).min();
    let nearest = near.filter(|(distance, _)| *distance <= name.len() / 3 + 1).map(|(_, name)| name);
    ConfigError::Unknown { place, name: name.to_owned(), nearest }
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (number, letter) in from.chars().enumerate() {
        let mut next = vec![number + 1];
        for (at, (other, costs)) in to.iter().zip(row.windows(2)).enumerate() {
            let change = costs.first().map_or(0, |cost| cost + usize::from(letter != *other));
            let cost = change.min(costs.last().map_or(0, |cost| cost + 1)).min(next.get(at).map_or(0, |cost| cost + 1));
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn place_in(path: &Path, text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Place::File { path: path.to_owned(), line, column }
}
