// SPDX-License-Identifier: Apache-2.0

//! The echo server on tokio: a task for each connection.
//!
//!     tokio ADDRESS:PORT [--workers N] [--burn ROUNDS]
//!
//! One worker is the current-thread runtime, as tokio's documentation advises for one CPU: it is the faster one. Several
//! are the multi-threaded, work-stealing runtime.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// As burn() in support.c.
fn burn(rounds: u64) -> u64 {
    let mut x = rounds + 1;
    for _ in 0..rounds {
        x = (x ^ x >> 29).wrapping_mul(6364136223846793005);
    }
    x
}

async fn echo(mut connection: TcpStream, unit: u64) {
    let mut buffer = [0u8; 4096];
    loop {
        let n = match connection.read(&mut buffer).await {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        if unit > 0 && burn(unit * buffer[0] as u64) == 0 {
            eprintln!("never"); // but the result is wanted, so the compiler keeps the loop
        }
        if connection.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn serve(address: SocketAddr, unit: u64) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(4096)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        tokio::spawn(echo(connection, unit));
    }
}

fn usage() -> ! {
    eprintln!("usage: tokio ADDRESS:PORT [--workers N] [--burn ROUNDS]");
    std::process::exit(2)
}

fn main() -> std::io::Result<()> {
    let (mut address, mut workers, mut unit) = (None, 1usize, 0u64);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_else(|| usage());
        match word.as_str() {
            "--workers" => workers = number() as usize,
            "--burn" => unit = number(),
            _ => address = word.parse().ok(),
        }
    }
    let address = address.unwrap_or_else(|| usage());
    let runtime = if workers > 1 {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_io().build()?
    } else {
        tokio::runtime::Builder::new_current_thread().enable_io().build()?
    };
    // Spawned, as a task of the multi-threaded runtime is cheaper there than the future that block_on drives.
    runtime.block_on(async move { tokio::spawn(serve(address, unit)).await.unwrap() })
}
