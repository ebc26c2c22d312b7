//! A client that knows just enough of PostgreSQL's protocol to log in and to count what comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::places::{Place, address};

const READ_BYTES: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that is logged in.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What one query brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub rows: u64,
    pub bytes: u64,
    pub seconds: f64,
}

impl Client {
    pub fn connect(place: &Place) -> Result<Self> {
        let stream = TcpStream::connect(address(place.port)).context(place.name)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, buffer: Vec::new() };
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", place.user, "database", place.database, ""] {
            startup.extend_from_slice(text.as_bytes());
            startup.push(0);
        }
        let length = u32::try_from(startup.len() + 4)?.to_be_bytes();
        client.stream.write_all(&[&length[..], &startup].concat())?;
        client.run(Some(&place.password)).context(place.name)?;
        Ok(client)
    }

    /// Sends one simple query and waits for nothing.
    pub fn begin(&mut self, sql: &str) -> Result<()> {
        send(&self.stream, b'Q', sql)
    }

    /// Runs one simple query and reads everything that comes back.
    pub fn query(&mut self, sql: &str) -> Result<Answer> {
        let start = Instant::now();
        send(&self.stream, b'Q', sql)?;
        let mut answer = self.run(None).context(sql.to_owned())?;
        answer.seconds = start.elapsed().as_secs_f64();
        Ok(answer)
    }

    /// Reads messages up to ReadyForQuery.
    fn run(&mut self, password: Option<&str>) -> Result<Answer> {
        let mut answer = Answer::default();
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let mut at = 0;
            while let Some((kind, body)) = message(self.buffer.get(at..).unwrap_or_default()) {
                match kind {
                    b'Z' => {
                        self.buffer.clear();
                        return Ok(answer);
                    }
                    b'D' => answer.rows += 1,
                    b'E' => bail!("{}", String::from_utf8_lossy(body).replace('\0', " ")),
                    b'R' if body.starts_with(&[0, 0, 0, 3]) => {
                        let password = password.context("asked for a password twice")?;
                        send(&self.stream, b'p', password)?;
                    }
                    b'R' if !body.starts_with(&[0, 0, 0, 0]) => bail!("unknown authentication"),
                    _ => {}
                }
                at += body.len() + 5;
            }
            self.buffer.drain(..at);
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                bail!("the connection was closed");
            }
            answer.bytes += read as u64;
            self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

fn send(mut stream: &TcpStream, kind: u8, text: &str) -> Result<()> {
    let length = u32::try_from(text.len() + 5)?.to_be_bytes();
    stream.write_all(&[&[kind], &length[..], text.as_bytes(), &[0]].concat())?;
    Ok(())
}

/// The first whole message: its kind and body.
fn message(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(4)?;
    Some((*kind, rest.get(..length)?))
}
