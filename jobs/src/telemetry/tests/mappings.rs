use serde_json::{Value, json};

use super::*;

fn read_records(records: &[Value]) -> Seen {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let text = lines.join("\n");
    read("a.json", text)
}

fn expect(seen: &Seen, columns: &[(&str, &str)]) {
    for (column, value) in columns {
        assert_eq!(
            seen.column(column).first().map(String::as_str),
            Some(*value),
            "{column} {:?}",
            seen.bad()
        );
    }
}

/// The same record with every nested key dotted.
fn dotted(record: &Value) -> Value {
    fn walk(path: &str, value: &Value, into: &mut serde_json::Map<String, Value>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(&path, value, into);
                }
            }
            other => drop(into.insert(path.to_owned(), other.clone())),
        }
    }
    let mut flat = serde_json::Map::new();
    walk("", record, &mut flat);
    Value::Object(flat)
}

#[test]
fn native_records_are_read_under_their_names_and_common_spellings() {
    let seen = read_records(&[
        json!({"event_time": "2025-01-01T12:00:00Z", "command_line": "cmd /c dir", "host": "h", "user": "u", "os": "Windows 11",
            "image": "C:\\Windows\\cmd.exe", "parent_image": "p", "parent_command_line": "pc", "integrity_level": "High",
            "user_sid": "S-1-5-18", "original_file_name": "Cmd.Exe", "signed": true, "signer_trusted": "false", "more": [1]}),
        json!({"timestamp": 1_735_732_800, "cmdline": "ls", "hostname": "h2", "username": "u2", "image_path": "/bin/ls"}),
    ]);
    assert_eq!(seen.account.schema, Some(SchemaKind::Native));
    expect(
        &seen,
        &[
            ("command_line", "cmd /c dir"),
            ("host", "h"),
            ("user", "u"),
            ("os", "windows"),
            ("image", "C:\\Windows\\cmd.exe"),
            ("parent_image", "p"),
            ("parent_command_line", "pc"),
            ("integrity_level", "High"),
            ("user_sid", "S-1-5-18"),
            ("original_file_name", "Cmd.Exe"),
            ("signed", "true"),
            ("signer_trusted", "false"),
        ],
    );
    assert_eq!(
        (
            seen.column("host")[1].as_str(),
            seen.column("os")[1].as_str()
        ),
        ("h2", "linux")
    );
    assert_eq!(seen.column("signed")[1], "∅");
}

fn ocsf() -> Value {
    json!({"class_uid": 1007, "activity_id": 1, "time": 1_735_732_800_123_i64,
        "device": {"hostname": "pc-1", "os": {"type_id": 100}},
        "actor": {"process": {"cmd_line": "explorer", "file": {"path": "C:\\Windows\\explorer.exe"}},
                  "user": {"name": "eve", "uid": "S-1-5-21-1", "domain": "CORP"}},
        "process": {"cmd_line": "cmd.exe /c whoami", "file": {"path": "C:\\Windows\\System32\\cmd.exe",
            "signature": {"state_id": 1}}, "integrity": "High"}})
}

#[test]
fn ocsf_launches_are_read_with_the_actor_as_parent() {
    let mut other_class = ocsf();
    other_class["class_uid"] = json!(1001);
    let mut ended = ocsf();
    ended["activity_id"] = json!(2);
    let mut with_parent = ocsf();
    with_parent["process"]["parent_process"] =
        json!({"cmd_line": "powershell", "file": {"path": "C:\\ps.exe"}});
    for shape in [|record: Value| record, |record: Value| dotted(&record)] {
        let records = [
            ocsf(),
            other_class.clone(),
            ended.clone(),
            with_parent.clone(),
        ]
        .map(shape);
        let seen = read_records(&records);
        assert_eq!(seen.account.schema, Some(SchemaKind::Ocsf));
        expect(
            &seen,
            &[
                ("command_line", "cmd.exe /c whoami"),
                ("host", "pc-1"),
                ("user", "CORP\\eve"),
                ("user_sid", "S-1-5-21-1"),
                ("os", "windows"),
                ("image", "C:\\Windows\\System32\\cmd.exe"),
                ("parent_image", "C:\\Windows\\explorer.exe"),
                ("parent_command_line", "explorer"),
                ("integrity_level", "High"),
                ("signed", "true"),
                ("signer_trusted", "true"),
            ],
        );
        assert_eq!(seen.micros()[0], 1_735_732_800_123_000);
        assert_eq!(seen.column("parent_command_line")[1], "powershell");
        let details: Vec<_> = seen.bad().iter().map(|bad| bad.detail.clone()).collect();
        assert_eq!(details, ["class_uid 1001", "activity_id 2"]);
    }
}

fn ecs() -> Value {
    json!({"@timestamp": "2025-01-01T12:00:00.5Z", "event": {"category": ["process"], "type": ["start"]},
        "host": {"name": "pc-1", "os": {"family": "darwin"}}, "user": {"name": "eve", "id": "501"},
        "process": {"command_line": "/usr/bin/git status", "executable": "/usr/bin/git",
            "parent": {"command_line": "zsh", "executable": "/bin/zsh"}, "pe": {"original_file_name": "git"},
            "code_signature": {"exists": true, "trusted": false}, "Ext": {"token": {"integrity_level_name": "medium"}}}})
}

