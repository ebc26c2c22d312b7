//! P5, P6: two gateways that keep their recordings in one store, under load, each killed once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::{Bucket, Config, Driver, Gateway, Server, evidence, public_key, until, uses};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

struct Pair {
    gateways: [Gateway; 2],
    server: Server,
}

impl Pair {
    fn start(store: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let server = Server::start()?;
        let config = Config::open().with(&format!(
            "recording: {{ store: \"{store}\", archive_every: 1s, keep_journal: 0 }}"
        ));
        let start = || Gateway::start_in(environment, &config, &server.upstream());
        Ok(Self { gateways: [start()?, start()?], server })
    }

    /// Loads both, kills each once at another moment, and lets both finish what they archive.
    fn work(&mut self) -> Result<()> {
        let mut loads = Vec::new();
        for (gateway, name) in self.gateways.iter().zip(["ann", "bob"]) {
            let token = gateway.agent(name)?;
            let script = gateway.dir().join("load.sql");
            fs::write(&script, "SELECT id, email FROM customers WHERE id < 20;\n")?;
            let path = script.display().to_string();
            let load = Driver::new(gateway.port(), &token.secret, "shop");
            let load = load.start_pgbench(&["-n", "-c", "2", "-t", "100000", "-f", &path])?;
            loads.push((token, load));
        }
        for gateway in &mut self.gateways {
            let anchor = || Ok(gateway.narrows(&["audit", "anchor"])?.success().ok().map(drop));
            until("a manifest is signed under load", anchor)?;
            std::thread::sleep(Duration::from_millis(700));
            gateway.kill()?;
        }
        for (gateway, (token, load)) in self.gateways.iter_mut().zip(loads) {
            let _ = load.output(PATIENCE)?;
            gateway.launch()?;
            let after = Driver::new(gateway.port(), &token.secret, "shop");
            after.psql(&["SELECT count(*) FROM orders"])?.success()?;
        }
        self.stop()
    }

    /// Names of the gateways, each with its public key as a file. Either answers for both.
    fn ask(&mut self, store: &str) -> Result<[(String, String); 2]> {
        let mut named = Vec::new();
        for gateway in &mut self.gateways {
            gateway.launch()?;
            let name = fs::read_to_string(gateway.path("var/gateway.id"))?.trim().to_owned();
            named.push((name, public_key(gateway)?.display().to_string()));
        }
        for more in [vec![], vec!["--store", store]] {
            for gateway in &self.gateways {
                let words = [&["audit", "who", "--table", "orders"], more.as_slice()].concat();
                // What a gateway had no time to archive when it stopped, it archives when it is
                // there again.
                until("the answer names both", || {
                    let answer = gateway.json(&words)?;
                    let mut who: Vec<_> = uses(&answer).into_iter().map(|(who, ..)| who).collect();
                    who.sort();
                    Ok((who == ["ann", "bob"]).then_some(()))
                })?;
            }
        }
        self.stop()?;
        named.try_into().map_err(|named| anyhow!("{named:?}"))
    }

    fn stop(&mut self) -> Result<()> {
        self.gateways.iter_mut().try_for_each(|gateway| {
            ensure!(gateway.stop()?.success(), "{}", gateway.log_tail());
            Ok(())
        })
    }

    /// Both programs find everything whole with both keys; no key passes for the other gateway's.
    fn check(&self, store: &str, copy: &Path, named: &[(String, String); 2]) -> Result<()> {
        let [(ann, ann_key), (bob, bob_key)] = named;
        let [asked, _] = &self.gateways;
        let verify = |keys: &[&str]| {
            let mut words = vec!["audit", "verify", "--store", store, "--json"];
            keys.iter().for_each(|key| words.extend(["--public-key", key]));
            asked.narrows(&words)
        };
        let second = |keys: [&str; 2]| {
            let [ann, bob] = keys.map(Path::new);
            evidence("verify.py", &[copy, ann, bob])
        };
        let of = |name: &str, key: &str| format!("{name}={key}");
        let (right, left) = (of(ann, ann_key), of(bob, bob_key));
        let report: Value = serde_json::from_str(&verify(&[&right, &left])?.success()?)?;
        assert_eq!(report.get("problems"), Some(&Value::Array(Vec::new())), "{report}");
        second([&right, &left])?.success()?;
        let (swapped, other) = (of(ann, bob_key), of(bob, ann_key));
        for wrong in [vec![swapped.as_str(), &other], vec![&right], vec![ann_key]] {
            let said = verify(&wrong)?;
            assert_eq!(said.code(), 1, "{wrong:?}: {said:?}");
        }
        assert_eq!(second([&swapped, &other])?.code(), 1);
        Ok(())
    }

    fn run(&mut self, store: &str, copy: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
        let done = self.work().and_then(|()| {
            let named = self.ask(store)?;
            self.check(store, &copy()?, &named)
        });
        done.with_context(|| {
            let logs: Vec<_> = self.gateways.iter().map(Gateway::log_tail).collect();
            format!("{}\n{}", logs.join("\n---\n"), self.server.log_tail())
        })
    }
}

#[test]
fn p6_two_gateways_share_a_folder_and_each_signs_for_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = format!("file:{}", folder.path().display());
    Pair::start(&store, &[])?.run(&store, || Ok(folder.path().to_owned()))
}

#[test]
fn p6_two_gateways_share_a_bucket_and_each_signs_for_itself() -> Result<()> {
    let bucket = Bucket::start("audit")?;
    let store = "s3://audit/narrows";
    Pair::start(store, &bucket.environment())?.run(store, || Ok(bucket.fetch()?.join("narrows")))
}
