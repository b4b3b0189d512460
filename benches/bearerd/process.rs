//! What the kernel says of a process.

use std::fs;

/// Resident bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All of it, the program's text included.
    pub(crate) resident: u64,
    /// The part that is the process's own and no copy of a file.
    pub(crate) anonymous: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        // The daemon lets root only look at its maps; its status is for everybody, and less exact.
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        let (text, keys) = match rollup {
            Ok(text) => (text, ["Rss:", "Anonymous:"]),
            Err(_) => (
                status(&format!("/proc/{pid}/status")),
                ["VmRSS:", "RssAnon:"],
            ),
        };
        let [resident, anonymous] = keys.map(|key| 1024 * number(&text, key));
        Self {
            resident,
            anonymous,
        }
    }
}

/// How often its threads were put on a processor after they had waited for something, or were displaced.
pub(crate) fn context_switches(pid: u32) -> Switches {
    let mut switches = Switches::default();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .expect("a process")
        .flatten()
    {
        let text = status(&task.path().join("status").display().to_string());
        switches.voluntary += number(&text, "voluntary_ctxt_switches:");
        switches.involuntary += number(&text, "nonvoluntary_ctxt_switches:");
    }
    switches
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switches {
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
}

fn status(path: &str) -> String {
    fs::read_to_string(path).expect("a process's status")
}

fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .expect("a number of the kernel's")
}
