//! `gleaner.toml`, the container file and the manifests: what they name exists in the programs, and real validators take them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use gleaner::config::{self, Key, Program, keys, with_text};
use serde_norway::Value;

use crate::observe::python;
use crate::support::{Dir, program};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn commands() -> [(Program, clap::Command); 3] {
    [
        (Program::Gleaner, gleaner::cli::Cli::command()),
        (Program::Scheduler, gleaner_scheduler::Args::command()),
        (Program::Executor, gleaner_executor::Args::command()),
    ]
}

fn all_keys() -> Vec<Key> {
    let programs = commands();
    programs
        .iter()
        .flat_map(|(program, command)| keys(command, *program))
        .collect()
}

/// Every program takes the file.
fn accepted(name: &str, text: &str) {
    for (program, command) in commands() {
        let taken = with_text(command, program, name, text);
        assert!(taken.is_ok(), "{program:?}: {}", taken.unwrap_err());
    }
}

/// A key of the annotated file: `key = value`, or `#key = value` where there is no default.
struct Entry {
    active: bool,
    value: String,
    explained: bool,
}

fn entries(text: &str) -> BTreeMap<(String, String), Entry> {
    let (mut section, mut explained) = (String::new(), false);
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut section);
        }
        let active = !line.starts_with('#');
        let Some((key, value)) = line
            .trim_start_matches('#')
            .split_once(" = ")
            .filter(|_| !line.starts_with("# "))
        else {
            explained = line.starts_with("# ");
            continue;
        };
        let entry = Entry {
            active,
            value: value.to_owned(),
            explained,
        };
        let twice = found.insert((section.clone(), key.to_owned()), entry);
        assert!(twice.is_none(), "[{section}] {key} is there twice");
        explained = false;
    }
    found
}

#[test]
fn the_annotated_file_explains_every_key_of_every_section_and_parses_to_the_built_in_defaults() {
    let text = include_str!("../../../deploy/gleaner.toml");
    let entries = entries(text);
    let mut wanted = BTreeSet::new();
    let mut missing = String::new();
    for key in all_keys() {
        let place = (key.section.to_owned(), key.name.clone());
        let Some(entry) = entries.get(&place) else {
            // What to add, for whoever has added a flag.
            let help = key.help.replace('\n', " ");
            writeln!(
                missing,
                "[{}]\n# {help}\n{}{} = {}",
                key.section,
                if key.default.is_empty() { "#" } else { "" },
                key.name,
                toml::Value::from(key.default.join(","))
            )
            .unwrap();
            continue;
        };
        assert!(
            entry.explained,
            "[{}] {}: no comment right above it",
            key.section, key.name
        );
        assert_eq!(
            entry.active,
            !key.default.is_empty(),
            "[{}] {} has a default if, and only if, it is not commented out",
            key.section,
            key.name
        );
        if entry.active {
            let table: toml::Table = format!("value = {}", entry.value).parse().unwrap();
            let value = match &table["value"] {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            // 2.0 and 2 are one number.
            let same =
                |a: &str, b: &str| a == b || a.parse::<f64>().is_ok_and(|a| b.parse() == Ok(a));
            assert!(
                same(&value, &key.default.join(",")),
                "[{}] {} = {value}: the default is {:?}",
                key.section,
                key.name,
                key.default
            );
        }
        wanted.insert(place);
    }
    assert!(missing.is_empty(), "deploy/gleaner.toml lacks\n{missing}");
    let surplus: Vec<_> = entries
        .keys()
        .filter(|place| !wanted.contains(*place))
        .collect();
    assert!(
        surplus.is_empty(),
        "deploy/gleaner.toml names what is no key: {surplus:?}"
    );
    accepted("deploy/gleaner.toml", text);
    // The examples of keys without a default are of the right type too.
    let uncommented = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    };
    let whole = text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    accepted("deploy/gleaner.toml, uncommented", &whole);
}

