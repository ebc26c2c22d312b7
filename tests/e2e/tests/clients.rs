//! Real drivers through the gateway: what they do directly they do here, masked where a rule says so.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Lab, Output, lab, lab_with};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, NoTls};

/// Every step of a story went well; names those that did not.
fn told(output: Output) -> Result<()> {
    let steps = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    let said = output.success()?;
    ensure!(steps >= 10, "the story told {steps} steps only:\n{said}");
    Ok(())
}

#[test]
fn p9_psycopg_works_as_it_does_directly_and_gets_masked_columns_masked() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        told(lab.driver(&lab.gateway.agent("psycopg")?).python("psycopg_story.py", &[])?)
    })
}

#[test]
fn psycopg_works_under_a_rule_that_withholds_replies() -> Result<()> {
    lab(|lab| {
        let driver = lab.driver(&lab.gateway.agent("psycopg")?).env("LARGE", "0");
        // COPY of a whole table and large cursors would be held; what stays under the rule's
        // threshold must not notice it.
        let steps = [
            "reads_are_masked_in_text_and_binary",
            "parameters_of_many_types",
            "prepared_statements_are_reused",
            "executemany_returns_results",
            "pipelines_keep_order",
            "a_refusal_in_a_pipeline_fails_the_rest_of_it_and_no_more",
            "a_failed_copy_in_leaves_the_connection_usable",
            "server_side_cursors",
            "errors_have_their_codes_and_transactions_their_true_state",
            "a_refusal_inside_a_transaction_aborts_it_for_real",
            "savepoints_survive_refusals",
            "functions_that_change_something_and_return_a_row",
            "listen_and_notify",
            "streaming_single_rows",
            "cancel_stops_the_statement_and_keeps_the_session",
            "several_statements_in_one_query",
        ];
        told(driver.python("psycopg_story.py", &steps)?)
    })
}

#[test]
fn p9_asyncpg_works_as_it_does_directly_and_gets_masked_columns_masked() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        told(lab.driver(&lab.gateway.agent("asyncpg")?).python("asyncpg_story.py", &[])?)
    })
}

#[test]
fn p9_node_postgres_works_as_it_does_directly_and_gets_masked_columns_masked() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        told(lab.driver(&lab.gateway.agent("node")?).node("story.js", &[])?)
    })
}

#[test]
fn p9_notifications_pass_unchanged_when_nothing_is_masked() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        let driver = lab.driver(&lab.gateway.agent("listener")?).env("MASKED", "0");
        driver.python("psycopg_story.py", &["listen_and_notify"])?.success().context("psycopg")?;
        driver.python("asyncpg_story.py", &["listen_and_notify"])?.success().context("asyncpg")?;
        driver.node("story.js", &["listen_and_notify"])?.success().context("node-postgres")?;
        Ok(())
    })
}

#[test]
fn p9_psql_works_as_it_does_directly_and_gets_masked_columns_masked() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        let psql = lab.driver(&lab.gateway.agent("psql")?);
        let said = psql.psql(&["SELECT id, ssn, email FROM customers WHERE id = 5"])?.success()?;
        assert_eq!(said.trim(), "5|[REDACTED]|customer5@shop.example");
        let script = "\\set ON_ERROR_STOP off\n\
                      BEGIN;\nINSERT INTO notes (body) VALUES ('kept') RETURNING body;\nCOMMIT;\n\
                      SELECT count(*) FROM orders;\n\
                      \\copy (SELECT credit_card FROM customers WHERE id <= 3) TO STDOUT WITH CSV\n\
                      COPY notes (body) FROM STDIN;\none\ntwo\n\\.\n\
                      SELECT count(*) FROM notes;\n\
                      \\set FETCH_COUNT 100\n\
                      SELECT ssn FROM customers WHERE id <= 250;\n\
                      \\unset FETCH_COUNT\n\
                      SELECT 'after an error' WHERE 1 / 0 = 1;\n\
                      SELECT 'still here';\n\
                      BEGIN;\nDROP TABLE notes;\nSELECT 'inside';\nCOMMIT;\n\
                      SELECT count(*) FROM notes;\n";
        let output = psql.psql_script(script)?;
        let wanted = format!(
            "BEGIN\nkept\nINSERT 0 1\nCOMMIT\n100000\n{}COPY 2\n3\n{}still here\nBEGIN\nROLLBACK\n3\n",
            "[REDACTED]\n".repeat(3),
            "[REDACTED]\n".repeat(250),
        );
        assert_eq!(output.stdout, wanted, "stderr:\n{}", output.stderr);
        assert!(output.stderr.contains("22012"), "{}", output.stderr);
        assert!(output.stderr.contains("42501: destructive statement"), "{}", output.stderr);
        assert!(output.stderr.contains("25P02"), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn p9_what_psql_asks_about_the_catalog_is_answered() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        let psql = lab.driver(&lab.gateway.agent("psql")?);
        for command in [
            "\\d",
            "\\dt",
            "\\d customers",
            "\\d+ orders",
            "\\dv",
            "\\df card_of",
            "\\dn",
            "\\l",
            "\\di",
        ] {
            let output = psql.psql(&[command])?;
            let said = output.success().with_context(|| command.to_owned())?;
            assert!(!said.trim().is_empty(), "{command} says nothing");
        }
        Ok(())
    })
}

