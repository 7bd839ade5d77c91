# fio with verify: what 4 jobs wrote is read back and compared by checksum, by system calls and through mappings.
# needs: fio
size=$([ "$QUICK" = 1 ] && echo 4m || echo 24m)
for engine in psync mmap; do
  fio --name="$engine" --directory=. --ioengine="$engine" --rw=randwrite --bsrange=4k-64k --bs_unaligned=0 \
    --size="$size" --numjobs=4 --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 --group_reporting \
    --randseed="$SEED" --minimal >"$OUTSIDE/fio.txt" || { tail -n 20 "$OUTSIDE/fio.txt"; exit 1; }
  rm -f ./*
done
# Reads and writes at once, 4 jobs in one file each, checked as they are read.
fio --name=mixed --directory=. --ioengine=psync --rw=randrw --bs=4k --size="$size" --numjobs=4 --verify=md5 \
  --verify_fatal=1 --verify_backlog=64 --randseed="$SEED" --minimal >"$OUTSIDE/fio.txt" ||
  { tail -n 20 "$OUTSIDE/fio.txt"; exit 1; }
