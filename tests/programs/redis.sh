# needs: redis-server redis-cli redis-benchmark
set -eu
redis-server --port 7391 --bind 127.0.0.1 --unixsocket "$PWD/s" --save '' --appendonly no --daemonize no > log 2>&1 &
for _ in $(seq 100); do redis-cli -p 7391 ping >/dev/null 2>&1 && break; sleep 0.05; done
redis-cli -p 7391 set k v; redis-cli -s "$PWD/s" get k; redis-cli -p 7391 incrby n 5; redis-cli -p 7391 rpush l a b c; redis-cli -s "$PWD/s" lrange l 0 -1
redis-benchmark -p 7391 -n 2000 -c 20 -q -t set,get 2>/dev/null | tr '\r' '\n' | grep -c 'requests per second'
redis-benchmark -s "$PWD/s" -n 2000 -c 20 -q -t ping 2>/dev/null | tr '\r' '\n' | grep -c 'requests per second'
redis-cli -p 7391 shutdown nosave || true; wait; echo done
