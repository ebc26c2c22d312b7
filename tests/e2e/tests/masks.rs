//! P3 and P4 with real values of every built-in type: nothing masked ever arrives, in any form.

use anyhow::{Context, Result, ensure};
use e2e::{Config, Lab, Reply, Token, Wire, lab, lab_with, until};

const KINDS: [&str; 4] = ["redact", "partial", "hash", "null"];

/// A resource per kind of mask, each hiding every `secret_…` column and the cards.
fn all_kinds() -> Config {
    let mut rules = String::from("\n");
    for kind in KINDS {
        rules += &format!(
            "  - name: hide-{kind}\n    on: [with_{kind}]\n    mask: {{ fields: [\"secret_*\", \
             credit_card, ssn], with: {kind} }}\n"
        );
    }
    let config = Config::rules(&rules);
    KINDS.iter().fold(config, |config, kind| config.resource(&format!("with_{kind}"), ""))
}

/// Values of row 1 of `vault` in one format, straight from the server, with their columns.
fn secrets(lab: &Lab, format: i16) -> Result<Vec<(String, Vec<u8>)>> {
    let names = lab.server.sql(
        "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = 'vault'::regclass AND attnum > 2",
    )?;
    let mut direct = lab.server.wire()?;
    let reply = direct.extended("SELECT * FROM vault WHERE id = 1", &[], format)?;
    let row = reply.rows().into_iter().next().context("no row")?;
    let values = row.into_iter().skip(2).map(Option::unwrap_or_default);
    Ok(names.trim().split(',').map(str::to_owned).zip(values).collect())
}

/// No secret of four bytes or more is anywhere in what this client received.
fn nothing_leaked(wire: &Wire, secrets: &[(String, Vec<u8>)], what: &str) {
    for (column, value) in secrets.iter().filter(|(_, value)| value.len() >= 4) {
        assert!(
            !wire.has_received(value),
            "{what}: the value of {column} arrived: {:?}",
            String::from_utf8_lossy(value)
        );
    }
}

#[test]
fn p3_no_masked_value_of_any_type_arrives_in_text_or_binary() -> Result<()> {
    lab_with(&all_kinds(), |lab| {
        let token = lab.gateway.agent("reader")?;
        let mut known = secrets(lab, 0)?;
        known.extend(secrets(lab, 1)?);
        for kind in KINDS {
            let mut wire = lab.wire_to(&token, &format!("with_{kind}"))?;
            let simple = wire.query("SELECT * FROM vault ORDER BY id")?;
            ensure!(simple.error().is_none(), "{kind}: {:?}", simple.error());
            assert_eq!(simple.rows().len(), 2, "{kind}: both rows come");
            for format in [0, 1] {
                let reply = wire.extended("SELECT * FROM vault ORDER BY id", &[], format)?;
                ensure!(reply.error().is_none(), "{kind}: {:?}", reply.error());
                assert_eq!(reply.rows().len(), 2, "{kind}: both rows come");
                let first = reply.rows().remove(0);
                assert_eq!(first.get(1).cloned().flatten().as_deref(), Some(&b"visible"[..]));
            }
            for options in
                ["", " (FORMAT csv)", " (FORMAT csv, HEADER, DELIMITER ';')", " (FORMAT binary)"]
            {
                let reply = wire.query(&format!("COPY vault TO STDOUT{options}"))?;
                ensure!(reply.error().is_none(), "{kind}{options}: {:?}", reply.error());
                assert!(reply.shape().contains('d'), "{kind}{options}: rows come");
                let reply =
                    wire.query(&format!("COPY (SELECT * FROM vault) TO STDOUT{options}"))?;
                ensure!(reply.error().is_none(), "{kind}{options}: {:?}", reply.error());
            }
            let cursor =
                wire.query("BEGIN; DECLARE c CURSOR FOR SELECT * FROM vault ORDER BY id")?;
            ensure!(cursor.error().is_none(), "{kind}: {:?}", cursor.error());
            let fetched = wire.query("FETCH ALL FROM c")?;
            assert_eq!(fetched.rows().len(), 2, "{kind}: {:?}", fetched.error());
            wire.query("COMMIT")?;
            nothing_leaked(&wire, &known, kind);
        }
        Ok(())
    })
}