#[test]
fn p9_pgbench_runs_in_all_its_modes() -> Result<()> {
    lab(|lab| {
        // Made by the owner of the database; the gateway's role may use it.
        lab.server.sql(
            "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
             CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
             CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
             CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
             INSERT INTO pgbench_branches VALUES (1, 0, '');
             INSERT INTO pgbench_tellers SELECT n, 1, 0, '' FROM generate_series(1, 10) AS n;
             INSERT INTO pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(1, 100000) AS n",
        )?;
        let pgbench = lab.driver(&lab.gateway.agent("bench")?);
        for mode in ["simple", "extended", "prepared"] {
            let said = pgbench.pgbench(&["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "100"])?;
            let said = said.success().with_context(|| mode.to_owned())?;
            assert!(
                said.contains("number of transactions actually processed: 400/400"),
                "{mode}: {said}"
            );
        }
        let said = pgbench.pgbench(&["-n", "-S", "-C", "-M", "prepared", "-c", "2", "-t", "50"])?;
        assert!(said.success()?.contains("100/100"), "a connection per transaction");
        assert_eq!(lab.server.sql("SELECT count(*) FROM pgbench_history")?.trim(), "1200");
        Ok(())
    })
}

#[test]
fn p9_tokio_postgres_works_as_it_does_directly_and_gets_masked_columns_masked() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let story = tokio_story(lab)?;
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(200), story).await })?
    })
}

fn tokio_story(lab: &Lab) -> Result<impl Future<Output = Result<()>>> {
    let token = lab.gateway.agent("tokio")?;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(lab.gateway.port()).user("agent").dbname("shop");
    config.password(&token.secret);
    Ok(async move {
        let (mut client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        reads(&client).await.context("reads")?;
        pipelining(&client).await.context("pipelining")?;
        copies(&client).await.context("copies")?;
        portals(&mut client).await.context("portals")?;
        refusals(&mut client).await.context("refusals")?;
        cancels(&client).await.context("cancels")?;
        drop(client);
        connection.await??;
        Ok(())
    })
}

async fn reads(client: &Client) -> Result<()> {
    let row = client.query_one("SELECT * FROM customers WHERE id = $1", &[&7_i32]).await?;
    assert_eq!(row.get::<_, String>("ssn"), "[REDACTED]");
    assert_eq!(row.get::<_, String>("credit_card"), "[REDACTED]");
    assert_eq!(row.get::<_, String>("email"), "customer7@shop.example");
    // Introspects types the driver does not know.
    let row =
        client.query_one("SELECT 'happymarker'::mood, ARRAY['sadmarker']::mood[]", &[]).await?;
    assert_eq!(row.get::<_, Any>(0).0, b"happymarker");
    let statement = client.prepare("SELECT id, ssn FROM customers WHERE id = $1").await?;
    for id in 1..50_i32 {
        let row = client.query_one(&statement, &[&id]).await?;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (id, "[REDACTED]"));
    }
    Ok(())
}

/// Any value, as its bytes.
struct Any(Vec<u8>);

impl FromSql<'_> for Any {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

async fn pipelining(client: &Client) -> Result<()> {
    let one = client.prepare("SELECT $1::int8").await?;
    let bad = client.prepare("SELECT 1 / $1::int4").await?;
    let (first, wrong, second) = tokio::join!(
        client.query_one(&one, &[&11_i64]),
        client.query(&bad, &[&0_i32]),
        client.query_one(&one, &[&12_i64]),
    );
    assert_eq!(first?.get::<_, i64>(0), 11);
    let code = wrong.err().and_then(|error| error.code().cloned());
    assert_eq!(code.as_ref().map(|code| code.code()), Some("22012"));
    assert_eq!(second?.get::<_, i64>(0), 12);
    Ok(())
}

async fn copies(client: &Client) -> Result<()> {
    let rows = client.simple_query("SELECT count(*) FROM customers").await?;
    ensure!(rows.len() >= 2, "{rows:?}");
    let before: i64 = client.query_one("SELECT count(*) FROM numbers", &[]).await?.get(0);
    client
        .batch_execute("INSERT INTO numbers SELECT n, 'x' FROM generate_series(1, 1000) AS n")
        .await?;
    let after: i64 = client.query_one("SELECT count(*) FROM numbers", &[]).await?.get(0);
    assert_eq!(after - before, 1000);
    Ok(())
}

async fn portals(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await?;
    let portal =
        transaction.bind("SELECT id, credit_card FROM customers ORDER BY id LIMIT 25", &[]).await?;
    let mut seen = 0;
    loop {
        let rows = transaction.query_portal(&portal, 10).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            seen += 1;
            assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (seen, "[REDACTED]"));
        }
    }
    assert_eq!(seen, 25);
    transaction.commit().await?;
    Ok(())
}

async fn refusals(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await?;
    transaction.execute("INSERT INTO notes (body) VALUES ('tokio, lost')", &[]).await?;
    let error =
        transaction.execute("TRUNCATE notes", &[]).await.err().context("it went through")?;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("destructive statement"), "{source}");
    let error =
        transaction.execute("SELECT 1", &[]).await.err().context("the transaction goes on")?;
    assert_eq!(error.code().map(|code| code.code()), Some("25P02"));
    transaction.rollback().await?;
    let row =
        client.query_one("SELECT count(*) FROM notes WHERE body = 'tokio, lost'", &[]).await?;
    assert_eq!(row.get::<_, i64>(0), 0);
    Ok(())
}

async fn cancels(client: &Client) -> Result<()> {
    let token = client.cancel_token();
    let sleep = client.batch_execute("SELECT pg_sleep(120)");
    let cancel = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            if token.cancel_query(NoTls).await.is_err() {
                return;
            }
        }
    };
    let error = tokio::select! {
        ended = sleep => ended.err().context("it was not cancelled")?,
        () = cancel => anyhow::bail!("the cancel request failed"),
    };
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    // A cancel still on its way may hit the next statement, but not more than a few.
    for _ in 0..5 {
        if client.batch_execute("SELECT 1").await.is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("the session stayed unusable after a cancel")
}
