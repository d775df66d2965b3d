// SPDX-License-Identifier: Apache-2.0
//! The command line, the clock around a workload and the line of JSON: what ../measure.h describes, in Rust.
//!
//! A pass is driven by whoever has the runtime, so the loop around it is a Stopwatch that says when it is enough.

use std::time::{Duration, Instant};

#[derive(Clone)]
pub struct Job {
    pub workload: String,
    pub size: usize,
    pub workers: usize,
    pub seconds: f64,
}

pub fn read_job() -> Job {
    let args: Vec<String> = std::env::args().collect();
    let usage = || -> ! {
        eprintln!("usage: {} WORKLOAD SIZE WORKERS [SECONDS]", args[0]);
        std::process::exit(2)
    };
    if args.len() < 4 || args.len() > 5 {
        usage();
    }
    // malloc keeps what is freed, as in measure.c.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    Job {
        workload: args[1].clone(),
        size: args[2].parse().unwrap_or_else(|_| usage()),
        workers: args[3].parse().unwrap_or_else(|_| usage()),
        seconds: args.get(4).map_or(0.3, |text| text.parse().unwrap_or_else(|_| usage())),
    }
}

pub fn wrong(job: &Job, what: &str) -> ! {
    eprintln!("{} {}, {} workers: {}", job.workload, job.size, job.workers, what);
    std::process::exit(1)
}

pub fn unknown_workload(job: &Job) -> ! {
    eprintln!("{}: this program has no such workload", job.workload);
    std::process::exit(2)
}

pub fn print_values(job: &Job, values: &[(&str, f64)]) {
    print!("{{\"workload\": \"{}\", \"size\": {}, \"workers\": {}", job.workload, job.size, job.workers);
    for (name, value) in values {
        print!(", \"{name}\": {value}");
    }
    println!("}}");
}

/// CPU time of the whole process, in nanoseconds.
pub fn cpu_ns() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

#[derive(Clone, Copy, Default)]
pub struct Memory {
    pub rss: i64,
    pub rss_peak: i64,
    pub page_tables: i64,
}

pub fn read_memory() -> Memory {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let find = |label: &str| -> i64 {
        let line = text.lines().find(|line| line.starts_with(label)).expect(label);
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<i64>().ok()).expect(label) * 1024
    };
    Memory { rss: find("VmRSS:"), rss_peak: find("VmHWM:"), page_tables: find("VmPTE:") }
}

fn bytes_between(before: Memory, after: Memory) -> f64 {
    (after.rss_peak - before.rss + after.page_tables - before.page_tables) as f64
}

/// Times passes: `while watch.again() { watch.pass(right) }`, where the time between the two is the pass, less what
/// lies between begin_setup and end_setup. The first pass warms up and is not counted.
pub struct Stopwatch<'a> {
    job: &'a Job,
    operations: f64,
    before: Memory,
    bytes: f64,
    begun: Instant,
    setup_begun: (Instant, i64),
    setup: Duration,
    setup_cpu: i64,
    cpu_begun: i64,
    end: Option<Instant>,
    first: Duration,
    times: Vec<Duration>,
}

impl<'a> Stopwatch<'a> {
    pub fn new(job: &'a Job, operations: f64) -> Self {
        let now = Instant::now();
        Stopwatch {
            job,
            operations,
            before: read_memory(),
            bytes: 0.0,
            begun: now,
            setup_begun: (now, 0),
            setup: Duration::ZERO,
            setup_cpu: 0,
            cpu_begun: 0,
            end: None,
            first: Duration::ZERO,
            times: Vec::new(),
        }
    }

    /// Begins a pass, or prints the result and says that it is enough.
    pub fn again(&mut self) -> bool {
        let now = Instant::now();
        if self.end.map_or(false, |end| now >= end && !self.times.is_empty()) {
            self.print();
            return false;
        }
        self.setup = Duration::ZERO;
        self.begun = Instant::now();
        true
    }

    pub fn begin_setup(&mut self) {
        self.setup_begun = (Instant::now(), cpu_ns());
    }

    pub fn end_setup(&mut self) {
        self.setup += self.setup_begun.0.elapsed();
        self.setup_cpu += cpu_ns() - self.setup_begun.1;
    }

