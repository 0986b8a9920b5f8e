//! Reads two kinds of JSON lines with serde_json: events of telemetry, which hold integers, and vectors as an endpoint of embeddings answers them. Median
//! microseconds a line of nine rounds.

use std::hint::black_box;
use std::time::Instant;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn main() -> Result<(), serde_json::Error> {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let events: Vec<String> = (0..50_000)
        .map(|n| {
            format!(
                r#"{{"event_time":{},"host":"host{}","user":"user{}","pid":{},"image":"C:\\Windows\\System32\\cmd.exe","command_line":"cmd.exe /c copy report{n}.txt D:\\backup"}}"#,
                1_700_000_000_000_u64 + n,
                random(&mut state) % 900,
                random(&mut state) % 300,
                random(&mut state) % 65_536
            )
        })
        .collect();
    let vectors: Vec<String> = (0..1_000)
        .map(|_| {
            let component = |_| {
                let unit = random(&mut state) as f64 / u64::MAX as f64;
                format!("{}", (unit - 0.5) as f32 / 10.0)
            };
            let components: Vec<String> = (0..384).map(component).collect();
            format!(r#"{{"embedding":[{}]}}"#, components.join(","))
        })
        .collect();
    for (name, lines) in [("event", events), ("vector of 384", vectors)] {
        let mut rounds = vec![];
        for _ in 0..9 {
            let started = Instant::now();
            for line in &lines {
                black_box(serde_json::from_str::<serde_json::Value>(line)?);
            }
            rounds.push(started.elapsed().as_secs_f64() * 1e6 / lines.len() as f64);
        }
        rounds.sort_by(f64::total_cmp);
        println!("{name}: {:.3} us a line (least {:.3})", rounds[4], rounds[0]);
    }
    Ok(())
}
