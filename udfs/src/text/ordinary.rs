//! The ordinary context: what a line must look like, beyond "no rule fired", before the rule labeller may call it benign.
//!
//! What: the line is split into commands; every one of them must be a program that a defender knows, used in a way that
//! neither runs other code, nor reaches the network, nor touches what an attacker wants. Everything else has a reason why not.
//!
//! Why an allow-list: a deny-list says benign about the attack it has not heard of. Here an unknown program, an unknown
//! sub-command, an unusual directory, a URL or a shell among the arguments all end as "uncertain", which costs yield and never
//! a wrong label. The list names programs and sub-commands, never whole lines.
//!
//! Cost: one split of the line, one look-up for each command and one automaton pass over its arguments.

mod arguments;
mod programs;

use self::arguments::{cloud, cmdlet, known_program, system_process, vendor_program, writes};
use self::programs::{CMDLETS, PROGRAMS, ROOT_PROGRAMS, SYSTEM_PROCESSES};
use super::words::{
    Piece, Word, base_name, is_cmdlet, listed, looks_windows, split, strip_suffix_ignore_case,
};

/// What the context is judged on.
pub(crate) struct Surroundings<'a> {
    pub(crate) command_line: &'a str,
    pub(crate) image: Option<&'a str>,
    pub(crate) parent_image: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

/// Longer lines are never ordinary.
const MAX_BYTES: usize = 2048;

/// `Ok` where the context is ordinary, else the first reason why it is not.
pub(crate) fn ordinary(subject: &Surroundings<'_>) -> Result<(), &'static str> {
    let line = subject.command_line.trim();
    if line.is_empty() {
        return Err("the line is empty");
    }
    if line.len() > MAX_BYTES || line.contains('\n') {
        return Err("the line is very long or has several lines");
    }
    parent(subject.parent_image)?;
    if subject.user.is_some_and(|user| {
        let user = user.to_lowercase();
        [
            "www-data",
            "apache",
            "nginx",
            "httpd",
            "tomcat",
            "iis apppool",
            "nobody",
        ]
        .iter()
        .any(|name| user.contains(name))
    }) {
        return Err("it ran as the account of a web server");
    }
    if let Some(image) = subject.image.filter(|image| !image.is_empty()) {
        let image = image.to_lowercase();
        if USER_WRITABLE
            .split_ascii_whitespace()
            .any(|dir| image.contains(dir))
        {
            return Err("the program lies in a directory that users can write to");
        }
        if !names_agree(line, &image) {
            return Err("the line names another program than the image");
        }
    }
    script(line, 0)
}

/// The first word and the image must be the same program (`cmd` and `cmd.exe` are).
fn names_agree(line: &str, image: &str) -> bool {
    let (path, _) = leading_program(line);
    let name = base_name(path).to_lowercase();
    let image = base_name(image);
    name == image || looks_like_alias(&name, image)
}

/// Names that a system gives to the same program.
fn looks_like_alias(name: &str, image: &str) -> bool {
    let short = |text: &str| {
        text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .to_owned()
    };
    short(name) == short(image)
}

const USER_WRITABLE: &str = "\
    \\temp\\ \\tmp\\ \\appdata\\ \\downloads\\ \\desktop\\ \\documents\\ \\users\\public \
    \\programdata\\ \\perflogs\\ \\$recycle.bin\\ \\windows\\tasks\\ \\windows\\debug\\ \
    \\windows\\tracing\\ \\spool\\drivers\\color \\intel\\logs /tmp/ /var/tmp/ /dev/shm/ /home/ \
    /users/ /run/user/ /downloads/ /mnt/ /media/ /. \\atomic c:\\users\\";

fn parent(parent: Option<&str>) -> Result<(), &'static str> {
    const ODD: &str = "\
        winword excel powerpnt outlook msaccess mspub visio onenote acrord32 acrobat wscript \
        cscript mshta rundll32 regsvr32 wmiprvse wsmprovhost winrshost psexesvc installutil \
        msbuild w3wp httpd nginx apache2 apache php-fpm php php-cgi tomcat java sqlservr mysqld \
        postgres lsass spoolsv hh eqnedt32 chrome firefox msedge iexplore";
    let Some(parent) = parent.filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    let lower = parent.to_lowercase();
    let name = base_name(&lower);
    // a browser's children are browsers; the list is for what they start otherwise, and costs only yield
    if listed(ODD, name) {
        return Err(
            "its parent is a document reader, a script host, a web server or a remote-execution host",
        );
    }
    if USER_WRITABLE
        .split_ascii_whitespace()
        .any(|dir| lower.contains(dir))
    {
        return Err("its parent lies in a directory that users can write to");
    }
    Ok(())
}

/// The program's path and the rest, for lines that begin with an unquoted path with spaces.
fn leading_program(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix('"') {
        return rest.split_once('"').unwrap_or((rest, ""));
    }
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("c:\\program files")
        && let Some(at) = lower.find(".exe")
    {
        return line.split_at(at + 4);
    }
    line.find(char::is_whitespace)
        .map_or((line, ""), |at| line.split_at(at))
}

#[derive(Default)]
struct Command<'a> {
    words: Vec<Word<'a>>,
    writes_to: Vec<String>,
}

