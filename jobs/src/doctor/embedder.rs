//! Whether an embedder can be had: found, loaded, tried, and how fast it is here.

use std::fmt::Write as _;
use std::time::Instant;

use super::{Check, Outcome};
use crate::embedding;

/// Lines it is timed on.
const LINES: usize = 256;

/// Looks at an embedder; one finding for whether it works, one for its speed.
pub async fn check(spec: &str) -> Vec<Check> {
    let found = match embedding::resolve(spec).await {
        Ok(found) => found,
        Err(error) => {
            return vec![Check {
                name: "embedder",
                outcome: Outcome::Failed,
                sentence: error.to_string(),
                hint: None,
            }];
        }
    };
    let sentence = format!(
        "{} works: vectors of {} components; lines from a cosine of {} on are near-duplicates",
        found.name, found.dimension, found.threshold
    );
    let mut checks = vec![Check::ok("embedder", sentence)];
    checks.push(Check::ok("address", found.address.clone()));
    let timed = tokio::task::spawn_blocking(move || time(&found.address)).await;
    checks.push(match timed {
        Ok(Ok(rate)) => Check::ok("speed", format!("{rate:.0} lines a second, in one thread")),
        Ok(Err(error)) => Check::failed("speed", error, "ask again: it worked a moment before"),
        Err(_) => Check::failed("speed", "the trial ended early", "please report this"),
    });
    checks
}

/// Lines a second.
fn time(address: &str) -> Result<f64, String> {
    let embedder = gleaner_udfs::embedder::load(address)?;
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // Caches and lazily made buffers are there afterwards.
    embedder.embed(&lines[..16])?;
    let started = Instant::now();
    embedder.embed(&lines)?;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    Ok(LINES as f64 / started.elapsed().as_secs_f64())
}

/// A made canonical line, of 3 to 18 words.
fn line(i: usize) -> String {
    const WORDS: [&str; 12] = [
        "--output",
        "<path>",
        "/c",
        "schtasks",
        "<num>",
        "-NoProfile",
        "query",
        "<guid>",
        "system32",
        "copy",
        "https://<host>/",
        "user",
    ];
    let mut text = "powershell.exe".to_owned();
    for n in 0..3 + i % 16 {
        let _ = write!(text, " {}", WORDS[(i * 7 + n * 5) % WORDS.len()]);
    }
    text
}
