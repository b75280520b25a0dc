//! Nothing that the harness starts outlives the test: not after a panic, not when the
//! test process is killed. This program runs itself as that test process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshpack_harness::{Envoy, Listener, Route};

/// Its value is the way in which the process that is started here ends.
const END: &str = "MESHPACK_LIFETIME_TEST_END";

fn main() {
    match std::env::var(END).as_deref() {
        Err(_) => {
            a_dropped_envoy_ends_and_leaves_its_log_to_the_test_runner();
            a_panic_ends_envoy_and_shows_its_log();
            a_killed_test_process_takes_envoy_with_it();
        }
        Ok(end) => run_envoy_and(end),
    }
}

/// Starts an Envoy, says where its admin interface is, and ends as told.
fn run_envoy_and(end: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let envoy = Envoy::builder()
            .listener(Listener::new("in").route(Route::direct(200, "hello")))
            .start()
            .await
            .unwrap();
        println!("{}", envoy.address("in"));
        match end {
            "drop" => {}
            "panic" => panic!("on purpose"),
            _ => std::future::pending().await,
        }
    });
}

struct Running {
    process: Child,
    address: String,
    /// Its temporary files: a killed process cannot remove them.
    _files: tempfile::TempDir,
}

fn start(end: &str) -> Running {
    let files = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .env(END, end)
        .env("TMPDIR", files.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    Running {
        process,
        address: address.trim().to_owned(),
        _files: files,
    }
}

fn assert_gone(what: &str, address: &str) {
    assert!(!address.is_empty(), "{what}: no Envoy was started");
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(
            Instant::now() < deadline,
            "{what}: Envoy still listens on {address}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: ok");
}

fn a_dropped_envoy_ends_and_leaves_its_log_to_the_test_runner() {
    let running = start("drop");
    let output = running.process.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("all dependencies initialized"));
    assert_gone("an Envoy that is dropped", &running.address);
}

fn a_panic_ends_envoy_and_shows_its_log() {
    let running = start("panic");
    let output = running.process.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("on purpose") && said.contains("all dependencies initialized"),
        "{said}"
    );
    assert_gone("an Envoy whose test panics", &running.address);
}

fn a_killed_test_process_takes_envoy_with_it() {
    let mut running = start("never");
    assert!(std::net::TcpStream::connect(&running.address).is_ok());
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    assert_gone("an Envoy whose test is killed", &running.address);
}
