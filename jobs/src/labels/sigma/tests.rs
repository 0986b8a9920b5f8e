use super::*;
use crate::labels::triage::{by_list, by_sigma};

const WHOAMI: &str = r"
title: Whoami
id: 11111111-0000-4000-8000-000000000001
status: test
logsource: {category: process_creation, product: windows}
detection:
  selection_image:
    - Image|endswith: '\whoami.exe'
    - OriginalFileName: 'whoami.exe'
  filter_parent:
    ParentImage|endswith: '\agent.exe'
  condition: selection_image and not filter_parent
level: medium
";
const CRITICAL: &str = r"
title: Two words
id: 11111111-0000-4000-8000-000000000002
logsource: {category: process_creation}
detection:
  words: {CommandLine|contains|all: ['alpha', 'beta']}
  condition: words
level: critical
";
const LOW: &str = r"
title: Gamma
id: 11111111-0000-4000-8000-000000000003
logsource: {category: process_creation}
detection: {word: {CommandLine|contains: gamma}, condition: word}
level: low
";

fn load(files: &[(&str, &str)]) -> Result<SigmaRules, JobError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    SigmaRules::read(&dir.path().to_string_lossy())
}

fn line(command_line: &str) -> Line {
    Line {
        hash: "h".into(),
        command_line: command_line.into(),
        ..Line::default()
    }
}

fn titles(rules: &SigmaRules, line: &Line) -> Vec<String> {
    let hits = rules.hits(std::slice::from_ref(line));
    hits[0].iter().map(|hit| hit.title.clone()).collect()
}

#[test]
fn a_rule_looks_at_every_field_by_sysmons_name_and_at_lines_of_its_system() {
    let rules = load(&[("deep/down/whoami.yml", WHOAMI)]).unwrap();
    let mut it = line("whoami /all");
    assert!(titles(&rules, &it).is_empty());
    it.original_file_name = Some("WHOAMI.EXE".into());
    assert_eq!(titles(&rules, &it), ["Whoami"]);
    it.original_file_name = None;
    it.image = Some(r"C:\Windows\System32\whoami.exe".into());
    assert_eq!(titles(&rules, &it), ["Whoami"]);
    it.os = Some("windows".into());
    assert_eq!(titles(&rules, &it), ["Whoami"]);
    it.os = Some("linux".into());
    assert!(titles(&rules, &it).is_empty());
    it.os = None;
    it.parent_image = Some(r"C:\Program Files\Agent\agent.exe".into());
    assert!(titles(&rules, &it).is_empty(), "the filter holds");
}

#[test]
fn every_field_that_is_named_reaches_the_rules() {
    let fields = FIELDS
        .iter()
        .map(|field| format!("  s{field}: {{{field}|contains: 'value of {field}'}}\n"))
        .collect::<Vec<_>>()
        .concat();
    let rule = format!(
        "title: All\nlogsource: {{category: process_creation}}\ndetection:\n{fields}  condition: all of s*\n"
    );
    let rules = load(&[("all.yaml", &rule)]).unwrap();
    let value = |field: &str| Some(format!("value of {field}"));
    let whole = Line {
        hash: "h".into(),
        command_line: value("CommandLine").unwrap(),
        os: None,
        image: value("Image"),
        parent_image: value("ParentImage"),
        parent_command_line: value("ParentCommandLine"),
        user: value("User"),
        original_file_name: value("OriginalFileName"),
        integrity_level: value("IntegrityLevel"),
    };
    assert_eq!(titles(&rules, &whole), ["All"]);
    assert_eq!(
        rules.hits(std::slice::from_ref(&whole))[0][0].name,
        "sigma:all.yaml"
    );
    assert!(!rules.summary().contains("do not come with"));
    let less = Line {
        user: None,
        ..whole
    };
    assert!(titles(&rules, &less).is_empty());
}

