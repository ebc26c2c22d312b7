//! Servers of key services, from PyPI: moto, which speaks AWS KMS, and OpenBao, whose wheel holds the
//! server itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// A process that ends with the test.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The environment that `./test` makes, with both servers in it.
pub fn environment() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    let is_there = folder.join("bin/python").exists();
    assert!(is_there, "the servers are not installed: ./test puts them into target/python");
    folder
}

/// Starts a server and waits until a line of what it says holds `sign`. Gives that line.
pub fn start(command: &mut Command, sign: &str) -> (Server, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    let server = Server(command.spawn().unwrap());
    // The command keeps ends of the pipe open; without them its end is seen.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = BufReader::new(reader).lines();
    let mut said = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else { panic!("the server ended: {said}") };
        if line.contains(sign) {
            // Read on, or the server stops when the pipe is full.
            thread::spawn(move || lines.for_each(drop));
            return (server, line);
        }
        said.push_str(&line);
        said.push('\n');
    }
}
