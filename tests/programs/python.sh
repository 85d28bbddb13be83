# needs: /usr/bin/python3
cat > t.py <<'P'
import asyncio, mmap, multiprocessing as mp, os, pty, signal, sqlite3, subprocess, sys, threading, socket, tempfile, time, json, select
def square(x): return x * x
if __name__ == "__main__":
    total = []; lock = threading.Lock()
    def work(n):
        for _ in range(1000):
            with lock: total.append(n)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [t.start() for t in threads]; [t.join() for t in threads]; print("threads", len(total))
    print(subprocess.run(["sh", "-c", "cat; exit 5"], input=b"in", capture_output=True))
    for method in ("fork", "spawn"):
        with mp.get_context(method).Pool(3) as pool: print(method, pool.map(square, range(10)))
    q = mp.get_context("fork").Queue(); p = mp.get_context("fork").Process(target=q.put, args=([1, 2],)); p.start(); print(q.get()); p.join(); print(p.exitcode)
    async def main():
        async def echo(r, w): w.write(await r.readline()); await w.drain(); w.close()
        server = await asyncio.start_server(echo, "127.0.0.1", 0); port = server.sockets[0].getsockname()[1]
        r, w = await asyncio.open_connection("127.0.0.1", port); w.write(b"line\n"); print(await r.readline()); w.close()
        proc = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE); print((await proc.communicate())[0]); server.close()
    asyncio.run(main())
    db = sqlite3.connect("x.db"); db.execute("create table t (a integer primary key, b text)"); db.executemany("insert into t (b) values (?)", [(str(i),) for i in range(1000)]); db.commit(); print(db.execute("select count(*), max(a) from t").fetchone()); db.execute("pragma journal_mode=wal").fetchone(); db.execute("delete from t where a > 500"); db.commit(); print(db.execute("pragma integrity_check").fetchone())
    with open("m", "wb+") as f:
        f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[4096:4100] = b"page"; m.flush(); f.seek(4096); print(f.read(4))
    got = []; signal.signal(signal.SIGALRM, lambda s, f: got.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2); print("alarm", len(got))
    pid, fd = pty.fork()
    if pid == 0: os.execvp("sh", ["sh", "-c", "test -t 0 && echo tty; stty size"])
    out = b""
    while True:
        try: data = os.read(fd, 100)
        except OSError: break
        if not data: break
        out += data
    os.waitpid(pid, 0); print(out)
    a, b = socket.socketpair(); a.send(b"x"); print(select.select([b], [], [], 1)[0] == [b]); print(json.dumps({"pi": 3.5}), os.cpu_count() > 0, sys.version_info >= (3, 9))
P
exec /usr/bin/python3 t.py