#[test]
fn an_encoded_line_is_looked_at_decoded() {
    use base64::Engine as _;
    let utf16: Vec<u8> = "alpha; beta"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(utf16);
    let rules = load(&[("c.yml", CRITICAL)]).unwrap();
    let hidden = line(&format!("powershell -EncodedCommand {encoded}"));
    assert_eq!(titles(&rules, &hidden), ["Two words"]);
}

#[test]
fn levels_are_verdicts_and_a_low_one_leaves_a_model_to_decide() {
    let rules = load(&[("c.yml", CRITICAL), ("l.yml", LOW)]).unwrap();
    let said = |text: &str| {
        let line = line(text);
        let hits = rules.hits(std::slice::from_ref(&line)).remove(0);
        (by_sigma(&line, &hits), hits)
    };
    let (critical, hits) = said("gamma alpha beta");
    let critical = critical.unwrap();
    assert_eq!(
        (critical.verdict, critical.labeller),
        ("malicious", "sigma")
    );
    assert_eq!(
        critical.rules,
        [
            "sigma:11111111-0000-4000-8000-000000000002",
            "sigma:11111111-0000-4000-8000-000000000003"
        ]
    );
    assert!(critical.reason.contains("Two words") && hits[0].vetoes && !hits[1].vetoes);
    let (low, _) = said("gamma");
    assert_eq!(low.unwrap().verdict, "uncertain");
    assert_eq!(said("delta").0, None);
    // Beside a built-in rule the worse verdict holds, and both are named.
    let (both, _) = said("vssadmin delete shadows /all & gamma");
    let both = both.unwrap();
    assert_eq!((both.verdict, both.labeller), ("malicious", "rules"));
    assert!(both.rules.iter().any(|r| r.starts_with("sigma:")) && both.rules.len() >= 2);
}

#[test]
fn before_a_model_a_hit_decides_and_a_low_one_goes_along_by_name() {
    use crate::labels::lists::Lists;
    use crate::labels::triage::{Triage, triage};
    let rules = load(&[("c.yml", CRITICAL), ("l.yml", LOW)]).unwrap();
    let key = gleaner_udfs::text::redact::PseudonymKey::new([1; 32]);
    let looked_at = |text: &str| {
        let line = line(text);
        let hits = rules.hits(std::slice::from_ref(&line)).remove(0);
        triage(&line, &Lists::default(), &hits, &key)
    };
    let Triage::Done(decision) = looked_at("tool.exe alpha beta") else {
        panic!("a model would be asked");
    };
    assert_eq!((decision.verdict, decision.cost_usd), ("malicious", 0.0));
    let Triage::Ask(item) = looked_at("tool.exe gamma") else {
        panic!("a low hit decided");
    };
    assert_eq!(item.rules, ["sigma:11111111-0000-4000-8000-000000000003"]);
}

#[tokio::test]
async fn an_allow_list_does_not_outweigh_a_hit() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lists.csv");
    std::fs::write(
        &file,
        "list,pattern,owner,reason,expires\nallow,ours *,ann,ours,2030-01-01\n",
    )
    .unwrap();
    let day = chrono::NaiveDate::from_ymd_opt(2025, 1, 1).unwrap();
    let lists = crate::labels::lists::Lists::read(&file.to_string_lossy(), day)
        .await
        .unwrap();
    let rules = load(&[("c.yml", CRITICAL)]).unwrap();
    let (bad, good) = (line("ours alpha beta"), line("ours alpha"));
    let hits = rules.hits(&[bad.clone(), good.clone()]);
    assert_eq!(by_list(&bad, &lists, &hits[0]), None);
    assert_eq!(
        by_list(&good, &lists, &hits[1]).map(|d| d.labeller),
        Some("allow-list")
    );
}

