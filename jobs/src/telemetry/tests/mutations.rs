//! Files with random bytes changed, cut, doubled or inserted: no panic, no hang, and the account balances. The generator
//! is seeded, so a failure repeats.

use super::*;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes
                .splice(at..at, b"\"\n,\0\xff{}".iter().copied())
                .for_each(drop),
            3 => bytes.extend_from_within(at..end),
            4 if at < bytes.len() => bytes[at] = b"\"\n{},\x00\xff\x7f"[random.below(8)],
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

fn hold(name: &str, original: &[u8], rounds: usize) {
    hold_with(name, original, rounds, &options());
}

fn hold_with(name: &str, original: &[u8], rounds: usize, options: &ReadOptions) {
    let mut random = Random(original.len() as u64);
    let options = ReadOptions {
        batch_rows: 64,
        max_line_bytes: 4096,
        ..options.clone()
    };
    for round in 0..rounds {
        let bytes = mutated(original, &mut random);
        let started = std::time::Instant::now();
        let seen = read_as(name, &bytes, &options);
        assert!(started.elapsed().as_secs() < 30, "{name} round {round}");
        drop(seen);
    }
}

fn rounds(base: usize) -> usize {
    // More under `cargo test --release`, and more still when asked.
    let factor = std::env::var("GLEANER_MUTATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    base * factor
}

fn lines() -> Vec<String> {
    (0..200)
        .map(|index| format!("echo \"{index}\", {:x}\nnext", index * 2_654_435_761_u64))
        .collect()
}

fn json() -> Vec<u8> {
    lines()
        .iter()
        .map(|line| native(line))
        .collect::<String>()
        .into_bytes()
}

fn csv() -> Vec<u8> {
    let rows = lines()
        .into_iter()
        .map(|line| format!("{DAY}T12:00:00Z,\"{}\",h\n", line.replace('"', "\"\"")));
    format!("event_time,command_line,host\n{}", rows.collect::<String>()).into_bytes()
}

#[test]
fn mutated_json_lines_balance() {
    hold("a.json", &json(), rounds(300));
}

#[test]
fn mutated_csv_balances() {
    hold("a.csv", &csv(), rounds(300));
}

#[test]
fn mutated_gzip_balances() {
    hold("a.json.gz", &archives::gzip(&json()), rounds(300));
}

#[test]
fn mutated_zstd_balances() {
    hold("a.csv.zst", &archives::zstd(&csv()), rounds(300));
}

#[test]
fn mutated_parquet_balances() {
    let lines = lines();
    let borrowed: Vec<_> = lines.iter().map(String::as_str).collect();
    hold("a.parquet", &parquet::native_file(&borrowed), rounds(300));
}

#[test]
fn mutated_logs_and_documents_of_requests_balance() {
    let options = super::requests::on("2023-07-19T21:17:28Z");
    let line = |i| {
        format!(
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET /{i}?q=\\x22 HTTP/1.1\" 200 {i} \"-\" \"curl\"\n"
        )
    };
    let log: String = (0..100).map(line).collect();
    hold_with("access.log", log.as_bytes(), rounds(300), &options);
    let records = super::requests::CLOUDTRAIL.repeat(20).join(",\n");
    let document = format!("{{\"Records\":[{records}]}}");
    hold_with("a.json", document.as_bytes(), rounds(300), &options);
}
