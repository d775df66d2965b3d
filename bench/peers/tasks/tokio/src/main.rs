// SPDX-License-Identifier: Apache-2.0
//! tokio. What was chosen:
//!
//! - The multi-threaded scheduler with as many workers, and for WORKERS 0 the single-threaded one (current_thread),
//!   which is what its experts take for one thread. Release build, LTO, one codegen unit, panics abort.
//!   The I/O driver is on (enable_all), as in nearly every program and as sinew's always is.
//! - Work runs in a spawned task: what block_on itself runs is not on a worker.
//! - Recursive tasks return `impl Future + Send`, so that a spawn allocates once; a half that is called and not spawned
//!   has to be boxed, as every recursive future.
//! - Channels: mpsc has one consumer, so several share an async_channel (bounded 64), which is what tokio's
//!   documentation sends people to. Ping-pong uses mpsc with room for one, there is none without.
//! - mutex is tokio::sync::Mutex, which may be held across an await and hands over in order, as sinew's does. For
//!   sections without an await tokio's documentation advises std's mutex: that is mutex_std.
//! - A timer is a Sleep, registered by polling it once and cancelled by dropping it. fire is tasks that sleep until one
//!   instant.
//! - wakeup: a plain thread completes a oneshot channel. startstop builds a Runtime, runs an empty task, drops it.

mod measure;

use measure::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{spawn, yield_now, JoinHandle};
use tokio::time::Sleep;

fn fib_half(n: usize) -> impl Future<Output = usize> + Send {
    async move {
        if n < 2 {
            return n;
        }
        let a = spawn(fib_half(n - 1));
        let called: Pin<Box<dyn Future<Output = usize> + Send>> = Box::pin(fib_half(n - 2));
        let b = called.await;
        a.await.unwrap() + b
    }
}

fn fib_both(n: usize) -> impl Future<Output = usize> + Send {
    async move {
        if n < 2 {
            return n;
        }
        let a = spawn(fib_both(n - 1));
        let b = spawn(fib_both(n - 2));
        a.await.unwrap() + b.await.unwrap()
    }
}

async fn sum(handles: impl IntoIterator<Item = JoinHandle<usize>>) -> usize {
    let mut sum = 0;
    for handle in handles {
        sum += handle.await.unwrap();
    }
    sum
}

fn skynet(first: usize, leaves: usize) -> impl Future<Output = usize> + Send {
    async move {
        if leaves == 1 {
            return first;
        }
        let step = leaves / 10;
        let children: [JoinHandle<usize>; 10] = std::array::from_fn(|i| spawn(skynet(first + i * step, step)));
        sum(children).await
    }
}

fn queens_below(board: Board) -> impl Future<Output = usize> + Send {
    async move {
        if board.free == 0 {
            return 1;
        }
        let children: Vec<JoinHandle<usize>> = board.children().map(|child| spawn(queens_below(child))).collect();
        sum(children).await
    }
}

async fn flat(size: usize) -> bool {
    let handles: Vec<JoinHandle<usize>> = (0..size).map(|i| spawn(async move { i })).collect();
    sum(handles).await == size * (size - 1) / 2
}

async fn join_all<T>(handles: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(handles.len());
    for handle in handles {
        results.push(handle.await.unwrap());
    }
    results
}

const YIELDS: usize = 400_000;

async fn yields(size: usize) -> bool {
    let tasks = (0..size).map(|_| {
        spawn(async move {
            for _ in 0..YIELDS / size {
                yield_now().await;
            }
        })
    });
    join_all(tasks.collect()).await;
    true
}

async fn pingpong(size: usize) -> bool {
    let (there, mut there_end) = mpsc::channel(1);
    let (back, mut back_end) = mpsc::channel(1);
    let ping = spawn(async move {
        let mut right = true;
        for i in 0..size {
            there.send(i).await.unwrap();
            right &= back_end.recv().await == Some(i);
        }
        right
    });
    let pong = spawn(async move {
        while let Some(ball) = there_end.recv().await {
            if back.send(ball).await.is_err() {
                break;
            }
        }
    });
    let right = ping.await.unwrap();
    pong.await.unwrap();
    right
}

