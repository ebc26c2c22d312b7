use std::sync::atomic::Ordering;
use std::time::Duration;

use model::limit::SEND_BUFFER_BYTES_MAX;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::lab::{Lab, Talker, until};
use super::server::{Manner, Server};

const HUGE: u64 = 64 * 1024 * 1024;

/// Waits until the server can write no more; how much it wrote.
async fn stuck(server: &Server) -> u64 {
    let dumped = || server.seen.dumped.load(Ordering::Relaxed);
    until("it begins", || dumped() > 0).await;
    let mut last = 0;
    let mut same = 0;
    while same < 50 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        same = if dumped() == last { same + 1 } else { 0 };
        last = dumped();
    }
    last
}

#[tokio::test]
async fn p8_a_client_that_stops_reading_stops_the_server_not_the_memory() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (_, token) = lab.token(None);
    let stream = TcpStream::connect(lab.address).await.unwrap();
    SockRef::from(&stream).set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = Talker::new(stream);
    assert!(client.ask(&format!("HELLO {token} box")).await.starts_with("READY"));
    client.say(&format!("DUMP {HUGE}")).await;
    let last = stuck(&server).await;
    // What left the server is in socket buffers or in our queue, and those are bounded.
    let sockets = 24 * 1024 * 1024;
    assert!(last < SEND_BUFFER_BYTES_MAX as u64 + sockets, "{last} bytes left the server");
    // Everything arrives once it reads again, and another client was served meanwhile.
    let (mut other, _) = lab.session().await;
    assert_eq!(other.ask("GET a").await, "VALUE get a");
    let mut left = HUGE + 1;
    let mut buffer = vec![0; 1024 * 1024];
    while left > 0 {
        let read = client.0.read(&mut buffer).await.unwrap() as u64;
        assert!(read > 0, "cut with {left} bytes missing");
        left -= read;
    }
    assert_eq!(client.ask("GET b").await, "VALUE get b");
}

#[tokio::test]
async fn p8_a_client_that_does_not_read_its_goodbye_is_left() {
    let server = Server::start(Manner::Answers, None).await;
    let lab = Lab::with(&server).await;
    let (mut client, _) = lab.session().await;
    client.say(&format!("DUMP {HUGE}")).await;
    stuck(&server).await;
    let id = lab.store.live.list()[0].info.id.clone();
    lab.store.live.kill(&id, "killed");
    until("the place is free", || lab.gateway.state().connections == 0).await;
    assert_eq!(lab.ends(), ["killed"]);
}
