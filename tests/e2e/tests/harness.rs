//! What the other tests stand on.

use anyhow::Result;
use e2e::Server;

#[test]
fn the_private_server_has_the_sample_data_and_ends_with_the_test() -> Result<()> {
    let mut server = Server::start()?;
    assert_eq!(
        server.sql("SELECT count(*), count(DISTINCT ssn) > 50000 FROM customers")?.trim(),
        "60000|t"
    );
    let luhn = "SELECT count(*) FROM customers WHERE (SELECT sum(CASE WHEN at % 2 = 0 \
                THEN (d * 2) / 10 + (d * 2) % 10 ELSE d END) % 10 <> 0 FROM (SELECT at, \
                substr(reverse(credit_card), at, 1)::int AS d FROM generate_series(1, 16) AS at) AS x) AND id < 500";
    assert_eq!(server.sql(luhn)?.trim(), "0", "cards pass the Luhn check");
    let nulls = server.sql(
        "SELECT count(*) FROM vault, json_each_text(row_to_json(vault)) AS c \
                            WHERE vault.id = 1 AND c.value IS NULL",
    )?;
    assert_eq!(nulls.trim(), "0", "every type has a value");
    let mut wire = server.wire()?;
    let reply = wire.query("SELECT 1 AS one")?;
    assert_eq!((reply.text(), reply.status), (vec![vec!["1".to_owned()]], 'I'));
    assert!(server.log()?.contains("SELECT 1 AS one"), "every statement is logged");
    server.stop();
    assert!(server.wire().is_err(), "it is gone");
    Ok(())
}