#[test]
fn p4_masked_columns_decode_in_every_driver() -> Result<()> {
    lab_with(&all_kinds(), |lab| {
        let token = lab.gateway.agent("decoder")?;
        for kind in KINDS {
            let driver = lab.driver_to(&token, &format!("with_{kind}")).env("KIND", kind);
            driver
                .python("decode_psycopg.py", &[])?
                .success()
                .with_context(|| format!("psycopg, {kind}"))?;
            driver
                .python("decode_asyncpg.py", &[])?
                .success()
                .with_context(|| format!("asyncpg, {kind}"))?;
            driver
                .node("decode.js", &[])?
                .success()
                .with_context(|| format!("node-postgres, {kind}"))?;
        }
        Ok(())
    })
}

#[test]
fn p4_masks_by_type_are_as_ruled() -> Result<()> {
    lab_with(&all_kinds(), |lab| {
        let token = lab.gateway.agent("reader")?;
        let read = |kind: &str, column: &str| -> Result<String> {
            let mut wire = lab.wire_to(&token, &format!("with_{kind}"))?;
            let reply = wire.query(&format!("SELECT {column} FROM vault WHERE id = 1"))?;
            ensure!(reply.error().is_none(), "{:?}", reply.error());
            Ok(reply.text().concat().concat())
        };
        assert_eq!(read("redact", "secret_text")?, "[REDACTED]");
        assert_eq!(read("redact", "secret_varchar")?, "[REDACTED]");
        assert_eq!(read("redact", "secret_varchar_s")?.chars().count(), 4, "clipped");
        assert_eq!(read("redact", "secret_char")?, "[REDACTED]      ", "padded");
        assert_eq!(read("null", "secret_text")?, "∅");
        let partial = read("partial", "secret_text")?;
        assert!(partial.ends_with("xt") && partial.contains('*'), "{partial}");
        assert!(!partial.ends_with("text"), "a quarter of 15 characters is 3: {partial}");
        let hash = read("hash", "secret_text")?;
        assert_eq!(hash, read("hash", "secret_text")?, "equal values stay equal");
        for column in ["secret_uuid", "secret_int8", "secret_numeric", "secret_bytea"] {
            let hashed = read("hash", column)?;
            assert!(hashed != "∅", "{column} is hashed, not gone");
            assert_eq!(hashed, read("hash", column)?, "{column}");
        }
        let precise = read("hash", "secret_numeric_p")?;
        assert!(precise.split('.').nth(1).is_some_and(|digits| digits.len() == 3), "{precise}");
        for column in [
            "secret_bool",
            "secret_int4",
            "secret_date",
            "secret_mood",
            "secret_ints",
            "secret_jsonb",
        ] {
            for kind in KINDS {
                assert_eq!(read(kind, column)?, "∅", "{column} with {kind}");
            }
        }
        Ok(())
    })
}

/// The values of customer 5, straight from the server.
fn fifth(lab: &Lab) -> Result<Vec<(String, Vec<u8>)>> {
    let values = lab.server.sql("SELECT ssn, credit_card FROM customers WHERE id = 5")?;
    let both = values.trim().split('|').map(|value| value.as_bytes().to_vec());
    Ok(["ssn", "credit_card"].map(str::to_owned).into_iter().zip(both).collect())
}

fn attempt(
    lab: &Lab,
    token: &Token,
    known: &[(String, Vec<u8>)],
    text: &str,
) -> Result<Vec<Reply>> {
    let mut wire = lab.wire(token)?;
    let mut replies = vec![wire.query(text)?];
    // Several statements cannot go through the extended protocol.
    if !text.contains(';') {
        replies.push(wire.extended(text, &[], 0)?);
        replies.push(wire.extended(text, &[], 1)?);
    }
    nothing_leaked(&wire, known, text);
    Ok(replies)
}

