use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "gleaner")]
struct Cli {
    #[arg(long, global = true, default_value = "text")]
    log_format: String,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    Run(Flags),
    Serve(Flags),
    Status {
        #[arg(long)]
        warehouse: String,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct Flags {
    #[arg(long, required = true)]
    telemetry: Vec<String>,
    #[arg(long, default_value_t = 7)]
    days: u32,
    #[arg(long, env = "GLEANER_TEST_CONFIG_QUOTA", default_value = "1%")]
    quota: crate::options::Quotas,
    #[arg(long)]
    later: bool,
    #[arg(long, conflicts_with = "scores")]
    guide: Option<String>,
    #[arg(long)]
    scores: Option<String>,
    #[arg(long)]
    warehouse: String,
}

fn parsed(file: &str, args: &[&str]) -> Result<Cli, String> {
    let command = with_text(Cli::command(), Program::Gleaner, "gleaner.toml", file);
    let command = command.map_err(|e| e.to_string())?;
    let args = std::iter::once("gleaner").chain(args.iter().copied());
    let matches = command
        .try_get_matches_from(args)
        .map_err(|e| e.to_string())?;
    Cli::from_arg_matches(&matches).map_err(|e| e.to_string())
}

fn flags(file: &str, args: &[&str]) -> Flags {
    match parsed(file, args).unwrap().command {
        Sub::Run(flags) | Sub::Serve(flags) => flags,
        Sub::Status { .. } => panic!("asked for flags of run or serve"),
    }
}

fn refused(file: &str) -> String {
    parsed(file, &["status", "--warehouse", "w"]).unwrap_err()
}

const WHOLE: &str = "[gleaner]\nwarehouse = 'w'\n[run]\ntelemetry = ['a', 'b']\ndays = 3\nlater = true\nguide = 'g'\n";

#[test]
fn a_file_gives_defaults_of_required_flags_too() {
    let flags = flags(WHOLE, &["run"]);
    assert_eq!(
        (flags.telemetry, flags.days),
        (vec!["a".to_owned(), "b".to_owned()], 3)
    );
    assert_eq!((flags.later, flags.warehouse), (true, "w".to_owned()));
    assert_eq!(flags.guide.as_deref(), Some("g"));
}

#[test]
fn a_flag_outweighs_the_file() {
    let flags = flags(
        WHOLE,
        &[
            "run",
            "--telemetry",
            "c",
            "--days",
            "5",
            "--later=false",
            "--warehouse",
            "v",
        ],
    );
    assert_eq!((flags.telemetry, flags.days), (vec!["c".to_owned()], 5));
    assert_eq!((flags.later, flags.warehouse), (false, "v".to_owned()));
}

#[test]
fn a_flag_that_excludes_what_the_file_says_outweighs_it() {
    let flags = flags(WHOLE, &["run", "--scores", "s"]);
    assert_eq!((flags.guide, flags.scores.as_deref()), (None, Some("s")));
}

#[test]
fn the_environment_outweighs_the_file() {
    // `clap` reads the environment: a variable that every test process has stands for one that a person sets.
    let command = Cli::command().mut_subcommand("run", |run| {
        run.mut_arg("quota", |arg| arg.env("CARGO_MANIFEST_DIR"))
    });
    let file = "[run]\nquota = '2%'\ntelemetry = 'a'\nwarehouse = 'w'\n";
    let command = with_text(command, Program::Gleaner, "gleaner.toml", file).unwrap();
    let error = command
        .try_get_matches_from(["gleaner", "run"])
        .unwrap_err()
        .to_string();
    // The variable holds a path, which is no quota: had the file won, this would parse.
    assert!(error.contains("--quota"), "{error}");
}

#[test]
fn what_is_said_of_run_holds_for_serve_unless_serve_says_otherwise() {
    let file = format!("{WHOLE}[serve]\ndays = 4\n");
    let flags = flags(&file, &["serve"]);
    assert_eq!(
        (flags.days, flags.later, flags.telemetry.len()),
        (4, true, 2)
    );
}

#[test]
fn what_is_said_of_all_commands_gives_way_to_a_commands_own_section() {
    let file = format!("{WHOLE}[status]\nwarehouse = 'mine'\n");
    let Sub::Status { warehouse } = parsed(&file, &["status"]).unwrap().command else {
        panic!("asked for status");
    };
    assert_eq!(warehouse, "mine");
    assert_eq!(flags(&file, &["run"]).warehouse, "w");
    assert_eq!(
        parsed(
            "[gleaner]\nlog-format = 'json'\n",
            &["status", "--warehouse", "w"]
        )
        .unwrap()
        .log_format,
        "json"
    );
}

#[test]
fn an_unknown_section_or_key_is_named_with_what_may_be_meant() {
    let error = refused("[rum]\nquota = 1\n");
    assert!(
        error.contains("gleaner.toml: [rum]") && error.contains("did you mean [run]?"),
        "{error}"
    );
    let error = refused("[run]\nquotta = 1\n");
    assert!(
        error.contains("[run] quotta") && error.contains("did you mean quota?"),
        "{error}"
    );
    let error = refused("[gleaner]\nquota = 1\n");
    assert!(
        error.contains("expected log-format or warehouse"),
        "{error}"
    );
    let error = refused("quota = 1\n");
    assert!(error.contains("no such section"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range_is_named_with_what_is_expected() {
    for (line, expected) in [
        ("days = 'hidden'", "expected an integer"),
        ("days = 1.5", "expected an integer"),
        ("days = -31337", "expected what --days takes"),
        ("later = 'hidden'", "expected true or false"),
        ("quota = 'hidden'", "expected what --quota takes"),
        ("guide = 31337", "expected a text in quotes"),
        ("guide = ['hidden']", "expected a text in quotes"),
        ("telemetry = []", "not an empty list"),
        ("telemetry = ['a', 31337]", "expected a text in quotes"),
    ] {
        let error = refused(&format!("[run]\n{line}\n"));
        let key = line.split(' ').next().unwrap();
        assert!(
            error.contains(&format!("[run] {key}: ")) && error.contains(expected),
            "{line}: {error}"
        );
    }
}

#[test]
fn secrets_are_refused_with_the_variable_to_use() {
    for (line, variable) in [
        ("llm-key = 'hunter2'", "GLEANER_LLM_KEY"),
        ("embedder-api-key = 'hunter2'", "GLEANER_EMBEDDER_API_KEY"),
        ("token = 'hunter2'", "GLEANER_TOKEN"),
        ("aws-secret-access-key = 'hunter2'", "AWS_SECRET_ACCESS_KEY"),
        ("password = 'hunter2'", "environment"),
        ("guide = 'https://me:hunter2@host/guide'", "password"),
    ] {
        let error = refused(&format!("[run]\n{line}\n"));
        assert!(
            error.contains("secrets are not kept") && error.contains(variable),
            "{line}: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_broken_file_is_named_with_its_line_and_not_quoted() {
    let error = refused("[run]\ntelemetry = 'a'\nguide = hunter2 x\n");
    assert!(error.starts_with("gleaner.toml, line 3: "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_file_is_found_on_the_command_line_wherever_it_stands() {
    let named = |args: &[&str]| named(&args.iter().map(OsString::from).collect::<Vec<_>>());
    assert_eq!(
        named(&["gleaner", "--config", "a", "run"]),
        Some("a".into())
    );
    assert_eq!(named(&["gleaner", "run", "--config=b"]), Some("b".into()));
    assert_eq!(named(&["gleaner", "sql", "--", "--config", "c"]), None);
}

#[test]
fn keys_are_listed_once_with_their_defaults() {
    let found = keys(&Cli::command(), Program::Gleaner);
    let names: Vec<String> = found
        .iter()
        .map(|key| format!("{}.{}", key.section, key.name))
        .collect();
    let days = [
        "gleaner.log-format",
        "gleaner.warehouse",
        "run.telemetry",
        "run.days",
        "run.quota",
        "run.later",
        "run.guide",
        "run.scores",
    ];
    assert_eq!(names, days);
    assert_eq!(found[3].default, ["7"]);
}