#[test]
fn a_program_takes_the_file_then_the_environment_then_flags() {
    let dir = Dir::new();
    let file = dir.write(
        "gleaner.toml",
        format!("[gleaner]\nwarehouse = '{}'\n", dir.join("of-file")),
    );
    // Every warehouse is missing, and the error names the one that was looked for.
    let said = |args: &[&str], env: &[(&str, &str)], here: bool| {
        let mut command = program("gleaner");
        command.arg("--").args(args).envs(env.iter().copied());
        if here {
            command.current_dir(dir.path());
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let named = ["status", "--config", &file];
    assert!(said(&named, &[], false).contains("of-file"));
    assert!(said(&["status"], &[("GLEANER_CONFIG", &file)], false).contains("of-file"));
    assert!(said(&["status"], &[], true).contains("of-file"));
    assert!(
        said(&named, &[("GLEANER_WAREHOUSE", "of-environment")], false).contains("of-environment")
    );
    let flags = [&named[..], &["--warehouse", "of-flag"]].concat();
    assert!(said(&flags, &[("GLEANER_WAREHOUSE", "of-environment")], false).contains("of-flag"));
    // An empty name: no file, though one lies here.
    assert!(said(&["status"], &[("GLEANER_CONFIG", "")], true).contains("--warehouse"));
    assert!(said(&["status", "--config", "nowhere.toml"], &[], false).contains("nowhere.toml"));
    let wrong = dir.write(
        "wrong.toml",
        "[run]\nqota = '1%'\n[executor]\nslots = 'many'\n",
    );
    let error = said(&["status", "--config", &wrong], &[], false);
    assert!(
        error.contains("[run] qota") && error.contains("did you mean quota?"),
        "{error}"
    );
    // Each program looks at its own sections.
    let output = program("executor")
        .args(["--config", &wrong])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("[executor] slots") && output.status.code() == Some(2),
        "{error}"
    );
}

/// Runs a tool beside `GLEANER_PYTHON`; it must be content.
fn tool(interpreter: &std::ffi::OsStr, name: &str, args: &[&str]) -> String {
    let tool = Path::new(interpreter).with_file_name(name);
    let output = Command::new(tool)
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {out}\n{err}");
    out
}

#[test]
fn the_container_file_pleases_hadolint_and_names_what_exists() {
    let text = std::fs::read_to_string(root().join("deploy/Containerfile")).unwrap();
    let bases: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    for base in &bases {
        let tag = base
            .split(' ')
            .next()
            .unwrap()
            .split_once(':')
            .map(|(_, tag)| tag);
        assert!(
            tag.is_some_and(
                |tag| tag.starts_with(|c: char| c.is_ascii_digit()) || tag.contains("-20")
            ),
            "{base}: no pinned tag"
        );
    }
    assert!(text.contains("\nUSER 65532:65532\n"));
    let declared = include_str!("../../../Cargo.toml");
    assert!(
        bases[0].contains("rust:1.95") && declared.contains("rust-version = \"1.95\""),
        "the toolchain of the image and of Cargo.toml differ"
    );
    for name in ["gleaner", "gleaner-scheduler", "gleaner-executor"] {
        assert!(text.contains(&format!("target/release/{name}")), "{name}");
    }
    if let Some(interpreter) = python("hadolint", "kubernetes_validate") {
        tool(&interpreter, "hadolint", &["deploy/Containerfile"]);
    }
}

/// The objects of a file of manifests.
fn objects(text: &str) -> Vec<Value> {
    let documents = serde_norway::Deserializer::from_str(text);
    let values = documents.map(|document| serde::Deserialize::deserialize(document).unwrap());
    values.filter(|value: &Value| !value.is_null()).collect()
}

fn text_of<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).as_str().unwrap_or_default()
}

fn at<'v>(value: &'v Value, path: &[&str]) -> &'v Value {
    path.iter()
        .fold(value, |value, key| match key.parse::<usize>() {
            Ok(index) => &value[index],
            Err(_) => &value[*key],
        })
}

fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path).as_sequence().map_or(&[], Vec::as_slice)
}

