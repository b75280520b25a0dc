//! Processes that never outlive this one: Envoy, and the servers behind it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

/// A child that is killed on drop, and by the kernel should this process die.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
}

impl Process {
    /// Runs `command` with its output appended to `log`.
    pub fn start(mut command: Command, log: File) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = Mutex::new(spawn(command)?);
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> io::Result<Option<ExitStatus>> {
        self.child().try_wait()
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // Both fail only if it is already gone.
        let _ = child.kill();
        let _ = child.wait();
    }
}

type Job = (Command, Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as this process: the kernel's parent-death
/// signal follows the thread that spawned, and test threads come and go.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let gone = |_| io::Error::other("the spawning thread is gone");
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                die_with_parent(&mut command);
                // The asker may be gone by then; its child then dies with this drop.
                if let Err(unsent) = reply.send(command.spawn())
                    && let Ok(mut child) = unsent.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(jobs)
    });
    let (reply, answer) = channel();
    let jobs = spawner.lock().unwrap_or_else(|e| e.into_inner()).clone();
    jobs.send((command, reply)).map_err(|_| gone(()))?;
    answer.recv().map_err(|_| gone(()))?
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl,
    // getppid), and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
