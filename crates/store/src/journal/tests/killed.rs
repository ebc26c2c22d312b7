//! What survives the end of the process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

in_both_forms!(p5_kill_9_at_any_moment_loses_no_acknowledged_event,);

const CHILD: &str = "NARROWS_STORE_TEST_CHILD";
const SEALS: &str = "NARROWS_STORE_TEST_SEALS";

/// Not a test of its own: the process that the next test kills. Appends for as long as it lives and
/// prints the number of every event that was acknowledged.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let options = Options { segment_bytes_max: 20_000, ..Options::default() };
    let form = std::env::var_os(SEALS).map_or(Form::Clear, |_| Form::Sealed);
    let lock = JournalLock::take(Path::new(&folder), GATEWAY).unwrap();
    let (journal, _) = lock.open(options, sealing(form)).unwrap();
    for number in 1.. {
        let mut events = events(number * 10 + 1..=number * 10 + 3);
        events[1].payload = vec![b'x'; (number % 700) as usize];
        journal.append(&events).unwrap();
        println!("\nacknowledged {}", number * 10 + 3);
    }
}

fn p5_kill_9_at_any_moment_loses_no_acknowledged_event(form: Form) {
    for lines in [1, 2, 7, 50, 333, 1000] {
        let folder = Kept::new(form);
        let mut command = Command::new(std::env::current_exe().unwrap());
        if form == Form::Sealed {
            command.env(SEALS, "1");
        }
        let mut child = command
            .args([
                "--exact",
                "journal::tests::killed::child_that_appends_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut acknowledged = Vec::new();
        for line in output.lines().map(Result::unwrap) {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged.push(number.parse::<u64>().unwrap());
                // Once, at this line; what it printed until it died is read as well.
                if acknowledged.len() == lines {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= lines);
        let (_, recovery) = open(&folder);
        assert_eq!(recovery.damage, []);
        let (numbers, errors) = contents(&folder);
        assert!(errors.is_empty(), "{errors:?}");
        let found: std::collections::HashSet<_> = numbers.iter().copied().collect();
        for last in acknowledged {
            for number in last - 2..=last {
                assert!(found.contains(&number), "{number} was acknowledged and is gone");
            }
        }
    }
}