async fn mpmc(size: usize) -> bool {
    const PRODUCERS: usize = 4;
    let each = size / PRODUCERS;
    let (sender, receiver) = async_channel::bounded(64);
    let mut tasks = Vec::new();
    for _ in 0..PRODUCERS {
        let sender = sender.clone();
        tasks.push(spawn(async move {
            for i in 0..each {
                sender.send(i).await.unwrap();
            }
            0
        }));
    }
    drop(sender);
    for _ in 0..PRODUCERS {
        let receiver = receiver.clone();
        tasks.push(spawn(async move {
            let mut sum = 0;
            while let Ok(got) = receiver.recv().await {
                sum += got;
            }
            sum
        }));
    }
    join_all(tasks).await.into_iter().sum::<usize>() == PRODUCERS * (each * (each - 1) / 2)
}

const LOCKERS: usize = 8;

async fn mutex(size: usize, yielding: bool) -> bool {
    let counter = Arc::new(tokio::sync::Mutex::new(0));
    let tasks = (0..LOCKERS).map(|_| {
        let counter = counter.clone();
        spawn(async move {
            for _ in 0..size / LOCKERS {
                let mut held = counter.lock().await;
                *held += 1;
                if yielding {
                    yield_now().await;
                }
            }
        })
    });
    join_all(tasks.collect()).await;
    let counted = *counter.lock().await;
    counted == size / LOCKERS * LOCKERS
}

async fn mutex_std(size: usize) -> bool {
    let counter = Arc::new(Mutex::new(0));
    let tasks = (0..LOCKERS).map(|_| {
        let counter = counter.clone();
        spawn(async move {
            for _ in 0..size / LOCKERS {
                *counter.lock().unwrap() += 1;
            }
        })
    });
    join_all(tasks.collect()).await;
    let counted = *counter.lock().unwrap();
    counted == size / LOCKERS * LOCKERS
}

async fn sleepers(job: &Job) {
    #[derive(Default)]
    struct Seen {
        asleep: AtomicI64,
        most: AtomicI64,
        peak: Mutex<Memory>,
    }
    let once = Once::begin();
    let seen = Arc::new(Seen::default());
    let size = job.size as i64;
    let mut tasks = Vec::with_capacity(job.size);
    for _ in 0..job.size {
        let seen = seen.clone();
        tasks.push(spawn(async move {
            let now = seen.asleep.fetch_add(1, Relaxed) + 1;
            if now > seen.most.load(Relaxed) {
                seen.most.store(now, Relaxed);
            }
            if now == size {
                *seen.peak.lock().unwrap() = read_memory();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.asleep.fetch_sub(1, Relaxed);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let peak = *seen.peak.lock().unwrap();
    once.print(job, peak, seen.most.load(Relaxed) as f64);
}

/// Polls a timer once, which sets it, and says if it is pending.
struct Set<'a>(&'a mut Pin<Box<Sleep>>);

impl Future for Set<'_> {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(self.0.as_mut().poll(cx).is_pending())
    }
}

async fn timers(size: usize) -> bool {
    let mut all = Vec::with_capacity(size);
    for i in 0..size {
        let mut timer = Box::pin(tokio::time::sleep(timer_duration(i)));
        if !Set(&mut timer).await {
            return false;
        }
        all.push(timer);
        // A task that polls 128 timers without suspending finds the next ones pending without their having been set.
        if i % 64 == 63 {
            yield_now().await;
        }
    }
    while let Some(timer) = all.pop() {
        drop(timer);
    }
    true
}

async fn timeouts(size: usize) -> bool {
    let mut right = true;
    for _ in 0..size {
        right &= tokio::time::timeout(Duration::from_secs(10), yield_now()).await.is_ok();
    }
    right
}

async fn fire(job: &Job) {
    let mut lead = Duration::from_micros(2 * job.size as u64) + Duration::from_millis(100);
    loop {
        let at = Instant::now() + lead;
        let asleep = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::with_capacity(job.size);
        for _ in 0..job.size {
            let asleep = asleep.clone();
            tasks.push(spawn(async move {
                asleep.fetch_add(1, Relaxed);
                tokio::time::sleep_until(at.into()).await;
            }));
        }
        tokio::time::sleep_until((at - Duration::from_millis(20)).into()).await;
        let early = asleep.load(Relaxed) == job.size && Instant::now() < at;
        let cpu = cpu_ns();
        for task in tasks {
            task.await.unwrap();
        }
        let wall = at.elapsed().as_nanos() as f64;
        let cpu = (cpu_ns() - cpu) as f64;
        if early {
            print_values(job, &[("ns", wall / job.size as f64), ("cpu_ns", cpu / job.size as f64)]);
            return;
        }
        lead *= 2;
    }
}

async fn cancel(job: &Job) {
    let mut watch = Stopwatch::new(job, job.size as f64);
    while watch.again() {
        watch.begin_setup();
        let asleep = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::with_capacity(job.size);
        for _ in 0..job.size {
            let asleep = asleep.clone();
            tasks.push(spawn(async move {
                asleep.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }));
        }
        while asleep.load(Relaxed) < job.size {
            yield_now().await;
        }
        watch.end_setup();
        let mut right = true;
        for task in tasks {
            task.abort();
            right &= task.await.map_or_else(|error| error.is_cancelled(), |()| false);
        }
        watch.pass(right);
    }
}

async fn wakeup(job: &Job) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..job.size).map(|_| oneshot::channel::<Instant>()).unzip();
    let thread = std::thread::spawn(move || {
        for sender in senders {
            std::thread::sleep(WAKEUP_PAUSE);
            sender.send(Instant::now()).unwrap();
        }
    });
    let mut latencies = Vec::with_capacity(job.size);
    for receiver in receivers {
        let sent = receiver.await.unwrap();
        latencies.push(sent.elapsed().as_nanos() as i64);
    }
    thread.join().unwrap();
    print_latencies(job, &mut latencies);
}

