// Azurite, Microsoft's emulator of Azure's blobs, with one container.
//
//   node azure.js PORT_FILE CONTAINER
//
// Writes its port into PORT_FILE once the container is there.

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

// What the emulator's own account has everywhere.
const ACCOUNT = 'devstoreaccount1';
const KEY =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/// "Create Container", signed by "Authorize with Shared Key".
function make(port, container) {
  const fields = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06' };
  const named = Object.entries(fields).map(([name, value]) => `${name}:${value}\n`).join('');
  const what = `/${ACCOUNT}/${ACCOUNT}/${container}\nrestype:container`;
  const text = `PUT${'\n'.repeat(12)}${named}${what}`;
  const signature = crypto.createHmac('sha256', Buffer.from(KEY, 'base64')).update(text);
  fields.Authorization = `SharedKey ${ACCOUNT}:${signature.digest('base64')}`;
  fields['Content-Length'] = 0;
  const path = `/${ACCOUNT}/${container}?restype=container`;
  return new Promise((made, failed) => {
    const request = { host: '127.0.0.1', port, method: 'PUT', path, headers: fields };
    http.request(request, (answer) => {
      answer.resume();
      if (answer.statusCode === 201) made();
      else failed(new Error(`the container was not made: ${answer.statusCode}`));
    }).on('error', failed).end();
  });
}

const [portFile, container] = process.argv.splice(2);
console.log = async (said) => {
  const port = said.match(/successfully listens on http:\/\/127\.0\.0\.1:(\d+)/)?.[1];
  if (!port) return;
  await make(Number(port), container);
  fs.writeFileSync(`${portFile}.new`, port);
  fs.renameSync(`${portFile}.new`, portFile);
};
// It takes a port that is free, keeps everything in memory, and tells nobody; nobody reads what it
// would write about each request, either.
const words = ['--blobPort', '0', '--inMemoryPersistence', '--disableTelemetry', '--silent'];
process.argv.push(...words);
require('azurite/dist/src/blob/main.js');
