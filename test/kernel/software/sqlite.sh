# sqlite3 in WAL mode: three processes write at once; nothing is lost, nothing is corrupt.
# needs: sqlite3
count=$([ "$QUICK" = 1 ] && echo 100 || echo 1000)
[ "$(sqlite3 a.db 'PRAGMA journal_mode=WAL;')" = wal ]
sqlite3 a.db 'CREATE TABLE t (writer INTEGER, n INTEGER, data BLOB, PRIMARY KEY (writer, n));'
pids=()
for writer in 1 2 3; do
  {
    echo '.timeout 60000'
    for n in $(seq "$count"); do
      echo "BEGIN IMMEDIATE; INSERT INTO t VALUES ($writer, $n, randomblob(200 + $n % 3000));"
      echo "UPDATE t SET data = randomblob(100) WHERE writer = $writer AND n = $n / 2; COMMIT;"
    done
  } | sqlite3 -bail a.db &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
[ "$(sqlite3 a.db 'SELECT count(*) FROM t;')" = $((3 * count)) ]
[ "$(sqlite3 a.db 'PRAGMA integrity_check;')" = ok ]
sqlite3 a.db 'PRAGMA wal_checkpoint(TRUNCATE);' >"$OUTSIDE/checkpoint.txt"
[ ! -s a.db-wal ]
cp a.db "$OUTSIDE/copy.db"
[ "$(sqlite3 "$OUTSIDE/copy.db" 'PRAGMA integrity_check;')" = ok ]
[ "$(sqlite3 "$OUTSIDE/copy.db" 'SELECT count(*) FROM t;')" = $((3 * count)) ]
