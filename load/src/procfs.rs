//! What a server process costs, from `/proc`: CPU of all its threads, anonymous memory.

use std::fs;
use std::io;

/// CPU used so far by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// User and system together, ns, from the scheduler (`schedstat`) of all threads that live now.
    pub threads_ns: u64,
    /// User, ns, from `stat`: resolution 10 ms, threads that ended included.
    pub user_ns: u64,
    /// System, ns, from `stat`.
    pub system_ns: u64,
}

impl Cpu {
    /// Reads the counters of `pid`.
    ///
    /// # Errors
    /// No such process, or not ours to read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let (user_ns, system_ns) = stat_times(pid)?;
        Ok(Self { threads_ns: threads_ns(pid)?, user_ns, system_ns })
    }

    /// CPU spent between two readings, ns. The scheduler's sum is exact but forgets threads that ended in between; then the
    /// coarser `stat`, which remembers them, is larger and counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> u64 {
        let by_threads = self.threads_ns.saturating_sub(earlier.threads_ns);
        let by_stat = (self.user_ns + self.system_ns).saturating_sub(earlier.user_ns + earlier.system_ns);
        // Within the resolution of `stat` the exact one wins.
        if by_stat > by_threads + by_threads / 20 + 30_000_000 { by_stat } else { by_threads }
    }

    /// Share of the kernel in the CPU spent between two readings, per mille.
    #[must_use]
    pub fn system_per_mille_since(&self, earlier: &Self) -> u64 {
        let system = self.system_ns.saturating_sub(earlier.system_ns);
        let user = self.user_ns.saturating_sub(earlier.user_ns);
        system * 1000 / (system + user).max(1)
    }
}

fn threads_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

fn stat_times(pid: u32) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces and parentheses; what follows the last one is plain (proc(5)).
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    let tick_ns = 1_000_000_000 / crate::epoll::ticks_per_second();
    match (fields.next().flatten(), fields.next().flatten()) {
        (Some(user), Some(system)) => Ok((user * tick_ns, system * tick_ns)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has no times")),
    }
}

/// Anonymous memory of a process, bytes (`smaps_rollup`: heap, stacks, allocator; no files, no sockets of the kernel).
///
/// # Errors
/// No such process, or not ours to read.
pub fn anonymous_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "smaps_rollup has no Anonymous"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_counted() {
        let me = std::process::id();
        let before = Cpu::of(me).unwrap();
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let (mut x, mut spent) = (1_u64, 0);
        while spent < 50_000_000 && std::time::Instant::now() < give_up {
            for _ in 0..1_000_000 {
                x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(7));
            }
            spent = Cpu::of(me).unwrap().since(&before);
        }
        assert!((50_000_000..10_000_000_000).contains(&spent), "{spent} ns");
    }

    #[test]
    fn our_own_memory_grows_when_we_use_some() {
        let me = std::process::id();
        let before = anonymous_bytes(me).unwrap();
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = anonymous_bytes(me).unwrap();
        assert!(after >= before + (30 << 20), "{before} {after} {}", block.len());
    }
}
