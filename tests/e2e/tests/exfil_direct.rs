//! The corpus of attempts to carry a secret away, sent without a gateway: nearly all of them arrive,
//! and the search finds them. What a gateway lets through is measured against this.

use anyhow::Result;
use e2e::web::OpenProxy;
use e2e::web::encode::Secrets;
use e2e::web::exfil::{Report, Way, World};

/// Attempts of which nothing may arrive, of a hundred: servers refuse some of them, too.
const LOST_OF_A_HUNDRED: usize = 5;

/// The same through a proxy, which needs a host to forward to.
const LOST_THROUGH_A_PROXY_OF_A_HUNDRED: usize = 5;

#[test]
fn sent_directly_nearly_every_secret_arrives_and_is_found() -> Result<()> {
    let world = World::start()?;
    assert!(world.attempts().len() >= 120, "{} attempts", world.attempts().len());
    let report = world.run(&Way::Direct)?;
    let lost = report.lost();
    let most = report.sent.len() * LOST_OF_A_HUNDRED / 100;
    assert!(lost.len() <= most, "{} lost:\n{}", lost.len(), Report::lines(&lost));
    // The search does not find what nobody sent.
    let nobodys = Secrets::new(u64::MAX / 3);
    for name in ["card", "ssn", "aws", "key", "word"] {
        let secret = nobodys.named(name).unwrap_or_default();
        assert!(!secret.is_empty() && !world.holds(secret), "{name}");
    }
    Ok(())
}

#[test]
fn sent_directly_twice_an_honest_request_is_the_same() -> Result<()> {
    let world = World::start()?;
    assert!(world.honest().len() >= 100, "{} requests", world.honest().len());
    let differences = world.pass(&Way::Direct)?;
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

#[test]
fn through_a_proxy_that_thinks_of_nothing_attempts_succeed_and_honest_requests_pass() -> Result<()>
{
    let world = World::start()?;
    let proxy = OpenProxy::start(world.resolve())?;
    let way = Way::Gateway {
        address: proxy.address(),
        token: "nrw_none".to_owned(),
        ca: world.ca().to_path_buf(),
    };
    let report = world.run(&way)?;
    let lost = report.lost();
    let most = report.sent.len() * LOST_THROUGH_A_PROXY_OF_A_HUNDRED / 100;
    assert!(lost.len() <= most, "{} lost:\n{}", lost.len(), Report::lines(&lost));
    assert!(report.leaks().len() + lost.len() + most >= report.sent.len());
    let differences = world.pass(&way)?;
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(())
}
