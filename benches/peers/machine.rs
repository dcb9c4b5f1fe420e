//! The machine and the time of the figures.

use std::fmt;
use std::fs;
use std::thread;
use std::time::SystemTime;

use serde_json::{Value, json};

/// Conditions on which figures depend besides the programs.
pub(crate) struct Machine {
    processor: String,
    pub(crate) cores: usize,
    memory_mib: u64,
    kernel: String,
    system: String,
    when: SystemTime,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |path: &str, key: &str, separator: char| {
            let text = text(path);
            let line = text.lines().find_map(|l| l.strip_prefix(key));
            let value = line
                .and_then(|l| l.split_once(separator))
                .map(|(_, value)| value);
            value
                .unwrap_or("unknown")
                .trim()
                .trim_matches('"')
                .to_owned()
        };
        let memory = value("/proc/meminfo", "MemTotal", ':');
        let memory = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse::<u64>().ok());
        Self {
            processor: value("/proc/cpuinfo", "model name", ':'),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: value("/etc/os-release", "PRETTY_NAME", '='),
            when: SystemTime::now(),
        }
    }

    fn when(&self) -> humantime::Rfc3339Timestamp {
        humantime::format_rfc3339_seconds(self.when)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "time": self.when().to_string(),
            "processor": self.processor,
            "cores": self.cores,
            "memory_mib": self.memory_mib,
            "kernel": self.kernel,
            "system": self.system,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            kernel,
            system,
            ..
        } = self;
        write!(
            f,
            "{}: {cores} cores of {processor}, {system}, kernel {kernel}",
            self.when()
        )
    }
}