#[test]
fn manifests_are_valid_and_name_ports_flags_variables_and_secrets_that_exist() {
    let Some(interpreter) = python("Kubernetes manifests", "kubernetes_validate") else {
        return;
    };
    let dir = Dir::new();
    let secrets = objects(include_str!(
        "../../../deploy/kubernetes/secrets.example.yaml"
    ));
    let secrets: BTreeSet<&str> = secrets
        .iter()
        .map(|secret| text_of(secret, &["metadata", "name"]))
        .collect();
    tool(
        &interpreter,
        "kubernetes-validate",
        &["--strict", "deploy/kubernetes/secrets.example.yaml"],
    );
    for (overlay, pods) in [("cluster", 3), ("single", 1)] {
        let text = tool(
            &interpreter,
            "kubectl",
            &[
                "kustomize",
                &format!("deploy/kubernetes/overlays/{overlay}"),
            ],
        );
        let file = dir.write(&format!("{overlay}.yaml"), &text);
        tool(
            &interpreter,
            "kubernetes-validate",
            &["--strict", "--quiet", &file],
        );
        let objects = objects(&text);
        let of_kind = |kind: &str| {
            objects
                .iter()
                .filter(|object| object["kind"] == kind)
                .collect::<Vec<_>>()
        };
        let config = text_of(of_kind("ConfigMap")[0], &["data", "gleaner.toml"]);
        accepted(&format!("gleaner.toml of {overlay}"), config);
        let config: toml::Table = config.parse().unwrap();
        let mut ports_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let workloads: Vec<&Value> = [of_kind("Deployment"), of_kind("StatefulSet")].concat();
        assert_eq!(workloads.len(), pods, "{overlay}");
        let accounts = of_kind("ServiceAccount");
        for workload in workloads {
            let (label, names) = workload_is_sound(workload, &config, &accounts, &secrets);
            ports_of.insert(label, names);
        }
        let everywhere: BTreeSet<String> = ports_of.values().flatten().cloned().collect();
        for service in of_kind("Service") {
            let selected = text_of(service, &["spec", "selector", "app.kubernetes.io/name"]);
            let target = text_of(service, &["spec", "ports", "0", "targetPort"]);
            assert!(
                ports_of[selected].contains(target),
                "{overlay}: service of {selected}: {target}"
            );
        }
        for policy in of_kind("NetworkPolicy") {
            let selected = text_of(
                policy,
                &[
                    "spec",
                    "podSelector",
                    "matchLabels",
                    "app.kubernetes.io/name",
                ],
            );
            let there = ports_of.get(selected).unwrap_or(&everywhere);
            for rule in list(policy, &["spec", "ingress"]) {
                assert!(
                    !list(rule, &["from"]).is_empty(),
                    "{overlay}: a rule lets everybody in"
                );
                for port in list(rule, &["ports"]) {
                    assert!(
                        there.contains(text_of(port, &["port"])),
                        "{overlay}: policy of {selected:?}: {port:?}"
                    );
                }
            }
        }
    }
}

