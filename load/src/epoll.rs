//! The four system calls this crate needs beside `std::net`: epoll, level-triggered. The only unsafe code here.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// One epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What a ready descriptor was registered with, and whether it may be written or only read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub key: u64,
    pub readable: bool,
    pub writable: bool,
}

/// A reusable buffer of events.
#[derive(Default)]
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity.max(1)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        let failed = (libc::EPOLLERR | libc::EPOLLHUP).cast_unsigned();
        self.0.iter().map(move |event| {
            let bits = event.events;
            Ready {
                key: event.u64,
                // A failed socket is readable: the read says how it failed.
                readable: bits & (libc::EPOLLIN.cast_unsigned() | failed) != 0,
                writable: bits & libc::EPOLLOUT.cast_unsigned() != 0,
            }
        })
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: `check` let only a fresh descriptor through, which nobody else owns.
        check(fd).map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a descriptor; closing it ends the watch.
    pub(crate) fn add(&self, fd: &impl AsRawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), key, libc::EPOLLIN)
    }

    /// Watches for room to write as well, or no longer.
    pub(crate) fn want_write(&self, fd: &impl AsRawFd, key: u64, wanted: bool) -> io::Result<()> {
        let bits = if wanted { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), key, bits)
    }

    /// Watches a descriptor no longer. One that is not watched is none of our business any more either.
    pub(crate) fn remove(&self, fd: &impl AsRawFd) {
        let _not_watched = self.control(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), 0, 0);
    }

    fn control(&self, op: libc::c_int, fd: RawFd, key: u64, bits: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event { events: bits.cast_unsigned(), u64: key };
        // SAFETY: `event` outlives the call, and the kernel only reads it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd, &raw mut event) }).map(drop)
    }

    /// Waits until something is ready or the time is over (None: for ever).
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let capacity = events.0.capacity();
        events.0.clear();
        let millis = match timeout {
            // epoll counts in whole milliseconds, an open loop in microseconds: `ppoll` on the epoll itself waits that precisely.
            Some(short) if short < Duration::from_millis(20) => {
                self.poll_precisely(short)?;
                0
            }
            Some(long) => libc::c_int::try_from(long.as_millis()).unwrap_or(libc::c_int::MAX),
            None => -1,
        };
        let most = libc::c_int::try_from(capacity).unwrap_or(libc::c_int::MAX);
        // SAFETY: the buffer has room for `most` events, and the kernel writes no more than that.
        let got = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.0.as_mut_ptr(), most, millis) };
        match check(got) {
            Ok(count) => {
                // SAFETY: the kernel has filled `count` events, at most the capacity.
                unsafe { events.0.set_len(usize::try_from(count).unwrap_or(0)) };
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn poll_precisely(&self, timeout: Duration) -> io::Result<()> {
        if timeout.is_zero() {
            return Ok(());
        }
        let mut watched = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let spec = libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(timeout.subsec_nanos()) };
        // SAFETY: both structs outlive the call; one descriptor is announced and one is there; no signal mask is passed.
        let got = unsafe { libc::ppoll(&raw mut watched, 1, &raw const spec, std::ptr::null()) };
        match check(got) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

/// How many files this process may open: (now, at most).
pub(crate) fn file_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which writes one struct.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raises the soft limit of open files to the hard one.
pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let (_, most) = file_limit()?;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` outlives the call, and the kernel only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(most)
}

/// Number of the kernel's clock ticks in a second, the unit of `/proc/PID/stat`.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: no pointer is passed.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