#[test]
fn p3_no_detour_brings_a_masked_value() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        let token = lab.gateway.agent("curious")?;
        let known = fifth(lab)?;
        for text in [
            "SELECT credit_card AS x FROM customers WHERE id = 5",
            "SELECT c.* FROM customers AS c WHERE id = 5",
            "SELECT c FROM customers AS c WHERE id = 5",
            "SELECT upper(ssn), ssn || '' FROM customers WHERE id = 5",
            "SELECT max(ssn) FROM customers WHERE id = 5",
            "SELECT array_agg(ssn) FROM customers WHERE id = 5",
            "SELECT string_agg(credit_card, ',') FROM customers WHERE id = 5",
            "SELECT row_to_json(c) FROM customers AS c WHERE id = 5",
            "SELECT to_jsonb(c) ->> 'ssn' FROM customers AS c WHERE id = 5",
            "SELECT json_agg(c) FROM customers AS c WHERE id = 5",
            "SELECT (c).ssn FROM customers AS c WHERE id = 5",
            "SELECT pan FROM card_view WHERE number = 5",
            "SELECT card_of(5)",
            "WITH c AS (SELECT ssn AS s FROM customers WHERE id = 5) SELECT s FROM c",
            "SELECT (SELECT ssn FROM customers WHERE id = 5)",
            "SELECT ssn FROM customers WHERE id = 5 UNION ALL SELECT 'x'",
            "SELECT s FROM (SELECT ssn FROM customers WHERE id = 5) AS t(s)",
            "SELECT x.v FROM customers AS c, LATERAL (VALUES (c.ssn)) AS x(v) WHERE c.id = 5",
            "SELECT unnest(ARRAY[ssn]) FROM customers WHERE id = 5",
            "SELECT encode(convert_to(ssn, 'UTF8'), 'escape') FROM customers WHERE id = 5",
            "SELECT ssn::bytea FROM customers WHERE id = 5",
            "SELECT ssn::int FROM customers WHERE id = 5",
            "SELECT 1 / (length(ssn) - 11) FROM customers WHERE id = 5",
            "SELECT set_config('my.value', ssn, false) FROM customers WHERE id = 5",
            "SELECT pg_notify('c', ssn) FROM customers WHERE id = 5",
            "SELECT format('%s', credit_card) FROM customers WHERE id = 5",
            "SELECT query_to_xml('SELECT ssn FROM customers WHERE id = 5', true, true, '')",
            "SELECT table_to_xml('customers', true, true, '')",
            "SELECT most_common_vals FROM pg_stats WHERE tablename = 'customers'",
            "SELECT stavalues1 FROM pg_statistic",
            "TABLE customers",
            "COPY (SELECT ssn || '' FROM customers WHERE id = 5) TO STDOUT",
            "DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM customers WHERE id = 5",
            "CREATE TEMP TABLE copied AS SELECT * FROM customers WHERE id = 5; SELECT * FROM copied",
            "SELECT * INTO TEMP copied2 FROM customers WHERE id = 5; SELECT * FROM copied2",
            "INSERT INTO notes (body) SELECT ssn FROM customers WHERE id = 5 RETURNING body",
            "UPDATE customers SET name = ssn WHERE id = 5 RETURNING name",
            "UPDATE customers SET name = name WHERE id = 5 RETURNING *",
            "EXPLAIN ANALYZE SELECT * FROM customers WHERE id = 5",
            "PREPARE p AS SELECT ssn FROM customers WHERE id = 5; EXECUTE p",
            "DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM customers WHERE id = 5); END $$",
            "SELECT lo_from_bytea(0, ssn::bytea) FROM customers WHERE id = 5",
            "CREATE VIEW leak AS SELECT ssn FROM customers; SELECT * FROM leak",
            "ALTER TABLE customers RENAME COLUMN ssn TO harmless; SELECT harmless FROM customers WHERE id = 5",
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 5'; SELECT f()",
            "MERGE INTO notes USING customers ON false WHEN NOT MATCHED AND customers.id = 5 THEN INSERT (body) VALUES (ssn)",
            "SELECT name FROM customers WHERE ssn LIKE '1%' AND id = 5",
            "SELECT name FROM customers WHERE ssn > '1' AND id = 5 ORDER BY ssn",
            "INSERT INTO customers VALUES (5, 'a', 'b', 'c', 'd', 'e', '2020-01-01')",
            "INSERT INTO customers VALUES (5, 'a', 'b', 'c', 'd', 'e', '2020-01-01') ON CONFLICT (id) DO UPDATE SET name = customers.ssn RETURNING *",
        ] {
            attempt(lab, &token, &known, text).with_context(|| text.to_owned())?;
        }
        // What stayed is not readable by a detour over another table either.
        let mut wire = lab.wire(&token)?;
        wire.query("SELECT * FROM notes")?;
        wire.query("SELECT current_setting('my.value', true)")?;
        wire.query("SELECT name FROM customers WHERE id = 5")?;
        nothing_leaked(&wire, &known, "afterwards");
        Ok(())
    })
}

