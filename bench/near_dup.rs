//! Exact search of near-duplicates: today's vectors against those of earlier days, in pieces, as a day does it; then today's
//! among themselves. Prints JSON objects. `bench/near_dup.sh` makes the vectors and runs faiss's flat index beside it.
//!
//! `cargo bench --workspace --bench near_dup -- TODAY.f32 EARLIER.f32 WIDTH COSINE THREADS`
//!
//! The files hold vectors of length 1, row-major, little-endian. The earlier ones are read piece by piece and never held.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use gleaner_udfs::vector::near_duplicates::{Candidate, Fate, Leader};
use gleaner_udfs::vector::products::Queries;

/// Earlier vectors read together.
const PIECE: usize = 8192;

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let [today, earlier, width, cosine, threads] = args.as_slice() else {
        // `cargo test --benches` runs this without arguments.
        println!("expected TODAY.f32 EARLIER.f32 WIDTH COSINE THREADS");
        return;
    };
    let (d, cosine): (usize, f32) = (width.parse().unwrap(), cosine.parse().unwrap());
    let threads: usize = threads.parse().unwrap();
    let rows = floats(&std::fs::read(today).unwrap());
    let mut file = File::open(earlier).unwrap();
    let started = Instant::now();
    let queries = Queries::new(&rows, d);
    let mut best = vec![(f32::NEG_INFINITY, 0_usize); queries.len()];
    let (mut first, mut pairs) = (0, 0_u64);
    let share = queries.len().div_ceil(threads).next_multiple_of(12);
    loop {
        let mut bytes = vec![];
        let wanted = (PIECE * d * size_of::<f32>()) as u64;
        Read::by_ref(&mut file)
            .take(wanted)
            .read_to_end(&mut bytes)
            .unwrap();
        if bytes.is_empty() {
            break;
        }
        let piece = floats(&bytes);
        let (queries, piece) = (&queries, &piece);
        pairs += std::thread::scope(|scope| {
            let workers: Vec<_> = best
                .chunks_mut(share)
                .enumerate()
                .map(|(part, best)| {
                    scope.spawn(move || {
                        let (from, mut pairs) = (part * share, 0);
                        let range = from..from + best.len();
                        queries.reaching(range, piece, cosine, &mut |q, other, product| {
                            pairs += 1;
                            let most = &mut best[q - from];
                            let place = first + other;
                            if product > most.0
                                || (product.to_bits() == most.0.to_bits() && place < most.1)
                            {
                                *most = (product, place);
                            }
                        });
                        pairs
                    })
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum::<u64>()
        });
        first += piece.len() / d;
    }
    let secs = started.elapsed().as_secs_f64();
    let covered = best.iter().filter(|b| b.0 >= cosine).count();
    let sum: usize = best.iter().filter(|b| b.0 >= cosine).map(|b| b.1).sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let gflops = 2.0 * (queries.len() * first * d) as f64 / secs / 1e9;
    println!(
        "{{\"ours\":\"exact\",\"today\":{},\"earlier\":{first},\"width\":{d},\"covered\":{covered},\"sum_of_places\":{sum},\
         \"pairs\":{pairs},\"secs\":{secs:.2},\"gflops\":{gflops:.1},\"peak_mib\":{}}}",
        queries.len(),
        peak_mib()
    );
    // The day among itself, as one guard key, on one core.
    let hashes: Vec<[u8; 8]> = (0..queries.len() as u64).map(u64::to_be_bytes).collect();
    let candidates: Vec<Candidate<'_>> = rows
        .chunks_exact(d)
        .zip(&hashes)
        .map(|(vector, hash)| Candidate {
            events: 1,
            hash,
            vector,
        })
        .collect();
    let started = Instant::now();
    let verdicts = Leader::new(&candidates, cosine).finish();
    let kept = verdicts.iter().filter(|v| v.fate == Fate::Kept).count();
    println!(
        "{{\"leader\":\"one guard key\",\"rows\":{},\"kept\":{kept},\"secs\":{:.2},\"peak_mib\":{}}}",
        queries.len(),
        started.elapsed().as_secs_f64(),
        peak_mib()
    );
}
