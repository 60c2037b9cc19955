//! A disk that can be made to say no, for chosen files of a process: full, read-only, failing.

use std::{fs, path::PathBuf, process::Command};

/// What every write is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// ENOSPC.
    Full,
    /// EROFS, as when the system has remounted a file system after an error.
    ReadOnly,
    /// EIO; syncs fail as well.
    Failing,
}

impl No {
    pub const ALL: [Self; 3] = [Self::Full, Self::ReadOnly, Self::Failing];

    /// What the log and the spool say of it: SQLite knows one word for all but a full disk.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Full => "the disk is full",
            Self::ReadOnly | Self::Failing => "disk I/O error",
        }
    }

    /// What the database says of it.
    pub const fn in_words_of_the_database(self) -> &'static str {
        match self {
            Self::Full => "13) database or disk is full",
            Self::ReadOnly | Self::Failing => "778) disk I/O error",
        }
    }
}

/// The layer between a process and its disk, built from `bad_disk.c`.
pub struct BadDisk {
    folder: tempfile::TempDir,
}

impl BadDisk {
    pub fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/bad_disk.c");
        let library = folder.path().join("bad_disk.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
        assert!(cc.status().unwrap().success(), "{cc:?}");
        Self { folder }
    }

    /// For the process that gets it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let shown = |path: PathBuf| path.display().to_string();
        vec![
            ("LD_PRELOAD", shown(self.folder.path().join("bad_disk.so"))),
            ("EVGATE_TEST_BAD_DISK", shown(self.control())),
        ]
    }

    /// From now on files whose path contains `part` cannot be changed.
    pub fn says(&self, no: No, part: &str) {
        let errno = match no {
            No::Full => 28,
            No::ReadOnly => 30,
            No::Failing => 5,
        };
        // In one piece: the process may look at any moment.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{errno} {part}\n")).unwrap();
        fs::rename(new, self.control()).unwrap();
    }

    /// All is well again.
    pub fn is_well(&self) {
        fs::remove_file(self.control()).unwrap();
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("says")
    }
}