/// Looks at one workload; returns its label, and its ports by name and number.
fn workload_is_sound(
    workload: &Value,
    config: &toml::Table,
    accounts: &[&Value],
    secrets: &BTreeSet<&str>,
) -> (String, BTreeSet<String>) {
    let pod = &workload["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let name = text_of(container, &["name"]);
    assert_eq!(
        at(pod, &["securityContext", "runAsNonRoot"]),
        &Value::Bool(true),
        "{name}"
    );
    assert_eq!(
        at(container, &["securityContext", "readOnlyRootFilesystem"]),
        &Value::Bool(true),
        "{name}"
    );
    assert!(
        !text_of(container, &["image"]).ends_with(":latest")
            && text_of(container, &["image"]).contains(':'),
        "{name}"
    );
    runs(name, container);
    ports(name, container, config);
    assert!(
        accounts
            .iter()
            .any(|account| account["metadata"]["name"] == pod["serviceAccountName"]),
        "{name}"
    );
    for volume in list(pod, &["volumes"]) {
        let secret = text_of(volume, &["secret", "secretName"]);
        assert!(
            secret.is_empty() || secrets.contains(secret),
            "{name}: no example of {secret}"
        );
    }
    for source in list(container, &["envFrom"]) {
        let secret = text_of(source, &["secretRef", "name"]);
        assert!(secrets.contains(secret), "{name}: no example of {secret}");
    }
    let labels = text_of(
        workload,
        &[
            "spec",
            "template",
            "metadata",
            "labels",
            "app.kubernetes.io/name",
        ],
    );
    let names = list(container, &["ports"]).iter().flat_map(|port| {
        [
            text_of(port, &["name"]).to_owned(),
            port["containerPort"].as_u64().unwrap().to_string(),
        ]
    });
    (labels.to_owned(), names.collect())
}

/// What a container runs exists: the program, its flags, the variables that it is given.
fn runs(name: &str, container: &Value) {
    let command = text_of(container, &["command", "0"]);
    let program = match command.rsplit('/').next().unwrap() {
        "" => "gleaner",
        program => program,
    };
    let args: Vec<&str> = list(container, &["args"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let flags = match program {
        "gleaner" => gleaner::cli::Cli::command()
            .find_subcommand(args[0])
            .unwrap()
            .clone(),
        "gleaner-scheduler" => gleaner_scheduler::Args::command(),
        "gleaner-executor" => gleaner_executor::Args::command(),
        other => panic!("{name}: no program {other}"),
    };
    let common = ["config", "log-format"];
    for flag in args.iter().filter_map(|arg| arg.strip_prefix("--")) {
        let known = flags
            .get_arguments()
            .any(|arg| arg.get_long() == Some(flag))
            || common.contains(&flag);
        assert!(known, "{name}: {program} has no --{flag}");
    }
    let variables: BTreeSet<String> = all_keys()
        .into_iter()
        .filter_map(|key| key.variable)
        .collect();
    for variable in list(container, &["env"]) {
        let variable = text_of(variable, &["name"]);
        // What the arguments refer to is Kubernetes' own.
        let referred = args
            .iter()
            .any(|arg| arg.contains(&format!("$({variable})")));
        assert!(
            referred || variables.contains(variable) || variable == config::VARIABLE,
            "{name}: nobody reads {variable}"
        );
    }
}

/// Ports of a container are those that its section of the file listens on.
fn ports(name: &str, container: &Value, config: &toml::Table) {
    let section = config[name].as_table().unwrap();
    let listens = |key: &str| {
        section.get(key).map(|at| {
            at.as_str()
                .unwrap()
                .rsplit_once(':')
                .unwrap()
                .1
                .parse::<u64>()
                .unwrap()
        })
    };
    let bound: BTreeSet<u64> = ["bind", "listen", "metrics"]
        .into_iter()
        .filter_map(listens)
        .collect();
    let declared = list(container, &["ports"])
        .iter()
        .map(|port| port["containerPort"].as_u64().unwrap());
    assert_eq!(declared.collect::<BTreeSet<_>>(), bound, "{name}");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(
            text_of(container, &[probe, "httpGet", "port"]),
            "metrics",
            "{name} {probe}"
        );
        let path = text_of(container, &[probe, "httpGet", "path"]);
        assert!(["/healthz", "/readyz"].contains(&path), "{name} {probe}");
    }
    // Certificates lie where a Secret is mounted.
    let mounts: Vec<&str> = list(container, &["volumeMounts"])
        .iter()
        .map(|mount| text_of(mount, &["mountPath"]))
        .collect();
    let paths = section
        .iter()
        .filter(|(key, _)| key.starts_with("tls-") || *key == "tokens" || *key == "work-dir");
    for (key, path) in paths {
        let path = Path::new(path.as_str().unwrap());
        assert!(
            mounts.iter().any(|mount| path.starts_with(mount)),
            "{name}: {key} is on no volume"
        );
    }
}