#[test]
fn ecs_process_starts_are_read_nested_and_dotted_alike() {
    let mut ended = ecs();
    ended["event"]["type"] = json!(["end"]);
    let mut network = ecs();
    network["event"]["category"] = json!("network");
    let mut arguments = ecs();
    arguments["process"]["command_line"] = Value::Null;
    arguments["process"]["args"] = json!(["git", "log", "-1"]);
    for shape in [|record: Value| record, |record: Value| dotted(&record)] {
        let seen =
            read_records(&[ecs(), ended.clone(), network.clone(), arguments.clone()].map(shape));
        assert_eq!(seen.account.schema, Some(SchemaKind::Ecs));
        expect(
            &seen,
            &[
                ("command_line", "/usr/bin/git status"),
                ("host", "pc-1"),
                ("user", "eve"),
                ("user_sid", "501"),
                ("os", "macos"),
                ("image", "/usr/bin/git"),
                ("parent_image", "/bin/zsh"),
                ("parent_command_line", "zsh"),
                ("integrity_level", "medium"),
                ("original_file_name", "git"),
                ("signed", "true"),
                ("signer_trusted", "false"),
            ],
        );
        assert_eq!(seen.lines()[1], "git log -1");
        let details: Vec<_> = seen.bad().iter().map(|bad| bad.detail.clone()).collect();
        assert_eq!(details, ["event.type end", "event.category network"]);
    }
}

fn sysmon() -> Value {
    json!({"@timestamp": "2025-01-02T00:00:01Z", "winlog": {"event_id": 1, "provider_name": "Microsoft-Windows-Sysmon",
        "computer_name": "pc-1.corp", "event_data": {"UtcTime": "2025-01-01 23:59:59.123", "CommandLine": "cmd /c whoami",
        "Image": "C:\\Windows\\cmd.exe", "ParentImage": "C:\\Windows\\explorer.exe", "ParentCommandLine": "explorer",
        "User": "CORP\\eve", "IntegrityLevel": "High", "OriginalFileName": "-"}}})
}

fn security() -> Value {
    json!({"@timestamp": "2025-01-01T12:00:00Z", "host": {"name": "pc-2"}, "winlog": {"event_id": "4688",
        "channel": "Security", "event_data": {"NewProcessName": "C:\\Windows\\whoami.exe", "CommandLine": "whoami /all",
        "ParentProcessName": "C:\\Windows\\cmd.exe", "SubjectUserName": "eve", "SubjectDomainName": "CORP",
        "SubjectUserSid": "S-1-5-21-9", "MandatoryLabel": "S-1-16-12288", "TokenElevationType": "%%1936"}}})
}

#[test]
fn one_windows_event_file_mixes_sysmon_1_and_security_4688_by_event_id() {
    let mut logon = security();
    logon["winlog"]["event_id"] = json!(4624);
    let mut clock = sysmon();
    clock["winlog"]["provider_name"] = json!("Microsoft-Windows-Kernel-General");
    clock["winlog"]["event_data"]["UtcTime"] = json!("2025-01-01 10:00:00");
    for shape in [|record: Value| record, |record: Value| dotted(&record)] {
        let seen = read_records(
            &[
                sysmon(),
                logon.clone(),
                security(),
                clock.clone(),
                logon.clone(),
            ]
            .map(shape),
        );
        expect(
            &seen,
            &[
                ("command_line", "cmd /c whoami"),
                ("host", "pc-1.corp"),
                ("user", "CORP\\eve"),
                ("os", "windows"),
                ("image", "C:\\Windows\\cmd.exe"),
                ("parent_image", "C:\\Windows\\explorer.exe"),
                ("parent_command_line", "explorer"),
                ("integrity_level", "High"),
                ("original_file_name", "∅"),
            ],
        );
        let second = |column: &str| seen.column(column)[1].clone();
        assert_eq!(second("command_line"), "whoami /all");
        assert_eq!(second("user"), "CORP\\eve");
        assert_eq!(second("user_sid"), "S-1-5-21-9");
        assert_eq!(second("integrity_level"), "High");
        assert_eq!(second("parent_image"), "C:\\Windows\\cmd.exe");
        assert_eq!(second("host"), "pc-2");
        let bad: Vec<_> = seen
            .bad()
            .iter()
            .map(|bad| (bad.detail.clone(), bad.rows))
            .collect();
        assert_eq!(
            bad,
            [
                ("event_id 4624".to_owned(), 2),
                ("event_id 1".to_owned(), 1)
            ]
        );
    }
}

#[test]
fn nxlogs_flat_windows_events_are_read() {
    let seen = read_records(&[
        json!({"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Hostname": "pc",
        "UtcTime": "2025-01-01 10:00:00.000", "CommandLine": "a", "Image": "C:\\a.exe", "User": "NT AUTHORITY\\SYSTEM"}),
    ]);
    assert_eq!(seen.account.schema, Some(SchemaKind::Sysmon));
    expect(
        &seen,
        &[
            ("command_line", "a"),
            ("host", "pc"),
            ("user", "NT AUTHORITY\\SYSTEM"),
        ],
    );
}

#[test]
fn an_event_id_that_holds_a_command_line_is_not_repeated_in_the_detail() {
    let mut record = security();
    record["winlog"]["event_id"] = json!("secret --password=hunter2");
    let seen = read_records(&[record]);
    assert_eq!(seen.bad()[0].detail, "event_id other");
}

#[test]
fn a_schema_that_is_named_is_not_guessed() {
    let text = format!(
        "{}\n",
        json!({"command_line": "ls", "@timestamp": "2025-01-01T00:00:00Z", "winlog": {"event_id": 1}})
    );
    assert_eq!(read("a.json", &text).account.kept, 0);
    let named = ReadOptions {
        schema: Some(SchemaKind::Native),
        ..options()
    };
    assert_eq!(read_as("a.json", text.as_bytes(), &named).lines(), ["ls"]);
}
