//! Makes faults happen where the product says it can be hurt ([`gleaner::faults`]), and counts that they did.
//!
//! `GLEANER_FAULT="POINT[:TEXT][@N]=ACTION"`: at the N-th time (the first) that this process reaches the point with TEXT in
//! what it is about. `ACTION` is `kill`, `stop` (SIGSTOP) or `sleep:MILLISECONDS`. `GLEANER_FAULT_FIRED=PATH`: firings
//! leave the files `PATH.0`, `PATH.1`, …, at most `GLEANER_FAULT_TIMES` (1) of them over all processes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Fault {
    point: String,
    text: String,
    nth: usize,
    action: String,
    fired: String,
    times: usize,
}

static FAULT: OnceLock<Fault> = OnceLock::new();
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Installs the fault that the environment names, if it names one.
pub(crate) fn install() {
    let Ok(text) = std::env::var("GLEANER_FAULT") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (place, action) = text.split_once('=').unwrap_or((&text, "kill"));
    let (place, nth) = place.split_once('@').unwrap_or((place, "1"));
    let (point, what) = place.split_once(':').unwrap_or((place, ""));
    let fault = Fault {
        point: point.to_owned(),
        text: what.to_owned(),
        nth: nth.parse().unwrap_or(1),
        action: action.to_owned(),
        fired: variable("GLEANER_FAULT_FIRED"),
        times: variable("GLEANER_FAULT_TIMES").parse().unwrap_or(1),
    };
    if FAULT.set(fault).is_ok() {
        gleaner::faults::install(reached);
    }
}

fn reached(point: &str, what: &str) {
    let Some(fault) = FAULT.get() else { return };
    if point != fault.point || !what.contains(&fault.text) {
        return;
    }
    if REACHED.fetch_add(1, Ordering::SeqCst) + 1 != fault.nth || !claim(fault, what) {
        return;
    }
    let me = std::process::id().to_string();
    let signal = |name: &str| {
        let _ = Command::new("kill").args([name, &me]).status();
        // Not a step further.
        std::thread::sleep(Duration::from_secs(1));
    };
    match fault.action.split_once(':') {
        Some(("sleep", millis)) => {
            std::thread::sleep(Duration::from_millis(millis.parse().unwrap_or(1000)));
        }
        None if fault.action == "stop" => signal("-STOP"),
        _ => signal("-KILL"),
    }
}

/// Takes one of the firings that are left.
fn claim(fault: &Fault, what: &str) -> bool {
    (0..fault.times).any(|n| {
        let mark = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(format!("{}.{n}", fault.fired));
        mark.is_ok_and(|mut file| {
            writeln!(file, "{} {} {what}", std::process::id(), fault.point).is_ok()
        })
    })
}
