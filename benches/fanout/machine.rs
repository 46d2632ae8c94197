//! What is asked of the machine.

use std::{env, ffi::OsStr, fs, io, process::Command, time::Duration};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Which processor a process keeps to, so that server and clients do not share one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processor {
    Clients,
    Server,
}

impl Processor {
    /// Keeps this thread, and those that it starts, to this processor. Does nothing where there is
    /// but one.
    pub(crate) fn keep(self) -> io::Result<()> {
        let allowed = sched_getaffinity(None)?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
        let first = processors.next();
        let chosen = match self {
            Self::Server => first,
            Self::Clients => processors.next_back(),
        };
        if allowed.count() > 1
            && let Some(chosen) = chosen
        {
            let mut only = CpuSet::new();
            only.set(chosen);
            sched_setaffinity(None, &only)?;
        }
        Ok(())
    }
}

/// How much processor time this process has had, user and kernel together.
pub(crate) fn processor_time() -> Duration {
    time(ClockId::ProcessCPUTime)
}

/// The time, counted from some instant.
pub(crate) fn now() -> Duration {
    time(ClockId::Monotonic)
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How much memory of this process is in use, in bytes.
pub(crate) fn resident_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes << 10).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// Lets this process have as many files as the system allows.
pub(crate) fn raise_file_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// This program, in a process of its own.
pub(crate) fn this_program(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--role", role]);
    Ok(command)
}

/// Runs this program in a process of its own, until it ends.
pub(crate) fn again(role: &str, arguments: &[impl AsRef<OsStr>]) -> io::Result<()> {
    match this_program(role)?.args(arguments).status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{role}: {status}"))),
    }
}