#[test]
fn what_cannot_be_used_is_refused_by_its_file_and_says_why() {
    let rule = |detection: &str| {
        format!("title: T\nlogsource: {{category: process_creation}}\ndetection: {detection}\n")
    };
    let cases = [
        ("broken.yml", "title: [".to_owned(), "YAML"),
        ("plain.yml", "title: T\n".to_owned(), "logsource"),
        (
            "regex.yml",
            rule("{s: {CommandLine|re: '(?=x)'}, condition: s}"),
            "regular expression",
        ),
        (
            "flags.yml",
            rule("{s: {CommandLine|re|i: x}, condition: s}"),
            "modifier",
        ),
        (
            "expand.yml",
            rule("{s: {CommandLine|expand: '%x%'}, condition: s}"),
            "modifier",
        ),
        (
            "count.yml",
            rule("{s: {CommandLine: x}, condition: s | count() > 5}"),
            "condition",
        ),
        (
            "typo.yml",
            rule("{s: {CommandLine: x}, condition: s and not all of filter_*}"),
            "filter_*",
        ),
        (
            "name.yml",
            rule("{s: {CommandLine: x}, condition: other}"),
            "other",
        ),
        (
            "level.yml",
            rule("{s: {CommandLine: x}, condition: s}") + "level: severe\n",
            "severe",
        ),
        (
            "old.yml",
            "action: global\ntitle: T\n".to_owned(),
            "collection",
        ),
    ];
    for (name, text, why) in &cases {
        let said = load(&[("good.yml", CRITICAL), (name, text)])
            .err()
            .unwrap_or_else(|| panic!("{name} was taken"))
            .to_string();
        assert!(
            said.contains(name) && said.contains(why) && said.contains("move them elsewhere"),
            "{name}: {said}"
        );
        assert!(!said.contains("good.yml"), "{said}");
    }
    let nothing = load(&[("readme.txt", "x")]).err().unwrap().to_string();
    assert!(nothing.contains("process_creation"), "{nothing}");
    let twice = load(&[("a.yml", CRITICAL), ("b.yml", CRITICAL)])
        .err()
        .unwrap();
    assert!(twice.to_string().contains("two rules"), "{twice}");
}

#[test]
fn what_is_left_out_is_counted_and_fields_that_lines_lack_are_named() {
    let other = "title: N\nlogsource: {category: network_connection}\ndetection: {s: {X|re|i: x}, condition: s}\n";
    let old = CRITICAL.replace("title: Two", "status: deprecated\ntitle: Two");
    let correlation = "title: C\ncorrelation: {type: event_count}\n";
    let hashes = "title: H\nlogsource: {category: process_creation}\ndetection: {s: {Hashes|contains: abc}, condition: s}\n";
    let both = format!("{LOW}---\n{hashes}");
    let rules = load(&[
        ("n.yml", other),
        ("o.yml", &old),
        ("c.yml", correlation),
        ("b.yml", &both),
    ])
    .unwrap();
    assert_eq!(rules.len(), 2);
    let said = rules.summary();
    assert!(
        said.contains("2 rules")
            && said.contains("3 of other")
            && said.contains("Hashes 1")
            && said.contains("1 of them at no other"),
        "{said}"
    );
}

#[test]
fn the_fingerprint_is_of_the_content_and_a_long_line_is_never_benign() {
    let first = load(&[("c.yml", CRITICAL)]).unwrap();
    let again = load(&[("c.yml", CRITICAL)]).unwrap();
    let other = load(&[("c.yml", &CRITICAL.replace("beta", "delta"))]).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_ne!(first.fingerprint(), other.fingerprint());
    let long = line(&"x".repeat(MAX_BYTES + 1));
    let hits = first.hits(std::slice::from_ref(&long)).remove(0);
    assert!(hits.len() == 1 && hits[0].vetoes);
    let padded = line(&format!("alpha {} beta", "é".repeat(MAX_BYTES)));
    assert_eq!(titles(&first, &padded).len(), 2);
    assert!(first.hits(&[line(&"x".repeat(MAX_BYTES))])[0].is_empty());
}
