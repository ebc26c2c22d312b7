// node-postgres through the gateway: text and binary results, prepared statements, cursors, streams,
// COPY, transactions, notifications.
'use strict';

const assert = require('node:assert/strict');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');

const REDACTED = '[REDACTED]';
// A notification's payload is withheld from a principal with masks.
const MASKED = (process.env.MASKED ?? '1') === '1';
const LARGE = (process.env.LARGE ?? '1') === '1';
const steps = [];
const step = (name, run) => steps.push({ name, run });

async function withClient(run, options = {}) {
  const client = new Client({ ssl: false, ...options });
  await client.connect();
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}

step('reads_are_masked_in_text_and_binary', () => withClient(async (client) => {
  for (const binary of [false, true]) {
    const { rows } = await client.query({ text: 'SELECT id, email, ssn, credit_card FROM customers WHERE id = $1', values: [7], binary });
    assert.deepEqual(rows, [{ id: 7, email: 'customer7@shop.example', ssn: REDACTED, credit_card: REDACTED }]);
  }
  const simple = await client.query('SELECT ssn FROM customers WHERE id = 7');
  assert.equal(simple.rows[0].ssn, REDACTED);
}));

step('parameters', () => withClient(async (client) => {
  const { rows: [row] } = await client.query(
    'SELECT $1::text AS t, $2::bytea AS b, $3::int[] AS a, $4::jsonb AS j, $5::bool AS y, $6::int AS n',
    ['naïve ☃', Buffer.from([0, 255]), [1, null, 3], { a: 1 }, true, null]);
  assert.deepEqual(row, { t: 'naïve ☃', b: Buffer.from([0, 255]), a: [1, null, 3], j: { a: 1 }, y: true, n: null });
}));

step('named_statements_are_reused', () => withClient(async (client) => {
  for (let id = 1; id < 40; id += 1) {
    const { rows } = await client.query({ name: 'one-customer', text: 'SELECT id, ssn FROM customers WHERE id = $1', values: [id] });
    assert.deepEqual(rows, [{ id, ssn: REDACTED }]);
  }
}));

step('cursors_read_in_batches', () => withClient(async (client) => {
  const cursor = client.query(new Cursor('SELECT id, credit_card FROM customers ORDER BY id LIMIT 1000'));
  let next = 1;
  for (;;) {
    const rows = await cursor.read(128);
    if (rows.length === 0) break;
    for (const row of rows) {
      assert.deepEqual(row, { id: next, credit_card: REDACTED });
      next += 1;
    }
  }
  assert.equal(next, 1001);
  await cursor.close();
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
}));

step('streams', () => withClient(async (client) => {
  let seen = 0;
  for await (const row of client.query(new QueryStream('SELECT ssn FROM customers WHERE id <= $1', [3000], { batchSize: 100 }))) {
    assert.equal(row.ssn, REDACTED);
    seen += 1;
  }
  assert.equal(seen, 3000);
}));

step('copy_in_and_out', () => withClient(async (client) => {
  await pipeline(
    Readable.from((function* lines() { for (let n = 200000; n < 205000; n += 1) yield `${n}\tnode ${n}\n`; })()),
    client.query(copyFrom('COPY numbers FROM STDIN')));
  assert.equal((await client.query('SELECT count(*)::int AS n FROM numbers WHERE id >= 200000')).rows[0].n, 5000);
  let text = '';
  for await (const chunk of client.query(copyTo('COPY (SELECT id, credit_card FROM customers WHERE id <= 200) TO STDOUT'))) {
    text += chunk.toString();
  }
  assert.equal(text.split(REDACTED).length - 1, 200);
}));

step('a_refusal_inside_a_transaction_aborts_it_for_real', () => withClient(async (client) => {
  await client.query('BEGIN');
  await client.query("INSERT INTO notes (body) VALUES ('node, lost')");
  await assert.rejects(client.query('UPDATE notes SET body = $1', ['x']), (error) => error.code === '42501' && /destructive statement/.test(error.message));
  await assert.rejects(client.query('SELECT 1'), (error) => error.code === '25P02');
  await client.query('COMMIT');
  assert.equal((await client.query("SELECT count(*)::int AS n FROM notes WHERE body = 'node, lost'")).rows[0].n, 0);
}));

step('errors_leave_the_session_usable', () => withClient(async (client) => {
  await assert.rejects(client.query('SELECT 1 / 0'), (error) => error.code === '22012');
  await assert.rejects(client.query('SELEC 1'), (error) => error.code === '42601');
  assert.equal((await client.query('SELECT 2 AS two')).rows[0].two, 2);
}));

step('listen_and_notify', () => withClient((listener) => withClient(async (client) => {
  const heard = new Promise((resolve) => { listener.once('notification', (note) => resolve(note.payload)); });
  await listener.query('LISTEN bell_node');
  await client.query("NOTIFY bell_node, 'ding'");
  assert.equal(await heard, MASKED ? '' : 'ding');
})));

step('pools', async () => {
  const pool = new Pool({ ssl: false, max: 5 });
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => pool.query('SELECT id FROM customers WHERE id = $1', [n + 1])));
  assert.deepEqual(answers.map((answer) => answer.rows[0].id), Array.from({ length: 100 }, (_, n) => n + 1));
  await pool.end();
});

step('large_results', () => withClient(async (client) => {
  if (!LARGE) return;
  const { rows } = await client.query("SELECT n, repeat('x', 50) AS filler FROM generate_series(1, 200000) AS n");
  assert.equal(rows.length, 200000);
  const masked = await client.query('SELECT id, ssn FROM customers');
  assert.equal(masked.rows.length, 60000);
  assert.ok(masked.rows.every((row) => row.ssn === REDACTED));
}));

(async () => {
  const failed = [];
  const only = process.argv.slice(2);
  for (const { name, run } of steps.filter((one) => only.length === 0 || only.includes(one.name))) {
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('took longer than 120 s')), 120_000); });
    try {
      await Promise.race([run(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      failed.push(name);
      console.log(`FAILED ${name}\n${error.stack}`);
    }
    clearTimeout(timer);
  }
  if (failed.length > 0) {
    console.error(`failed: ${failed.join(', ')}`);
    process.exit(1);
  }
  process.exit(0);
})();
