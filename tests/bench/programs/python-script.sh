# A script that mostly computes: json, regular expressions, a database in memory.
set -e
case $1 in
prepare)
    python3 -c 'import sqlite3'
    cat >"$2/script.py" <<'PY'
import json, re, sqlite3
records = [{"id": i, "name": f"name-{i}", "tags": [str(i % 7), str(i % 11)]} for i in range(20000)]
text = json.dumps(records)
assert json.loads(text) == records
words = re.findall(r'"name-(\d+)[05]"', text)
database = sqlite3.connect(":memory:")
database.execute("create table t (id integer primary key, name text)")
database.executemany("insert into t values (?, ?)", [(r["id"], r["name"]) for r in records])
print(len(words), database.execute("select count(*) from t where name like '%7%'").fetchone()[0])
PY
    ;;
run) python3 "$2/script.py" ;;
esac