    pub fn pass(&mut self, right: bool) {
        let taken = self.begun.elapsed() - self.setup;
        if !right {
            wrong(self.job, "wrong result");
        }
        if self.end.is_some() {
            self.times.push(taken);
            return;
        }
        self.first = taken;
        self.bytes = bytes_between(self.before, read_memory());
        self.setup_cpu = 0;
        self.cpu_begun = cpu_ns();
        self.end = Some(Instant::now() + Duration::from_secs_f64(self.job.seconds));
    }

    fn print(&mut self) {
        let cpu = (cpu_ns() - self.cpu_begun - self.setup_cpu) as f64;
        self.times.sort();
        let passes = self.times.len();
        let total: Duration = self.times.iter().sum();
        let median = (self.times[passes / 2] + self.times[(passes - 1) / 2]) / 2;
        let each = |time: Duration| time.as_nanos() as f64 / self.operations;
        print_values(
            self.job,
            &[
                ("ns", each(total) / passes as f64),
                ("cpu_ns", cpu / passes as f64 / self.operations),
                ("median_ns", each(median)),
                ("min_ns", each(self.times[0])),
                ("first_ns", each(self.first)),
                ("bytes", self.bytes / self.operations),
                ("passes", passes as f64),
            ],
        );
    }
}

pub fn print_latencies(job: &Job, samples: &mut [i64]) {
    samples.sort_unstable();
    let n = samples.len();
    print_values(
        job,
        &[
            ("p50_ns", samples[n / 2] as f64),
            ("p99_ns", samples[n * 99 / 100] as f64),
            ("max_ns", samples[n - 1] as f64),
        ],
    );
}

/// What happens once: from Once::begin to print.
pub struct Once {
    before: Memory,
    begun: Instant,
    cpu_begun: i64,
}

impl Once {
    pub fn begin() -> Self {
        Once { before: read_memory(), cpu_begun: cpu_ns(), begun: Instant::now() }
    }

    pub fn print(&self, job: &Job, mut peak: Memory, at_once: f64) {
        let (wall, cpu) = (self.begun.elapsed(), cpu_ns() - self.cpu_begun);
        let last = read_memory();
        peak.rss_peak = last.rss_peak;
        peak.page_tables = peak.page_tables.max(last.page_tables);
        let values = [
            ("wall_s", wall.as_secs_f64()),
            ("cpu_s", cpu as f64 * 1e-9),
            ("bytes", bytes_between(self.before, peak) / at_once),
            ("at_once", at_once),
        ];
        print_values(job, &values);
    }
}

pub fn timer_duration(i: usize) -> Duration {
    Duration::from_nanos(10_000_000_000 + i as u64 * 2654435761 % 100_000_000_000)
}

pub const WAKEUP_PAUSE: Duration = Duration::from_micros(500);

pub fn fib_value(n: usize) -> usize {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

pub fn fib_calls(n: usize) -> f64 {
    2.0 * fib_value(n + 1) as f64 - 1.0
}

pub fn skynet_nodes(leaves: usize) -> f64 {
    ((leaves * 10 - 1) / 9) as f64
}

/// Bit masks: columns without a queen, and what the queens so far attack in this row along both diagonals.
#[derive(Clone, Copy)]
pub struct Board {
    pub free: u32,
    left: u32,
    right: u32,
    all: u32,
}

impl Board {
    pub fn empty(n: usize) -> Board {
        let all = (1 << n) - 1;
        Board { free: all, left: 0, right: 0, all }
    }

    pub fn children(self) -> impl Iterator<Item = Board> {
        let mut open = self.free & !(self.left | self.right);
        std::iter::from_fn(move || {
            if open == 0 {
                return None;
            }
            let queen = open & open.wrapping_neg();
            open &= open - 1;
            Some(Board {
                free: self.free & !queen,
                left: ((self.left | queen) << 1) & self.all,
                right: (self.right | queen) >> 1,
                all: self.all,
            })
        })
    }

    /// Valid placements, this one included, and solutions.
    pub fn count(self) -> (usize, usize) {
        if self.free == 0 {
            return (1, 1);
        }
        self.children().map(Board::count).fold((1, 0), |sum, child| (sum.0 + child.0, sum.1 + child.1))
    }
}