#[test]
fn p3_errors_and_notices_do_not_quote_masked_values() -> Result<()> {
    lab(|lab| {
        lab.server.sql(
            "ALTER TABLE customers ADD CONSTRAINT one_card UNIQUE (credit_card);
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE NOTICE 'card %', OLD.credit_card; RETURN NEW; END $$;
             CREATE TRIGGER tells BEFORE UPDATE OF city ON customers FOR EACH ROW EXECUTE FUNCTION tell();
             CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'row %', OLD USING DETAIL = OLD.ssn, HINT = OLD.credit_card; END $$;
             CREATE TRIGGER fail BEFORE UPDATE OF joined ON customers FOR EACH ROW EXECUTE FUNCTION fails()",
        )?;
        let known = fifth(lab)?;
        let token = lab.gateway.agent("curious")?;
        let mut wire = lab.wire(&token)?;
        let noticed = wire.query("UPDATE customers SET city = 'Rome' WHERE id = 5")?;
        assert_eq!(noticed.tags(), ["UPDATE 1"], "{:?}", noticed.error());
        let failed = wire.query("UPDATE customers SET joined = joined WHERE id = 5")?;
        let error = failed.error().context("the trigger fails")?;
        assert_eq!(error.code, "P0001", "the code stays: {error:?}");
        wire.query("UPDATE customers SET name = NULL WHERE id = 5")?;
        nothing_leaked(&wire, &known, "errors and notices");
        Ok(())
    })
}

#[test]
fn p3_a_mask_written_after_a_session_began_holds_for_it() -> Result<()> {
    lab_with(&Config::open(), |lab| {
        let known = fifth(lab)?;
        let token = lab.gateway.agent("early")?;
        let mut wire = lab.wire(&token)?;
        let text = "SELECT ssn, credit_card FROM customers WHERE id = 5";
        assert_eq!(wire.query(text)?.text().concat().concat().as_bytes(), {
            let values: Vec<u8> = known.iter().flat_map(|(_, value)| value.clone()).collect();
            values
        });
        lab.gateway.configure(&Config::sample(), &lab.server.upstream())?;
        lab.gateway.narrows(&["reload"])?.success()?;
        let reply = wire.query(text)?;
        assert_eq!(reply.text(), [["[REDACTED]", "[REDACTED]"]], "{:?}", reply.error());
        Ok(())
    })
}

#[test]
fn p3_a_table_that_changed_behind_the_catalog_gives_one_error_and_no_hang() -> Result<()> {
    // The snapshot is as old as it may be, so the change is not known when the statement is judged.
    let config = Config::streaming().with("catalog: { max_age: 1h }");
    lab_with(&config, |lab| {
        let token = lab.gateway.agent("steady")?;
        let known = fifth(lab)?;
        for extended in [false, true] {
            let mut wire = lab.wire(&token)?;
            assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
            lab.server.sql(
                "ALTER TABLE customers RENAME COLUMN ssn TO city2; \
                            ALTER TABLE customers RENAME COLUMN city TO ssn; \
                            ALTER TABLE customers RENAME COLUMN city2 TO city",
            )?;
            let text = "SELECT * FROM customers WHERE id = 5";
            let reply = if extended { wire.extended(text, &[], 1)? } else { wire.query(text)? };
            if let Some(error) = reply.error() {
                assert!(error.all.contains("catalog_changed"), "{error:?}");
            }
            for n in ["1", "2", "3"] {
                assert_eq!(wire.query(&format!("SELECT {n}"))?.text(), [[n]], "in step afterwards");
            }
            nothing_leaked(&wire, &known, "after a rename");
        }
        Ok(())
    })
}

