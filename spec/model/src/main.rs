//! Checks every scenario and prints a table; a counterexample comes with its trace and a failure.

use access_model::catalogue;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut good = true;
    println!("{:56} {:>9} {:>10} {:>8}  verdict", "scenario", "states", "arrivals", "time");
    for (name, arrivals) in catalogue::ours(true) {
        let found = arrivals.check();
        let verdict = if found.broken.is_empty() { "every wish kept" } else { "BROKEN" };
        let seconds = found.took.as_secs_f64();
        println!("{name:56} {:>9} {:>10} {seconds:>6.1} s  {verdict}", found.states, found.arrivals);
        for (wish, trace) in found.broken {
            good = false;
            println!("  broken: {wish}\n{trace}");
        }
    }
    println!("\nother rules, and what they break");
    for (name, arrivals, wish) in catalogue::others() {
        match arrivals.breaks(wish) {
            Some(trace) => println!("{name}: {wish}\n{trace}"),
            None => {
                good = false;
                println!("{name}: NOT FOUND to break: {wish}\n");
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
