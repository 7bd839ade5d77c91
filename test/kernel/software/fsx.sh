# Our own random tester, test/kernel/fsx.c: two files at once, against plain files on tmpfs.
# needs: gcc
gcc -O2 -o "$OUTSIDE/fsx" "$SOFTWARE/../fsx.c"
count=$([ "$QUICK" = 1 ] && echo 5000 || echo "${FSX_OPERATIONS:-250000}")
pids=()
for i in 0 1; do
  "$OUTSIDE/fsx" "./file$i" "$OUTSIDE/model$i" $((SEED + i)) "$count" &
  pids+=($!)
done
bad=0
for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
exit "$bad"