fn script(line: &str, depth: usize) -> Result<(), &'static str> {
    if depth > 2 {
        return Err("shells inside shells");
    }
    let windows = looks_windows(line);
    if windows && depth == 0 && line.to_ascii_lowercase().starts_with("c:\\program files") {
        let (path, rest) = leading_program(line);
        let quoted = format!("\"{path}\"{rest}");
        return script(&quoted, 1);
    }
    let split = split(line);
    let mut commands = vec![Command::default()];
    let mut redirect = false;
    for piece in split.pieces {
        let last = commands.len() - 1;
        match piece {
            Piece::Operator("|" | "&&" | "||" | ";" | "&") => {
                commands.push(Command::default());
                redirect = false;
            }
            Piece::Operator(op) if op.contains('>') => redirect = !op.contains(">&"),
            Piece::Operator(_) => return Err("it substitutes a command or reads a here-document"),
            Piece::Word(word) if redirect => {
                commands[last].writes_to.push(word.text.to_lowercase());
                redirect = false;
            }
            Piece::Word(word) if word.text.starts_with('#') => return Err("it carries a comment"),
            Piece::Word(word) => commands[last].words.push(word),
        }
    }
    if commands.iter().all(|c| c.words.is_empty()) {
        return Err("no program is named");
    }
    for command in commands
        .iter()
        .filter(|c| !c.words.is_empty() || !c.writes_to.is_empty())
    {
        self::command(command, windows, depth)?;
    }
    Ok(())
}

#[expect(
    clippy::too_many_lines,
    reason = "one decision for each kind of program, in the order in which they win"
)]
fn command(command: &Command<'_>, windows: bool, depth: usize) -> Result<(), &'static str> {
    let mut words = command.words.as_slice();
    let as_root = words.first().is_some_and(|first| first.text == "sudo");
    while let [first, rest @ ..] = words
        && matches!(first.text.as_ref(), "sudo" | "time" | "nohup" | "command")
    {
        if rest.first().is_some_and(|next| next.text.starts_with('-')) {
            return Err("a wrapper with options of its own");
        }
        words = rest;
    }
    let Some((first, arguments)) = words.split_first() else {
        return Err("no program is named");
    };
    let path = first.text.to_lowercase();
    let path = path.trim_start_matches("\\??\\");
    let name = base_name(path);
    for target in &command.writes_to {
        writes(target, name)?;
    }
    if name == "cmd" && windows {
        return shell_argument(arguments, &["/c", "/s", "/d", "/q", "/v:off"], "/c", depth);
    }
    if matches!(name, "powershell" | "pwsh") {
        return shell_argument(
            arguments,
            &[
                "-noprofile",
                "-nologo",
                "-noninteractive",
                "-nop",
                "-noni",
                "-c",
                "-command",
            ],
            "-c",
            depth,
        );
    }
    let bare = !path.contains(['\\', '/']);
    if windows && (is_cmdlet(name) || listed(CMDLETS, name)) {
        return cmdlet(name, arguments);
    }
    if windows && path.starts_with("c:\\program files") {
        return vendor_program(path, name, arguments);
    }
    if windows
        && let Some(rest) = path.strip_prefix("c:\\windows\\")
        && let Some((_, shape)) = SYSTEM_PROCESSES
            .iter()
            .find(|(process, _)| *process == name)
    {
        let known = [
            "system32\\",
            "syswow64\\",
            "winsxs\\",
            "systemapps\\",
            "servicing\\",
            "microsoft.net\\framework",
        ]
        .iter()
        .any(|dir| rest.starts_with(dir))
            || rest.len() == name.len() + 4;
        if !known {
            return Err("a system program outside its directory");
        }
        return system_process(shape, arguments);
    }
    let system = [
        "/usr/bin/",
        "/bin/",
        "/usr/sbin/",
        "/sbin/",
        "/usr/local/bin/",
        "/opt/homebrew/bin/",
        "c:\\windows\\system32\\",
    ]
    .iter()
    .any(|dir| {
        path.strip_prefix(dir) == Some(name)
            || strip_suffix_ignore_case(path, ".exe").and_then(|p| p.strip_prefix(dir))
                == Some(name)
    });
    if !bare && !system {
        return Err("the program lies outside the directories of the system");
    }
    if first
        .text
        .contains(['$', '%', '=', '`', '(', '{', '[', '*', '?'])
    {
        return Err("the program's name is built or an assignment");
    }
    if matches!(name, "az" | "gcloud") {
        return cloud(arguments);
    }
    if as_root && !listed(ROOT_PROGRAMS, name) {
        return Err("the program runs as root and could be left for a shell");
    }
    let Ok(at) = PROGRAMS.binary_search_by(|(program, _)| (*program).cmp(name)) else {
        return Err("the program is not among the known ordinary ones");
    };
    known_program(PROGRAMS[at].1, arguments, windows)
}

fn shell_argument(
    arguments: &[Word<'_>],
    harmless: &[&str],
    run: &str,
    depth: usize,
) -> Result<(), &'static str> {
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        let lower = word.text.to_lowercase();
        if !lower.starts_with(['-', '/']) {
            break;
        }
        if !harmless.contains(&lower.as_str()) {
            return Err("a shell with unusual options");
        }
        at += 1;
        if lower.starts_with(run) {
            break;
        }
    }
    let rest = arguments.get(at..).unwrap_or_default();
    match rest {
        [] => Err("a bare shell"),
        [only] => script(only.text.trim_matches('"'), depth + 1),
        many => {
            let line: Vec<String> = many
                .iter()
                .map(|w| {
                    if w.text.contains(char::is_whitespace) {
                        format!("\"{}\"", w.text)
                    } else {
                        w.text.to_string()
                    }
                })
                .collect();
            script(&line.join(" "), depth + 1)
        }
    }
}

#[cfg(test)]
mod tests;
