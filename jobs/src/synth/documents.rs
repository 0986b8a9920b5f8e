//! A row as each source really writes it: JSON documents, and CSV.
//!
//! Fields that a reader maps are all there, and some that it has to pass over.

use super::generate::Event;
use super::json::{Json, rfc3339, root};
use super::prng::{hash_bytes, mix};
use super::render::decimal;

/// The columns of `csv`.
pub(super) const CSV_HEADER: &str = "event_time,host,user,os,image,command_line,parent_image,parent_command_line,\
integrity_level,user_sid,original_file_name,signed,signer_trusted,pid,parent_pid\n";

fn file_name(image: &str) -> &str {
    image.rsplit(['\\', '/']).next().unwrap_or(image)
}

fn folder(image: &str) -> &str {
    image
        .rsplit_once(['\\', '/'])
        .map_or("", |(folder, _)| folder)
}

fn user(event: &Event) -> String {
    let mut user = String::with_capacity(48);
    event.write_user(&mut user);
    user
}

/// `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}` of a host and process, as Sysmon names processes.
fn process_guid(host: &str, pid: i64, time: i64, out: &mut String) {
    let word = mix(hash_bytes(host.as_bytes()) ^ pid.cast_unsigned()) ^ time.cast_unsigned();
    let digits = b"0123456789ABCDEF";
    let mut words = [hash_bytes(host.as_bytes()), word];
    for i in 0..32 {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        let word = &mut words[i / 16];
        out.push(char::from(digits[usize::from(word.to_le_bytes()[0] & 15)]));
        *word >>= 4;
    }
}

/// Gleaner's own names; the time in RFC 3339.
pub(super) fn native(event: &Event, out: &mut String) {
    let mut time = String::with_capacity(32);
    rfc3339(event.time_us, 6, &mut time);
    root(out, |o| {
        o.text("event_time", &time);
        o.text("host", &event.host);
        o.text("user", &user(event));
        o.text("os", event.os);
        o.text("image", &event.image);
        o.text("command_line", &event.command_line);
        o.text("parent_image", &event.parent_image);
        if event.parent_line_known {
            o.text("parent_command_line", &event.parent_command_line);
        }
        o.known("integrity_level", event.integrity_level.unwrap_or(""));
        o.known("user_sid", &event.user_sid);
        o.known("original_file_name", &event.original_file_name);
        for (key, value) in [
            ("signed", event.signed),
            ("signer_trusted", event.signer_trusted),
        ] {
            if let Some(value) = value {
                o.raw(key, if value { "true" } else { "false" });
            }
        }
        o.number("pid", event.pid);
        o.number("parent_pid", event.parent_pid);
    });
}

