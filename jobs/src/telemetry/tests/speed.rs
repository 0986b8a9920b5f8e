//! Rates, on demand: `cargo test --release -- --ignored --nocapture rates`.

use std::time::Instant;

use super::*;

fn sysmon_like(index: u64) -> String {
    format!(
        concat!(
            "{{\"event_time\":\"2025-01-01T12:{:02}:{:02}.123Z\",\"host\":\"host-{}\",\"user\":\"CORP\\\\user-{}\",",
            "\"image\":\"C:\\\\Windows\\\\System32\\\\svchost.exe\",\"command_line\":\"C:\\\\Windows\\\\System32\\\\svchost.exe ",
            "-k netsvcs -p -s Schedule {:x}\",\"parent_image\":\"C:\\\\Windows\\\\System32\\\\services.exe\",",
            "\"parent_command_line\":\"C:\\\\Windows\\\\system32\\\\services.exe\",\"integrity_level\":\"System\",",
            "\"os\":\"windows\",\"pid\":{},\"process_guid\":\"{{{:032x}}}\"}}\n"
        ),
        index % 60,
        index % 59,
        index % 1000,
        index % 700,
        index,
        index % 65536,
        index
    )
}

#[expect(clippy::cast_precision_loss, reason = "a rate to print")]
fn rate(name: &str, bytes: &Bytes, rows: f64) {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        let account = read_bytes(name, bytes, &options(), &mut |_| Ok(())).unwrap();
        best = best.min(started.elapsed().as_secs_f64());
        assert_eq!(account.quarantined, 0);
    }
    eprintln!(
        "{name}: {:.0} rows/s, {:.0} MB/s",
        rows / best,
        bytes.len() as f64 / best / 1e6
    );
}

#[test]
#[ignore = "a measurement"]
fn rates() {
    let rows = 400_000;
    let json: String = (0..rows).map(sysmon_like).collect();
    let count = 400_000.0;
    rate("native.json", &Bytes::from(json.clone()), count);
    rate(
        "native.json.gz",
        &Bytes::from(archives::gzip(json.as_bytes())),
        count,
    );
    rate(
        "native.json.zst",
        &Bytes::from(archives::zstd(json.as_bytes())),
        count,
    );
    let mut csv =
        "event_time,host,user,image,command_line,parent_image,parent_command_line\n".to_owned();
    for index in 0..rows {
        let row = format!(
            "2025-01-01T12:00:00.{:03}Z,host-{},u,C:\\Windows\\svchost.exe,\"svchost -k \"\"netsvcs\"\", {index:x}\",p,pc\n",
            index % 1000,
            index % 1000,
        );
        csv.push_str(&row);
    }
    rate("native.csv", &Bytes::from(csv), count);
    let ecs: Vec<String> = (0..rows)
        .map(|index| {
            let record = serde_json::json!({"@timestamp": "2025-01-01T12:00:00.5Z", "event": {"category": ["process"],
                "type": ["start"]}, "host": {"name": "pc-1", "os": {"type": "linux"}}, "user": {"name": "eve"},
                "process": {"command_line": format!("git log -{index}"), "executable": "/usr/bin/git",
                "parent": {"command_line": "zsh", "executable": "/bin/zsh"}}});
            record.to_string()
        })
        .collect();
    rate("ecs.json", &Bytes::from(ecs.join("\n")), count);
    let lines: Vec<String> = (0..rows)
        .map(|index| format!("svchost -k netsvcs -p -s Schedule {index:x}"))
        .collect();
    let borrowed: Vec<_> = lines.iter().map(String::as_str).collect();
    rate(
        "native.parquet",
        &Bytes::from(parquet::native_file(&borrowed)),
        count,
    );
}