#[test]
fn a_column_added_behind_the_catalog_gives_one_error_and_no_hang() -> Result<()> {
    let config = Config::streaming().with("catalog: { max_age: 1h }");
    lab_with(&config, |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("steady")?)?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        lab.server.sql("ALTER TABLE customers ADD COLUMN extra text DEFAULT 'x'")?;
        let reply = wire.query("SELECT * FROM customers WHERE id = 5")?;
        let error = reply.error().context("withheld")?;
        assert!(error.all.contains("catalog_changed") && reply.rows().is_empty(), "{error:?}");
        for n in ["1", "2", "3"] {
            assert_eq!(wire.query(&format!("SELECT {n}"))?.text(), [[n]], "in step afterwards");
        }
        Ok(())
    })
}

#[test]
fn p3_values_that_look_like_cards_are_found_in_unnamed_columns() -> Result<()> {
    let rules =
        "\n  - name: found\n    mask: { types: [CREDIT_CARD, US_SSN, EMAIL], with: redact }\n";
    lab_with(&Config::rules(rules), |lab| {
        let token = lab.gateway.agent("reader")?;
        let mut wire = lab.wire(&token)?;
        let reply =
            wire.query("SELECT credit_card, 'call ' || email FROM customers WHERE id = 5")?;
        ensure!(reply.error().is_none(), "{:?}", reply.error());
        assert!(!wire.has_received(b"customer5@shop.example"), "{:?}", reply.text());
        for (column, value) in fifth(lab)?.iter().filter(|(column, _)| column == "credit_card") {
            assert!(!wire.has_received(value), "{column}: {:?}", reply.text());
        }
        Ok(())
    })
}

#[test]
fn r7_the_catalog_stays_fresh_for_a_session_that_follows_another_at_once() -> Result<()> {
    lab_with(&Config::streaming(), |lab| {
        let token = lab.gateway.agent("quick")?;
        // What the survey asks each time.
        let probes = || -> Result<usize> {
            let log = lab.server.log()?;
            Ok(log.lines().filter(|line| line.contains("pg_current_snapshot()")).count())
        };
        let looked_at = |what: &str| {
            let before = probes()?;
            until(what, || Ok((probes()? >= before + 3).then_some(())))
        };
        let first = lab.wire(&token)?;
        looked_at("the catalog is looked at while a session lives")?;
        drop(first);
        lab.gateway.events_of("quick")?;
        let mut wire = lab.wire(&token)?;
        looked_at("the catalog is looked at while the next session lives")?;
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        Ok(())
    })
}

#[test]
fn r5_guesses_at_a_masked_column_are_counted_over_sessions_and_restarts() -> Result<()> {
    let config = Config::rules("\n  - name: hide\n    mask: { fields: [ssn] }\n");
    lab_with(&config.with("predicates: { budget: 3 }"), |lab| {
        let token = lab.gateway.agent("guesser")?;
        let known = lab.server.sql("SELECT ssn FROM customers WHERE id = 7")?;
        let ask = |lab: &Lab, ssn: &str| -> Result<Reply> {
            let text = format!("SELECT id, ssn FROM customers WHERE ssn = '{ssn}'");
            lab.wire(&token)?.query(&text)
        };
        let right = ask(lab, known.trim())?;
        let row = right.rows().into_iter().next().context("its row does not come")?;
        assert_eq!(row.last(), Some(&Some(b"[REDACTED]".to_vec())));
        for wrong in ["000-00-0001", "000-00-0002"] {
            assert_eq!(ask(lab, wrong)?.rows().len(), 0);
        }
        let spent = ask(lab, "000-00-0003")?;
        let words = format!("{:?}", spent.error().context("a fourth value is answered")?);
        assert!(words.contains("guesses_spent"), "{words}");
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        let spent = ask(lab, "000-00-0003")?;
        assert!(spent.error().is_some(), "a restart gives a budget anew");
        assert!(ask(lab, known.trim())?.error().is_none(), "what was asked before costs nothing");
        Ok(())
    })
}
