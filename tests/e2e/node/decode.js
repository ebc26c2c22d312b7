// As decode_psycopg.py: every masked column still decodes, in text and in binary.
'use strict';

const assert = require('node:assert/strict');
const { Client } = require('pg');

(async () => {
  const client = new Client({ ssl: false });
  await client.connect();
  for (const binary of [false, true]) {
    const { rows } = await client.query({ text: 'SELECT * FROM vault ORDER BY id', values: [], binary });
    assert.equal(rows.length, 2);
    const [masked, empty] = rows;
    assert.equal(masked.plain, 'visible');
    const secrets = Object.keys(masked).filter((name) => name.startsWith('secret_'));
    assert.ok(secrets.length > 60);
    for (const name of secrets) assert.equal(empty[name], null, name);
    for (const [name, type] of [['int4', 'number'], ['bool', 'boolean'], ['text', 'string'], ['float8', 'number']]) {
      const value = masked[`secret_${name}`];
      assert.ok(value === null || typeof value === type, `${name}: ${value}`);
    }
  }
  await client.end();
})().catch((error) => { console.error(error.stack); process.exit(1); });
