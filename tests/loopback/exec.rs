//! `bearerd exec` against the real server: what the program finds, and what is left of bearerd.

use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::socket::{World, fresh, pending};

fn exec(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("BEARERD_SOCKET", &world.socket)
        .arg("exec")
        .args(args);
    command
}

fn run(world: &World, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = exec(world, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn world() -> World {
    World::new([
        fresh("lev", "canary-1").0,
        fresh("nhs.user", "canary-2").0,
        fresh("1st", "canary-3").0,
        pending("pending").0,
    ])
}

#[test]
fn tokens_are_in_the_environment() {
    let world = world();
    for (args, script, expected) in [
        (&["lev"][..], "$ACCESS_TOKEN", "canary-1"),
        (&["lev", "--env", "A"], "$A$ACCESS_TOKEN", "canary-1"),
        (
            &["lev", "--env", "A", "--env", "lev=B"],
            "$A $B",
            "canary-1 canary-1",
        ),
        (
            &["lev", "nhs.user", "1st"],
            "$LEV_ACCESS_TOKEN $NHS_USER_ACCESS_TOKEN $_1ST_ACCESS_TOKEN",
            "canary-1 canary-2 canary-3",
        ),
        (
            &["lev", "nhs.user", "--env", "nhs.user=X"],
            "$LEV_ACCESS_TOKEN $X",
            "canary-1 canary-2",
        ),
    ] {
        let script = format!("printf %s \"{script}\"");
        let args = [args, &["--", "sh", "-c", &script]].concat();
        assert_eq!(run(&world, &args), (0, expected.into(), String::new()));
    }
}

#[test]
fn or_on_a_descriptor_that_can_be_read_again_and_not_written() {
    let world = world();
    let script = "cat $ACCESS_TOKEN_FILE; cat $ACCESS_TOKEN_FILE; env | grep -c canary; \
                  (echo x > $ACCESS_TOKEN_FILE) 2>/dev/null || echo refused; \
                  (echo x 1<> $ACCESS_TOKEN_FILE) 2>/dev/null || echo refused; \
                  cat $ACCESS_TOKEN_FILE";
    let (code, stdout, stderr) = run(&world, &["lev", "--fd", "--", "sh", "-c", script]);
    let expected = "canary-1canary-10\nrefused\nrefused\ncanary-1";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));
    let script = "cat $LEV_ACCESS_TOKEN_FILE $X";
    let args = [
        "lev",
        "nhs.user",
        "--fd",
        "--env",
        "nhs.user=X",
        "--",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(run(&world, &args).1, "canary-1canary-2");
}

#[test]
fn the_program_takes_the_process_over() {
    let world = world();
    assert_eq!(run(&world, &["lev", "--", "sh", "-c", "exit 42"]).0, 42);
    let child = exec(&world, &["lev", "--", "sh", "-c", "echo $$; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (mut child, mut line) = (child, String::new());
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line.trim(), pid.to_string());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(15));
}

#[test]
fn nothing_runs_without_its_tokens() {
    let world = world();
    let touched = world.directory.path().join("touched");
    let touch = ["--", "touch", touched.to_str().unwrap()];
    for (args, code) in [
        (&["absent"][..], 7),
        (&["lev", "absent"], 7),
        (&["pending", "--wait", "0s"], 3),
        (&["lev", "--min-ttl", "2h"], 2),
        (&["lev", "--env", "nhs=X"], 2),
        (&["lev", "nhs.user", "--env", "X"], 2),
        (
            &["lev", "nhs.user", "--env", "lev=X", "--env", "nhs.user=X"],
            2,
        ),
        (&["lev", "--env", "a-b"], 2),
        (&[], 2),
    ] {
        let got = run(&world, &[args, &touch].concat());
        assert_eq!(got.0, code, "{args:?}: {}", got.2);
        assert!(!got.2.contains("canary"));
    }
    assert!(!touched.exists());
    assert_eq!(run(&world, &["lev", "--", "/nonexistent/x"]).0, 127);
    assert_eq!(run(&world, &["lev", "--", "no-such-program"]).0, 127);
    let (code, _, stderr) = run(&world, &["lev", "--", "/etc/passwd"]);
    assert_eq!(code, 126);
    assert_eq!(
        stderr,
        "bearerd: cannot run /etc/passwd: Permission denied (os error 13)\n"
    );
}
