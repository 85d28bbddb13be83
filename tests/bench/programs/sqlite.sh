# 300 transactions in a database file, each of which ends with fsync.
set -e
case $1 in
prepare) python3 -c 'import sqlite3' ;;
run)
    rm -f "$3/t.db"
    python3 - "$3/t.db" <<'PY'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("create table t (id integer primary key, name text)")
for i in range(300):
    database.execute("insert into t values (?, ?)", (i, f"name {i}"))
print(database.execute("select count(*) from t").fetchone())
PY
    ;;
esac
