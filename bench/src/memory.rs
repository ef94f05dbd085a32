//! How much memory a process has, as the kernel counts it.

use std::path::Path;

use anyhow::{Context, Result};

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Resident memory, shared pages included.
    pub resident: f64,
    /// Private pages that were written to.
    pub private_dirty: f64,
}

impl Memory {
    /// The memory of a running process.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let directory = Path::new("/proc").join(pid.to_string());
        // An agent is undumpable, so only root may read its smaps. Everybody may read `status`,
        // whose anonymous pages are the dirty ones in a static program.
        match std::fs::read_to_string(directory.join("smaps_rollup")) {
            Ok(text) => Self::parse(&text, "Rss:", "Private_Dirty:"),
            Err(_) => {
                let text = std::fs::read_to_string(directory.join("status"))
                    .with_context(|| format!("read memory of process {pid}"))?;
                Self::parse(&text, "VmRSS:", "RssAnon:")
            }
        }
    }

    fn parse(text: &str, resident: &str, private_dirty: &str) -> Result<Self> {
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .with_context(|| format!("find {name} of the process"))?;
            let kib: f64 = line
                .trim()
                .trim_end_matches("kB")
                .trim()
                .parse()
                .with_context(|| format!("parse {name} of the process"))?;
            anyhow::Ok(kib / 1024.0)
        };
        Ok(Self { resident: field(resident)?, private_dirty: field(private_dirty)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_in_mib() {
        let text = "00400000-7ffe0000 ---p 00000000 00:00 0    [rollup]\n\
            Rss:                3072 kB\nPrivate_Dirty:       512 kB\n";
        let memory = Memory::parse(text, "Rss:", "Private_Dirty:").unwrap();
        assert_eq!(memory, Memory { resident: 3.0, private_dirty: 0.5 });
        assert!(
            Memory::parse(text, "VmRSS:", "RssAnon:").unwrap_err().to_string().contains("VmRSS")
        );
    }

    #[test]
    fn of_this_process() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident > memory.private_dirty && memory.private_dirty > 0.0, "{memory:?}");
        assert!(Memory::of(u32::MAX).is_err());
    }
}
