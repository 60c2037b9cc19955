//! Exit codes, one meaning each; the numbers from 64 up are those of sysexits.h.

/// A line on stderr. Where nobody reads stderr any more there is nobody to tell, and the exit code still says it.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or drained after SIGTERM / SIGINT.
    Ok,
    /// 1: the work ran and its result is "no": a difference in `demo`, a missed wall in `load walls`, failed sessions in `simulate`.
    Failed,
    /// 64: wrong arguments or a wrong configuration; the message names the key.
    Usage,
    /// 65: the input (frames, billing cases, a registry file) is wrong; what was right in it has been printed.
    Data,
    /// 66: an input file cannot be read.
    NoInput,
    /// 69: something needed is not there: a port is taken, the log or the database cannot be reached.
    Unavailable,
    /// 70: a part that all others need has died.
    Internal,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with the code that the process ends with.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}")]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is said on stderr.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error that ends the process with `exit`.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

/// What a subcommand returns: an [`Exit`] that is a result, or a [`Failure`] that is said on stderr.
pub type Outcome = Result<Exit, Failure>;

/// Gives an error its exit code.
pub trait OrExit<T> {
    /// # Errors
    /// The same error, with a code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}
