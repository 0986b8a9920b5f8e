use super::programs::PROGRAMS;
use super::*;

fn of(line: &str) -> Result<(), &'static str> {
    ordinary(&Surroundings {
        command_line: line,
        image: None,
        parent_image: None,
        user: None,
    })
}

#[test]
fn the_list_of_programs_is_sorted() {
    assert!(PROGRAMS.is_sorted_by_key(|(name, _)| *name));
}

#[test]
fn every_command_of_a_line_must_be_ordinary() {
    assert_eq!(of("ls | wc -l"), Ok(()));
    assert!(of("ls | frob").is_err());
    assert!(of("ls; nc -l 4").is_err());
    assert!(of("ls $(frob)").is_err());
    assert!(of("ls `frob`").is_err());
    assert!(of("cat <<EOF").is_err());
    assert!(of("ls # that is all").is_err());
}

#[test]
fn shells_are_looked_into_and_bare_ones_are_not_ordinary() {
    assert_eq!(of("cmd.exe /c dir2 & ver"), of("dir2 & ver"));
    assert_eq!(of("cmd /c \"ver\""), Ok(()));
    assert!(of("cmd /c \"ver & frob\"").is_err());
    assert!(of("cmd").is_err());
    assert!(of("powershell -w 1 -c ver").is_err());
    assert_eq!(of("powershell -NoProfile -Command \"Get-Date\""), Ok(()));
}

#[test]
fn sub_commands_and_their_options_are_told_apart() {
    assert_eq!(of("git log --oneline"), Ok(()));
    assert!(of("git -c core.pager=x log").is_err());
    assert!(of("git config alias.x y").is_err());
    assert!(of("find . -exec x ;").is_err());
    assert!(of("tar --checkpoint-action=exec=x").is_err());
    assert!(of("kubectl get secret x").is_err());
    assert_eq!(of("npm --version"), Ok(()));
    assert!(of("docker run x").is_err());
    assert_eq!(of("sudo apt update"), Ok(()));
    assert!(of("sudo git log").is_err());
}

#[test]
fn sensitive_arguments_are_not_ordinary() {
    for line in [
        "cat /etc/x",
        "ls /root",
        "cat ~/.ssh/config",
        "grep password x",
        "ls /tmp/x",
        "head -c 5 /dev/sda",
        "cat 10.0.0.1",
        "ls bash",
        "cat https://a.b/c",
        "sort > run.sh",
        "echo x > y.txt",
        "diff -r /srv/a b",
        "ls ~",
        "grep --file=/srv/x y",
    ] {
        assert!(of(line).is_err(), "{line}");
    }
    assert_eq!(of("sort a.txt > b.txt"), Ok(()));
    assert_eq!(of("ls missing 2>/dev/null"), Ok(()));
    assert_eq!(of("ls missing 2>&1"), Ok(()));
}

#[test]
fn system_processes_must_lie_in_their_place_with_their_arguments() {
    assert_eq!(
        of("C:\\Windows\\system32\\svchost.exe -k netsvcs -p -s BITS"),
        Ok(())
    );
    assert!(of("C:\\Windows\\system32\\svchost.exe").is_err());
    assert!(of("C:\\Windows\\svchost.exe.exe -k netsvcs").is_err());
    assert!(of("C:\\Windows\\Temp\\svchost.exe -k netsvcs").is_err());
    assert!(of("svchost.exe -k netsvcs").is_err());
    assert!(of("C:\\Windows\\System32\\dllhost.exe x.dll").is_err());
    assert_eq!(
        of("\\??\\C:\\Windows\\system32\\conhost.exe 0xffffffff -ForceV1"),
        Ok(())
    );
}

#[test]
fn a_vendors_program_is_ordinary_unless_it_runs_what_it_is_told() {
    assert_eq!(
        of("\"C:\\Program Files\\Vendor\\App\\app.exe\" --type=renderer"),
        Ok(())
    );
    assert_eq!(
        of("C:\\Program Files (x86)\\Vendor\\App\\app.exe /scan"),
        Ok(())
    );
    assert!(of("\"C:\\Program Files\\app.exe\"").is_err());
    assert!(of("\"C:\\Program Files\\7-Zip\\7z.exe\" a x y").is_err());
    assert!(of("\"C:\\Program Files\\Vendor\\App\\app.exe\" --gpu-launcher=calc").is_err());
    assert!(of("\"C:\\Program Files\\Vendor\\App\\app.exe\" c:\\x\\y.dll").is_err());
    assert!(of("\"C:\\Program Files\\Vendor\\..\\..\\x\\app.exe\"").is_err());
}

#[test]
fn cmdlets_that_only_look_are_ordinary() {
    assert_eq!(
        of("Get-ChildItem src | Where-Object { $_.Length -gt 5 } | Format-Table"),
        Ok(())
    );
    assert!(of("Get-ChildItem src | ForEach-Object { calc }").is_err());
    assert!(of("Get-Date -Format (calc)").is_err());
    assert!(of("Remove-Item x").is_err());
    assert!(of("Get-Item -ComputerName x").is_err());
}
