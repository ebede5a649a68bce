//! `fieldbook-relay`: the relay as a program.

use clap::{Arg, ArgAction, ArgMatches, Command};
use relay::{Config, ConfigError, Logs, Relay, SETTINGS};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

const ABOUT: &str = "Keeps the workspaces of many devices, and passes on what they write";

const AFTER_HELP: &str = "\
Without a command it runs until SIGTERM or SIGINT, which let sessions end in good order. SIGHUP reads the certificate, \
its key and the log level again; everything else needs a restart. Once it listens it prints one line to standard output:

  ready ws://127.0.0.1:7171 admin 127.0.0.1:7172 key <52 characters>

Exit codes: 0 done; 1 the answer is no; 2 the command line is wrong; 3 something could not be read, opened or reached.";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some(("check-config", given)) => check_config(given),
        Some(("example-config", _)) => print(&relay::example()),
        Some(("devices", given)) => devices(given),
        Some(("backup", given)) => backup(given),
        _ => run(&matches),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "fieldbook-relay: {error}");
            ExitCode::from(3)
        }
    }
}

fn command() -> Command {
    let file = Arg::new("config").long("config").value_name("FILE").value_parser(clap::value_parser!(PathBuf));
    let mut command = Command::new("fieldbook-relay")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .max_term_width(120)
        .args_conflicts_with_subcommands(true)
        .arg(file.help("A configuration file; flags override it"));
    for setting in SETTINGS {
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {}]", default.trim_matches('"')),
        };
        let arg = Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .value_name(setting.value)
            .help(format!("{}{default}", setting.help));
        command = command.arg(match setting.value {
            // `--allow-plain` alone says yes.
            "BOOL" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            _ => arg.action(ArgAction::Set),
        });
    }
    let admin = || {
        let arg = Arg::new("admin").long("admin").value_name("ADDRESS:PORT").default_value("127.0.0.1:7172");
        arg.help("The admin address of the running relay")
    };
    let check = Arg::new("file").value_name("FILE").required(true).value_parser(clap::value_parser!(PathBuf));
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON, with whole keys");
    let to = Arg::new("to").long("to").value_name("NAME").required(true);
    command
        .subcommand(
            Command::new("check-config").about("Read a configuration file and say what is wrong with it").arg(check),
        )
        .subcommand(Command::new("example-config").about("Print a configuration file with every option explained"))
        .subcommand(
            Command::new("devices")
                .about("Show who is connected to a running relay, how far behind, stuck on what")
                .arg(admin())
                .arg(json),
        )
        .subcommand(
            Command::new("backup")
                .about("Have a running relay write a backup into its backup_folder")
                .arg(admin())
                .arg(to.help("The name of the file in that folder")),
        )
}

/// The configuration of the file, if there is one, and the flags over it.
fn configuration(matches: &ArgMatches) -> Result<Config, ConfigError> {
    let mut config = match matches.get_one::<PathBuf>("config") {
        Some(path) => Config::from_file(path)?,
        None => Config::new(PathBuf::new()),
    };
    for setting in SETTINGS {
        if let Some(text) = matches.get_one::<String>(setting.name) {
            config.set_flag(setting.name, text)?;
        }
    }
    config.check()?;
    Ok(config)
}

fn check_config(matches: &ArgMatches) -> Outcome {
    let path: &Path = matches.get_one::<PathBuf>("file").ok_or("name the file")?;
    Config::from_file(path)?.check()?;
    print(&format!("{}: this is a configuration\n", path.display()))
}

fn devices(matches: &ArgMatches) -> Outcome {
    let report = relay::ask_devices(matches.get_one::<String>("admin").ok_or("name the admin address")?)?;
    if matches.get_flag("json") { print(&format!("{report:#}\n")) } else { print(&relay::table(&report)) }
}

fn backup(matches: &ArgMatches) -> Outcome {
    let admin = matches.get_one::<String>("admin").ok_or("name the admin address")?;
    let name = matches.get_one::<String>("to").ok_or("name the backup")?;
    print(&format!("{}\n", relay::ask_backup(admin, name)?))
}

fn print(text: &str) -> Outcome {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads had enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn run(matches: &ArgMatches) -> Outcome {
    let config = configuration(matches)?;
    let logs = Logs::begin(config.log, config.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody is told that it runs, so that no signal finds it unprepared.
    let mut signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        }
    };
    let relay = Relay::start(config)?;
    let key = access::KeyText::of_key(&relay.key());
    print(&format!("ready {} admin {} key {key}\n", relay.address(), relay.admin_address()))?;
    tracing::info!(address = relay.address(), admin = %relay.admin_address(), %key, "the relay runs");
    runtime.block_on(async {
        while let Asked::Reload = signals.next().await {
            reload(&relay, &logs, matches);
        }
    });
    relay.stop();
    tracing::info!("ended in good order");
    Ok(())
}

fn reload(relay: &Relay, logs: &Logs, matches: &ArgMatches) {
    match configuration(matches) {
        Ok(config) => logs.set(config.log),
        Err(error) => tracing::error!(%error, "the configuration was not read again; the log level stays as it was"),
    }
    match relay.reload_tls() {
        Ok(()) => tracing::info!("read again: the certificate, its key, and the log level"),
        Err(error) => tracing::error!(%error, "the certificate stays as it was"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum Asked {
    Reload,
    End,
}

impl Signals {
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