/// OCSF 1.1 Process Activity (class 1007), activity Launch.
pub(super) fn ocsf(event: &Event, out: &mut String) {
    let (os_type, os_id) = super::ocsf::os(event.os);
    root(out, |o| {
        o.raw("activity_id", "1");
        o.raw("activity_name", "\"Launch\"");
        o.raw("category_name", "\"System Activity\"");
        o.raw("category_uid", "1");
        o.raw("class_name", "\"Process Activity\"");
        o.raw("class_uid", "1007");
        o.raw("type_uid", "100701");
        o.raw("severity_id", "1");
        o.number("time", event.time_us / 1_000);
        o.raw("metadata", r#"{"version":"1.1.0","product":{"name":"Endpoint Sensor","vendor_name":"Example"},"profiles":["host"]}"#);
        o.object("device", |d| {
            d.text("hostname", &event.host);
            d.raw("type_id", "0");
            d.object("os", |s| {
                s.text("name", os_type);
                s.text("type", os_type);
                s.number("type_id", os_id);
            });
        });
        o.object("actor", |a| {
            a.object("user", |u| user_object(event, u));
            a.object("process", |p| parent_object(event, p));
        });
        o.object("process", |p| {
            p.number("pid", event.pid);
            p.text("name", file_name(&event.image));
            p.text("cmd_line", &event.command_line);
            p.known("integrity", event.integrity_level.unwrap_or(""));
            p.object("file", |f| {
                f.text("path", &event.image);
                f.text("name", file_name(&event.image));
                f.text("parent_folder", folder(&event.image));
                f.raw("type_id", "1");
                f.known("internal_name", &event.original_file_name);
                if event.signed == Some(true) {
                    f.raw(
                        "signature",
                        if event.signer_trusted == Some(true) {
                            r#"{"state_id":1}"#
                        } else {
                            r#"{"state_id":5}"#
                        },
                    );
                }
            });
            p.object("user", |u| user_object(event, u));
            p.object("parent_process", |q| parent_object(event, q));
        });
    });
}

fn user_object(event: &Event, o: &mut Json<'_>) {
    o.text("name", &event.login);
    o.known("domain", &event.domain);
    o.known("uid", &event.user_sid);
}

fn parent_object(event: &Event, o: &mut Json<'_>) {
    o.number("pid", event.parent_pid);
    if event.parent_line_known {
        o.text("cmd_line", &event.parent_command_line);
    }
    o.object("file", |f| {
        f.text("path", &event.parent_image);
        f.text("name", file_name(&event.parent_image));
        f.raw("type_id", "1");
    });
}

/// An Elastic Defend document.
pub(super) fn ecs(event: &Event, out: &mut String) {
    let mut time = String::with_capacity(32);
    rfc3339(event.time_us, 3, &mut time);
    let code_signature = |p: &mut Json<'_>| {
        if let Some(signed) = event.signed {
            let trusted = event.signer_trusted == Some(true);
            p.object("code_signature", |c| {
                c.raw("exists", if signed { "true" } else { "false" });
                if signed {
                    c.raw("trusted", if trusted { "true" } else { "false" });
                    c.raw(
                        "status",
                        if trusted {
                            "\"trusted\""
                        } else {
                            "\"errorUntrustedRoot\""
                        },
                    );
                }
            });
        }
    };
    root(out, |o| {
        o.text("@timestamp", &time);
        o.raw("ecs", r#"{"version":"8.11.0"}"#);
        o.raw("agent", r#"{"type":"endpoint","version":"8.17.0"}"#);
        o.raw(
            "data_stream",
            r#"{"dataset":"endpoint.events.process","namespace":"default","type":"logs"}"#,
        );
        o.raw(
            "event",
            r#"{"action":"start","category":["process"],"dataset":"endpoint.events.process","kind":"event","module":"endpoint","type":["start"]}"#,
        );
        o.object("host", |h| {
            h.text("hostname", &event.host);
            h.text("name", &event.host.to_lowercase());
            h.object("os", |s| {
                s.text("type", event.os);
                s.text("platform", event.os);
            });
        });
        o.object("user", |u| {
            u.text("name", &event.login);
            u.known("domain", &event.domain);
            u.known("id", &event.user_sid);
        });
        o.object("process", |p| {
            p.number("pid", event.pid);
            p.text("name", file_name(&event.image));
            p.text("executable", &event.image);
            p.text("command_line", &event.command_line);
            code_signature(p);
            if !event.original_file_name.is_empty() {
                p.object("pe", |e| {
                    e.text("original_file_name", &event.original_file_name);
                });
            }
            if let Some(level) = event.integrity_level {
                p.object("Ext", |e| {
                    e.object("token", |t| {
                        t.text("integrity_level_name", &level.to_lowercase());
                    });
                });
            }
            p.object("parent", |q| {
                q.number("pid", event.parent_pid);
                q.text("name", file_name(&event.parent_image));
                q.text("executable", &event.parent_image);
                if event.parent_line_known {
                    q.text("command_line", &event.parent_command_line);
                }
            });
        });
    });
}

fn winlogbeat(
    event: &Event,
    out: &mut String,
    id: &str,
    channel: &str,
    provider: &str,
    data: impl FnOnce(&mut Json<'_>),
) {
    let mut time = String::with_capacity(32);
    rfc3339(event.time_us, 3, &mut time);
    root(out, |o| {
        o.text("@timestamp", &time);
        o.raw("agent", r#"{"type":"winlogbeat","version":"8.17.0"}"#);
        o.object("event", |e| {
            e.text("code", id);
            e.raw("kind", "\"event\"");
            e.text("provider", provider);
        });
        o.object("host", |h| h.text("name", &event.host));
        o.object("winlog", |w| {
            w.text("channel", channel);
            w.text("computer_name", &event.host);
            w.text("event_id", id);
            w.text("provider_name", provider);
            w.number(
                "record_id",
                (mix(event.time_us.cast_unsigned()) >> 34).cast_signed(),
            );
            w.object("event_data", data);
        });
    });
}

/// Winlogbeat, Sysmon event 1 (hosts of all systems: Sysmon exists for Linux too).
pub(super) fn sysmon(event: &Event, out: &mut String) {
    let channel = "Microsoft-Windows-Sysmon/Operational";
    winlogbeat(event, out, "1", channel, "Microsoft-Windows-Sysmon", |d| {
        let mut time = String::with_capacity(32);
        rfc3339(event.time_us, 3, &mut time);
        d.text("UtcTime", &time.replace('T', " ").replace('Z', ""));
        for (key, pid, at) in [
            ("ProcessGuid", event.pid, event.time_us),
            ("ParentProcessGuid", event.parent_pid, 0),
        ] {
            d.key(key);
            d.out.push_str("\"{");
            process_guid(&event.host, pid, at, d.out);
            d.out.push_str("}\"");
        }
        for (key, pid) in [
            ("ProcessId", event.pid),
            ("ParentProcessId", event.parent_pid),
        ] {
            d.key(key);
            d.out.push('"');
            decimal(pid.unsigned_abs(), d.out);
            d.out.push('"');
        }
        d.text("Image", &event.image);
        d.text(
            "OriginalFileName",
            if event.original_file_name.is_empty() {
                "-"
            } else {
                &event.original_file_name
            },
        );
        d.text("CommandLine", &event.command_line);
        d.text("User", &user(event));
        d.text(
            "IntegrityLevel",
            event.integrity_level.unwrap_or("no level"),
        );
        d.text("ParentImage", &event.parent_image);
        d.text(
            "ParentCommandLine",
            if event.parent_line_known {
                &event.parent_command_line
            } else {
                "-"
            },
        );
        d.text("CurrentDirectory", folder(&event.image));
    });
}

/// Winlogbeat, Security event 4688: hexadecimal process ids, integrity as a label, no parent command line.
pub(super) fn security(event: &Event, out: &mut String) {
    let level = match event.integrity_level {
        Some("System") => "S-1-16-16384",
        Some("High") => "S-1-16-12288",
        Some("Low") => "S-1-16-4096",
        Some("AppContainer") => "S-1-16-0",
        _ => "S-1-16-8192",
    };
    winlogbeat(
        event,
        out,
        "4688",
        "Security",
        "Microsoft-Windows-Security-Auditing",
        |d| {
            d.known("SubjectUserSid", &event.user_sid);
            d.text("SubjectUserName", &event.login);
            d.text(
                "SubjectDomainName",
                if event.domain.is_empty() {
                    "-"
                } else {
                    &event.domain
                },
            );
            d.raw("SubjectLogonId", "\"0x3e7\"");
            for (key, pid) in [("NewProcessId", event.pid), ("ProcessId", event.parent_pid)] {
                d.text(key, &format!("{pid:#x}"));
            }
            d.text("NewProcessName", &event.image);
            d.raw(
                "TokenElevationType",
                if event.integrity_level == Some("Medium") {
                    "\"%%1938\""
                } else {
                    "\"%%1936\""
                },
            );
            d.text("CommandLine", &event.command_line);
            d.raw("TargetUserSid", "\"S-1-0-0\"");
            d.text("ParentProcessName", &event.parent_image);
            d.text("MandatoryLabel", level);
        },
    );
}

/// A line of CSV without its newline.
pub(super) fn csv(event: &Event, out: &mut String) {
    rfc3339(event.time_us, 6, out);
    let parent_line = if event.parent_line_known {
        event.parent_command_line.as_str()
    } else {
        ""
    };
    let flag = |f: Option<bool>| f.map_or("", |f| if f { "true" } else { "false" });
    let user = user(event);
    let texts = [
        event.host.as_str(),
        &user,
        event.os,
        &event.image,
        &event.command_line,
        &event.parent_image,
        parent_line,
        event.integrity_level.unwrap_or(""),
        &event.user_sid,
        &event.original_file_name,
        flag(event.signed),
        flag(event.signer_trusted),
    ];
    for text in texts {
        out.push(',');
        if text.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(text);
        }
    }
    for pid in [event.pid, event.parent_pid] {
        out.push(',');
        decimal(pid.unsigned_abs(), out);
    }
}
