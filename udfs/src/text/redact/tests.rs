use super::*;
use crate::rng::SplitMix64;
use crate::text::decode::decode;

#[path = "seeds.rs"]
mod seeds;

const KEY: PseudonymKey = PseudonymKey::new([7; 32]);

fn text(line: &str) -> String {
    redact(line, &decode(line).texts, &[], &KEY).unwrap().text
}

/// Secrets of each kind; `GLEANER_SEEDS` makes more of them.
fn rounds() -> usize {
    let asked = std::env::var("GLEANER_SEEDS").ok();
    24 * asked.and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn no_seeded_secret_survives() {
    let mut rng = SplitMix64::new(2026);
    let seeded = seeds::seeded(rounds(), &mut |n| rng.below(n));
    assert!(seeded.len() >= 1000 && seeds::kinds() >= 40);
    let mut failures = vec![];
    for seeds::Seeded { kind, secret, line } in &seeded {
        // Refused is safe too: the line is not sent at all.
        let Ok(out) = redact(line, &decode(line).texts, &[], &KEY) else {
            continue;
        };
        let sent = out
            .decoded
            .iter()
            .fold(out.text.clone(), |all, t| all + "\n" + t);
        let piece = secret.len().min(10);
        let leaks = (0..=secret.len() - piece)
            .filter(|at| secret.is_char_boundary(*at) && secret.is_char_boundary(at + piece))
            .any(|at| {
                // A prefix and a PEM header are no secret.
                let part = &secret[at..at + piece];
                sent.contains(part)
                    && !"https://hooks.slack.com/services/ https://discord.com/api/webhooks/"
                        .contains(part)
            });
        if leaks {
            failures.push(format!("{kind}: {line} -> {sent}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        seeded.len(),
        failures.join("\n")
    );
}

#[test]
fn few_seeded_lines_are_refused() {
    let mut rng = SplitMix64::new(7);
    let seeded = seeds::seeded(24, &mut |n| rng.below(n));
    let refused = seeded
        .iter()
        .filter(|s| redact(&s.line, &decode(&s.line).texts, &[], &KEY).is_err())
        .count();
    assert!(refused * 50 < seeded.len(), "{refused} of {}", seeded.len());
}

#[test]
fn type_and_length_stay() {
    assert_eq!(
        text("tool --password hunter2xyz run"),
        "tool --password <secret:password:10> run"
    );
    let key = format!("AKIA{}", "IOSFODNN7QRSTUVW");
    assert_eq!(text(&format!("x {key} y")), "x <secret:aws_key:20> y");
}

#[test]
fn references_and_switches_are_no_secrets() {
    for line in [
        "tool --password $PW run",
        "tool --password-file /etc/pw run",
        "set PASSWORD=%PW%",
        "docker run -p 8080:80 nginx",
        "mkdir -p /var/tmp/x",
        "ssh -p 2222 host uptime",
        "find / -name mysql -print",
        "net user bob /delete",
        "docker run -v \"$PWD\":/usr/src/app -w /usr/src/app node npm test",
        "gpg --no-symkey-cache --pinentry-mode loopback -d f",
        "$cred = Get-Credential; Enter-PSSession -Credential $cred",
        "git commit -m \"rotate token handling\"",
        "kubectl get secrets -n kube-system",
        "C:\\Windows\\System32\\DllHost.exe /Processid:{E10F6C3A-F1AE-4ADC-AA9D-2FE65525666E}",
    ] {
        assert_eq!(text(line), line);
    }
}

#[test]
fn a_secret_is_cut_wherever_it_occurs_again() {
    let out = text(
        "sshpass -p Tr0ub4dor&3x ssh h 'echo Tr0ub4dor'; net user bob Zx9!kk2Lm /add; echo Zx9!kk2Lm",
    );
    assert!(!out.contains("Zx9!kk2Lm"), "{out}");
}

#[test]
fn what_a_line_decodes_to_is_redacted_too() {
    use base64::Engine as _;
    let inner = "net use \\\\10.0.0.9\\c$ /user:bob Sup3rSecret!1";
    let wide: Vec<u8> = inner.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let line = format!(
        "powershell -enc {}",
        base64::engine::general_purpose::STANDARD.encode(wide)
    );
    let decoded = decode(&line);
    let out = redact(&line, &decoded.texts, &[], &KEY).unwrap();
    assert!(
        !out.decoded.is_empty() && out.decoded.iter().all(|t| !t.contains("Sup3r")),
        "{out:?}"
    );
}

#[test]
fn users_and_internal_hosts_become_pseudonyms_that_keep_equality() {
    let a = text(r"copy C:\Users\jdoe\a.txt \\FILESRV07\share\jdoe.txt");
    let b = text(r"dir C:\Users\JDoe\ & ping build7.corp.local");
    assert!(
        !a.contains("jdoe\\") && !a.contains("FILESRV07") && !b.contains("build7"),
        "{a} {b}"
    );
    let user = |t: &str| t.split("<user:").nth(1).unwrap()[..8].to_owned();
    assert_eq!(user(&a), user(&b));
    let other = redact(r"dir C:\Users\jdoe\", &[], &[], &PseudonymKey::new([8; 32])).unwrap();
    assert_ne!(user(&a), user(&other.text));
    let known = redact("runbook jdoe now", &[], &["CORP\\jdoe"], &KEY).unwrap();
    assert!(!known.text.contains("jdoe"), "{known:?}");
    assert_eq!(text(r"dir C:\Users\Public\"), r"dir C:\Users\Public\");
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let line = "x ".repeat(MAX_BYTES);
    assert_eq!(redact(&line, &[], &[], &KEY), Err(Refusal::TooLong));
}

#[test]
fn redaction_of_hostile_text_ends_and_does_not_panic() {
    for seed in [
        "password=",
        "://:@",
        "-p",
        "\"'`",
        "\\\\",
        "<secret:",
        "é=:@/",
        "AKIA",
        "Bearer ",
        "-----BEGIN PRIVATE KEY",
        "\u{130}:\\users\\",
    ] {
        let line = seed.repeat(MAX_BYTES / 2 / seed.len());
        let started = std::time::Instant::now();
        let _ = redact(&line, &[], &["é", "ab"], &KEY);
        assert!(started.elapsed().as_secs() < 5, "{seed}");
    }
}
