//! How many texts a second an embedder does in one thread:
//! `cargo bench --workspace --bench embed -- MODEL_DIR TEXTS`, a text a line. `bench/embed.py` is ONNX Runtime's own Python
//! on the same model and texts.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;
use std::time::Instant;

use gleaner_embed::{Endpoints, Process, Reader, install, resolve};

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [model, texts] = args.as_slice() else {
        println!("MODEL_DIR TEXTS");
        return;
    };
    let reader: Reader = Arc::new(|url| {
        let path = url::Url::parse(url).unwrap().to_file_path().unwrap();
        Ok(std::fs::read(path).ok())
    });
    let process = Process {
        reader,
        endpoints: Endpoints::Any,
    };
    install(process.clone());
    let started = Instant::now();
    let resolved = resolve(&model.parse().unwrap(), &process).unwrap();
    println!("loaded in {:.2} s", started.elapsed().as_secs_f64());
    let embedder = gleaner_udfs::embedder::load(&resolved.address).unwrap();
    let text = std::fs::read_to_string(texts).unwrap();
    let texts: Vec<&str> = text.lines().collect();
    embedder.embed(&texts[..texts.len().min(64)]).unwrap();
    for _ in 0..3 {
        let (started, cpu) = (Instant::now(), cpu_secs());
        // As the SQL function hands them over.
        for block in texts.chunks(1024) {
            embedder.embed(block).unwrap();
        }
        let (secs, cpu) = (started.elapsed().as_secs_f64(), cpu_secs() - cpu);
        #[expect(clippy::cast_precision_loss, reason = "a count of texts")]
        let rate = texts.len() as f64 / cpu;
        println!(
            "{} texts in {secs:.2} s, {cpu:.2} s of CPU: {rate:.1} a CPU-second",
            texts.len()
        );
    }
}

/// CPU seconds of this process so far, as Linux counts them, in hundredths.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|n| n.parse::<f64>().unwrap())
        .sum();
    ticks / 100.0
}