fn new_runtime(workers: usize) -> Runtime {
    let built = match workers {
        0 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    };
    built.unwrap()
}

fn startstop(job: &Job) {
    static RAN: AtomicBool = AtomicBool::new(false);
    let mut watch = Stopwatch::new(job, job.size as f64);
    while watch.again() {
        let mut right = true;
        for _ in 0..job.size {
            RAN.store(false, Relaxed);
            let runtime = new_runtime(job.workers);
            runtime.block_on(async {
                spawn(async { RAN.store(true, Relaxed) }).await.unwrap();
            });
            drop(runtime);
            right &= RAN.load(Relaxed);
        }
        watch.pass(right);
    }
}

/// Passes of one expression, which has the job's size.
macro_rules! passes {
    ($job:expr, $operations:expr, $pass:expr) => {{
        let mut watch = Stopwatch::new($job, $operations);
        while watch.again() {
            let right = $pass;
            watch.pass(right);
        }
    }};
}

async fn run(job: Job) {
    let (job, n) = (&job, job.size);
    let size = n as f64;
    match job.workload.as_str() {
        "fib_half" => passes!(job, fib_calls(n), fib_half(n).await == fib_value(n)),
        "fib_both" => passes!(job, fib_calls(n), fib_both(n).await == fib_value(n)),
        "skynet" => passes!(job, skynet_nodes(n), skynet(0, n).await == n * (n - 1) / 2),
        "nqueens" => {
            let (nodes, solutions) = Board::empty(n).count();
            passes!(job, nodes as f64, queens_below(Board::empty(n)).await == solutions)
        }
        "flat" => passes!(job, size, flat(n).await),
        "yield" => passes!(job, (YIELDS / n * n) as f64, yields(n).await),
        "pingpong" => passes!(job, size, pingpong(n).await),
        "mpmc" => passes!(job, size, mpmc(n).await),
        "mutex" => passes!(job, size, mutex(n, false).await),
        "mutex_held" => passes!(job, size, mutex(n, true).await),
        "mutex_std" => passes!(job, size, mutex_std(n).await),
        "sleepers" => sleepers(job).await,
        "timers" => passes!(job, size, timers(n).await),
        "timeout" => passes!(job, size, timeouts(n).await),
        "fire" => fire(job).await,
        "cancel" => cancel(job).await,
        "wakeup" => wakeup(job).await,
        "empty" => (),
        _ => unknown_workload(job),
    }
}

fn main() {
    let job = read_job();
    if job.workload == "startstop" {
        return startstop(&job);
    }
    let runtime = new_runtime(job.workers);
    runtime.block_on(async { spawn(run(job)).await.unwrap() });
}
