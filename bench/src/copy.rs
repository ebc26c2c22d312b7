//! The floor: a proxy that copies bytes both ways and does nothing else.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};

pub fn serve(listen: &str, to: &str) -> Result<()> {
    let listen: SocketAddr = listen.parse().context("--listen is no address")?;
    let to: SocketAddr = to.parse().context("--to is no address")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await.context("listen")?;
        loop {
            let (client, _) = listener.accept().await.context("accept")?;
            tokio::spawn(async move {
                // A broken connection ends the pair, as with any proxy.
                let _ = pass(client, to).await;
            });
        }
    })
}

async fn pass(mut client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
