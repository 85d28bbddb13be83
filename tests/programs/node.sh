# needs: node
cat > t.js <<'J'
const http = require('http'), { Worker, isMainThread, parentPort, workerData } = require('worker_threads'), { execFile } = require('child_process'), fs = require('fs'), crypto = require('crypto');
if (!isMainThread) { parentPort.postMessage(workerData * 2); } else {
  const server = http.createServer((q, s) => { let b = ''; q.on('data', d => b += d); q.on('end', () => s.end(q.url + b)); });
  server.listen(0, '127.0.0.1', async () => {
    const port = server.address().port;
    const get = i => new Promise(done => { const q = http.request({ port, host: '127.0.0.1', path: '/' + i, method: 'POST' }, r => { let b = ''; r.on('data', d => b += d); r.on('end', () => done(b)); }); q.end('x'.repeat(i)); });
    console.log(await Promise.all([1, 2, 3].map(get)));
    console.log(await Promise.all([1, 2, 3].map(n => new Promise(done => new Worker(__filename, { workerData: n }).on('message', done)))));
    execFile('sh', ['-c', 'echo child; exit 3'], (e, out) => { console.log(out.trim(), e.code); fs.writeFileSync('f', 'data'); console.log(fs.readFileSync('f', 'utf8'), crypto.createHash('sha256').update('a').digest('hex').slice(0, 8)); server.close(); });
  });
}
J
exec node t.js
