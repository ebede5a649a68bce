//! Log lines, by `tracing`, to standard error.

use crate::config::{Level, LogFormat};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// The log of this process; its level can be changed while it runs.
#[derive(Debug)]
pub struct Logs {
    level: reload::Handle<LevelFilter, Registry>,
}

impl Logs {
    /// Begins to log to standard error, for the whole process. A second call changes nothing.
    pub fn begin(level: Level, format: LogFormat) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let layer: Box<dyn Layer<_> + Send + Sync> = match format {
            LogFormat::Text => Box::new(fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false)),
            LogFormat::Json => Box::new(fmt::layer().json().with_writer(std::io::stderr).with_target(false)),
        };
        let _set_before = tracing_subscriber::registry().with(filter).with(layer).try_init();
        Self { level: handle }
    }

    /// Changes how much is logged.
    pub fn set(&self, level: Level) {
        let _gone = self.level.modify(|current| *current = filter(level));
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
