//! A disk that is soon full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::require_root;

/// A file system in memory. Root is needed to make one; without it the test is left out where that was asked for.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of so many megabytes.
    pub(crate) fn mount(megabytes: u32) -> Self {
        require_root();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = r#"set -e; chmod 0755 "$1"; mount -t tmpfs -o "size=$2m" tmpfs "$1""#;
        let mut mount = Command::new("sh");
        mount.args(["-c", script, "sh"]).arg(directory.path()).arg(megabytes.to_string());
        let mounted = mount.output().expect("a shell");
        assert!(
            mounted.status.success(),
            "a small disk cannot be mounted ({}): TARSY_DB_TEST_WITHOUT_ROOT=1 make test leaves this test out",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new directory on it that the server owns.
    pub(crate) fn directory_of_the_server(&self) -> PathBuf {
        let directory = self.path().join("data");
        let script = r#"set -e; mkdir "$1"; chown postgres "$1"; chmod 0700 "$1""#;
        let made = Command::new("sh").args(["-c", script, "sh"]).arg(&directory).status().expect("a shell");
        assert!(made.success(), "the server gets no directory");
        directory
    }

    /// Leaves so many KiB free, also if it was filled before. [`SmallDisk::make_room`] removes the file that is returned.
    pub(crate) fn fill(&self, free_kib: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().expect("it is there").len();
        file.set_len(length.checked_sub(free_kib * 1024).expect("there was room")).expect("it is shorter");
        path
    }

    /// Removes what fills the disk. It is truncated first: a child of another test that has not begun its program yet has
    /// the file open as well.
    pub(crate) fn make_room(filler: &Path) {
        File::create(filler).expect("a file");
        std::fs::remove_file(filler).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
