# A server and its benchmark on loopback: 20,000 requests from 20 connections.
set -e
case $1 in
prepare) redis-server --version >/dev/null && redis-benchmark --version >/dev/null ;;
run)
    redis-server --port 7391 --bind 127.0.0.1 --save '' --dir "$3" --daemonize no >"$3/redis.log" &
    until redis-cli -p 7391 ping >"$3/redis.ping" 2>&1; do sleep 0.02; done
    redis-benchmark -p 7391 -q -n 20000 -c 20 -t set,get
    redis-cli -p 7391 shutdown nosave || true
    wait
    ;;
esac
