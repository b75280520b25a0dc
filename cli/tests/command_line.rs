//! What holds for every command: help, exit codes, completions, closed pipes.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::meshpack_in;

const COMMANDS: [&str; 7] = [
    "bundle",
    "check",
    "explain",
    "tags",
    "translate",
    "verify",
    "version",
];

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let help = meshpack_in(Path::new("."), &["--help"]);
    assert_eq!(help.code, 0);
    for command in COMMANDS {
        assert!(
            help.out.contains(&format!("\n  {command} ")),
            "{}",
            help.out
        );
        let own = meshpack_in(Path::new("."), &[command, "--help"]);
        assert_eq!(own.code, 0, "{command}");
        assert!(
            own.out.contains(&format!("Usage: meshpack {command} ")),
            "{}",
            own.out
        );
        let long = own.out.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{command}");
    }
    for code in ["\n  0  ", "\n  1  ", "\n  2  "] {
        assert!(help.out.contains(code), "{}", help.out);
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    for (words, says) in [
        (&[][..], "Usage: meshpack"),
        (&["chek", "a.yaml"], "a similar subcommand exists: 'check'"),
        (&["check"], "<FILES>..."),
        (&["check", "--filter", "canary", "a.yaml"], "canary_split"),
        (
            &["check", "no-such-file.yaml"],
            "no-such-file.yaml: cannot be read",
        ),
        (
            &["explain", "no-such-file.yaml"],
            "no-such-file.yaml: cannot be read",
        ),
        (
            &["tags", "no-such-file.yaml"],
            "no-such-file.yaml: cannot be read",
        ),
        (
            &["translate", "no-such-file.yaml"],
            "no-such-file.yaml: cannot be read",
        ),
        (
            &["verify", "no-such-file.yaml"],
            "no-such-file.yaml: cannot be read",
        ),
        (
            &["bundle", "no-such-module", "--output", "x"],
            "no-such-module",
        ),
        (&["completions", "tcsh"], "[possible values: bash,"),
    ] {
        let ran = meshpack_in(Path::new("."), words);
        assert_eq!(ran.code, 2, "{words:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(says), "{words:?}: {}", ran.err);
        assert!(
            !ran.err.contains("panicked") && !ran.err.contains("backtrace"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = meshpack_in(Path::new("."), &["completions", shell]);
        assert_eq!(ran.code, 0, "{shell}: {}", ran.err);
        for command in COMMANDS {
            assert!(ran.out.contains(command), "{command} for {shell}");
        }
    }
    // The one shell that is here takes its script, and completes with it.
    let script = meshpack_in(Path::new("."), &["completions", "bash"]).out;
    let ask = "\nCOMP_WORDS=(meshpack ch); COMP_CWORD=1; _meshpack meshpack ch meshpack; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash")
        .args(["-c", &(script + ask)])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&bash.stdout).trim(),
        "check",
        "{bash:?}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    // More than a pipe holds.
    for words in [&["completions", "zsh"][..], &["tags"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshpack"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut complaints = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut complaints)
            .unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(0),
            "{words:?}: {complaints}"
        );
        assert_eq!(complaints, "", "{words:?}");
    }
}
