//! What the system knows of this process, by the names that every Prometheus client gives it (`process_…`): read at each
//! scrape from `/proc`.

use std::fmt::Write as _;

/// Clock ticks, pages and limits, which the system does not change.
#[derive(Clone, Copy)]
struct System {
    ticks_per_second: f64,
    page_bytes: f64,
    /// When the machine was started, in seconds since 1970.
    booted_at: f64,
}

/// One reading of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    /// In ticks: in our code and in the system's for us.
    cpu: f64,
    threads: f64,
    /// In ticks since the machine was started.
    started: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

/// The lines of a scrape. What this system does not tell is left out.
pub(crate) fn exposition() -> String {
    let mut text = String::new();
    let stat = std::fs::read_to_string("/proc/self/stat");
    if let (Some(stat), Some(system)) = (stat.ok().and_then(|text| Stat::of(&text)), System::read())
    {
        stat.write(system, &mut text);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        let open = crate::observe::as_float(open.count().saturating_sub(1) as u64);
        metric(
            &mut text,
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            open,
        );
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(f64::INFINITY, crate::observe::as_float);
    let about = "File descriptors that may be open: the soft limit.";
    metric(&mut text, "process_max_fds", "gauge", about, limit);
    text
}

impl System {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        Some(Self {
            ticks_per_second: crate::observe::as_float(rustix::param::clock_ticks_per_second()),
            page_bytes: crate::observe::as_float(rustix::param::page_size() as u64),
            booted_at: booted_at(&stat)?,
        })
    }
}

/// The line `btime` of `/proc/stat`.
fn booted_at(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line?.trim().parse().ok()
}

impl Stat {
    /// `proc_pid_stat(5)`. The name of the program stands in parentheses and may hold any character, so the fields are counted
    /// from the last one.
    fn of(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // Field 3 of the manual page is the first here.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn write(&self, system: System, text: &mut String) {
        let mut gauge = |name, about, value| metric(text, name, "gauge", about, value);
        gauge(
            "process_start_time_seconds",
            "When the process was started, in seconds since 1970.",
            system.booted_at + self.started / system.ticks_per_second,
        );
        gauge(
            "process_resident_memory_bytes",
            "Memory that the process occupies, in bytes.",
            self.resident_pages * system.page_bytes,
        );
        gauge(
            "process_virtual_memory_bytes",
            "Address space that the process has asked for, in bytes.",
            self.virtual_bytes,
        );
        gauge("process_threads", "Threads of the process.", self.threads);
        let about = "Time that processors have spent for the process, in seconds.";
        let seconds = self.cpu / system.ticks_per_second;
        metric(text, "process_cpu_seconds_total", "counter", about, seconds);
    }
}

fn metric(text: &mut String, name: &str, kind: &str, about: &str, value: f64) {
    let value = match value.is_infinite() {
        true => "+Inf".to_owned(),
        false => value.to_string(),
    };
    let _ = write!(
        text,
        "# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {value}\n\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "1402 (a) b (c) S 1 1402 1402 0 -1 4194560 5100 0 12 0 250 50 0 0 20 0 7 0 8400 104857600 2048 \
        18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = Stat::of(STAT).unwrap();
        let expected = Stat {
            cpu: 300.0,
            threads: 7.0,
            started: 8400.0,
            virtual_bytes: 104_857_600.0,
            resident_pages: 2048.0,
        };
        assert_eq!(stat, expected);
        assert_eq!(booted_at("cpu 1 2\nbtime 1800000000\nx 1\n"), Some(1.8e9));
        for broken in ["", "1402 (a", "1402 (a) S 1 2", &STAT.replace("8400", "x")] {
            assert_eq!(Stat::of(broken), None, "{broken}");
        }
        let system = System {
            ticks_per_second: 100.0,
            page_bytes: 4096.0,
            booted_at: 1.8e9,
        };
        let mut text = String::new();
        stat.write(system, &mut text);
        for line in [
            "process_cpu_seconds_total 3",
            "process_resident_memory_bytes 8388608",
            "process_virtual_memory_bytes 104857600",
            "process_start_time_seconds 1800000084",
            "process_threads 7",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[test]
    fn this_process_is_told_of_as_the_system_sees_it() {
        let text = exposition();
        let value = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.expect(name).parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
