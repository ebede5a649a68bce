//! `simulate`: plays seeds, repeats one, makes one short, or measures.

use clap::Parser;
use simulator::machine::Role;
use simulator::{Scenario, Size, World, many, run, shrink};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Plays whole systems on virtual time, one seed after another, and says which fail.
///
/// A seed that fails is made short and printed as the line that repeats it.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    seeds: u64,
    /// Play long stories: 1,500 edits and 120 faults each, instead of 70 and 30.
    #[arg(long)]
    large: bool,
    /// How many at once; as many as there are cores if left out.
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Play only these steps of the seed, as a line that repeats a failure names them; `none` for no step at all.
    #[arg(long, value_name = "STEPS")]
    keep: Option<String>,
    /// Tell what happened.
    #[arg(long)]
    story: bool,
    /// Do not make failing stories short.
    #[arg(long)]
    no_shrink: bool,
    /// Measure instead: this many edits on four devices and a relay, in fair weather, on one core.
    #[arg(long, value_name = "EDITS")]
    rate: Option<usize>,
}

/// How long a story is made shorter.
const SHRINKING: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(edits) = arguments.rate {
        return rate(edits, arguments.seed);
    }
    let size = if arguments.large { Size::large() } else { Size::quick() };
    if arguments.keep.is_some() || arguments.story {
        return repeat(&arguments, size);
    }
    let begun = Instant::now();
    let (mut done, mut failed, mut events, mut edits, mut claims) = (0u64, Vec::new(), 0, 0, 0);
    let threads = arguments.threads.unwrap_or_else(many::cores);
    many::play(arguments.seed..arguments.seed + arguments.seeds, size, threads, |seed, outcome| {
        done += 1;
        events += outcome.counts.events;
        edits += outcome.counts.edits + outcome.counts.harm;
        claims += outcome.claims;
        if let Some(fault) = outcome.fault {
            println!("seed {seed} fails: {fault}");
            failed.push(seed);
        }
        if done % 50 == 0 {
            println!("{done:>8} seeds, {:>6.1} s, {} failed", begun.elapsed().as_secs_f64(), failed.len());
        }
        true
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{done} seeds in {seconds:.1} s: {} events ({:.0} a second), {edits} edits, {claims} claims checked, {} failed",
        events,
        events as f64 / seconds,
        failed.len()
    );
    for seed in &failed {
        let scenario = Scenario::new(*seed, size);
        let whole = scenario.steps.len();
        let short = if arguments.no_shrink { scenario } else { shrink::shrink(&scenario, SHRINKING) };
        let large = if arguments.large { " --large" } else { "" };
        println!(
            "repeat with: cargo run --release -p fieldbook-simulator -- {}{large} --story",
            shrink::repeats(&short, whole)
        );
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn repeat(arguments: &Arguments, size: Size) -> ExitCode {
    let mut scenario = Scenario::new(arguments.seed, size);
    if let Some(keep) = &arguments.keep {
        let numbers: Vec<usize> = keep.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        scenario = scenario.keeping(&numbers);
    }
    let outcome = run(scenario);
    if arguments.story {
        outcome.story.iter().for_each(|line| println!("{line}"));
    }
    println!("{:?}, healed in {} s", outcome.counts, outcome.healed_in / 1_000_000);
    match outcome.fault {
        Some(fault) => {
            println!("seed {} fails: {fault}", arguments.seed);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn rate(edits: usize, seed: u64) -> ExitCode {
    let mut world = match World::new(Scenario::new(seed, Size::calm(edits))) {
        Ok(world) => world,
        Err(error) => {
            println!("the world does not begin: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let (begun, worked) = (Instant::now(), on_core());
    simulator::play(&mut world);
    let elapsed = begun.elapsed();
    // Where others use the machine too, only the time on the core says what it costs.
    let seconds = on_core().zip(worked).map_or(elapsed, |(now, before)| now - before).as_secs_f64();
    let saved = world.counts.edits as f64;
    println!(
        "{saved} edits, each signed and merged on {} devices and kept by a relay, {} sessions, in {seconds:.2} s of one core \
         ({:.2} s by the clock): {:.0} edits a minute, {:.0} events a second",
        world.machines.iter().filter(|machine| machine.role == Role::Device).count(),
        world.counts.sessions,
        elapsed.as_secs_f64(),
        saved * 60.0 / seconds,
        world.counts.events as f64 / seconds
    );
    println!("{} of them were written beside another one of the same record", simulator::calm::written_apart(&world));
    let begun = Instant::now();
    let fault = simulator::fault_of(&mut world);
    println!("compared with the naive model in {:.2} s by the clock", begun.elapsed().as_secs_f64());
    match fault {
        Some(fault) => {
            println!("and yet: {fault}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// How long this thread has been on a core, where the system says so.
fn on_core() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
