# dbench: the file operations of 4 office clients, from its own load file.
# needs: dbench
dbench -D . -t "$([ "$QUICK" = 1 ] && echo 3 || echo 15)" 4 >"$OUTSIDE/dbench.txt" 2>&1 ||
  { tail -n 20 "$OUTSIDE/dbench.txt"; exit 1; }
if grep -iE 'failed|error' "$OUTSIDE/dbench.txt"; then exit 1; fi
grep Throughput "$OUTSIDE/dbench.txt"
