# stress-ng's file system stressors, one after the other, two instances each, 2 seconds each, 60 in all.
# Not getdent: it reads the whole machine from "/", also the mounts of others, and hangs with them.
# needs: stress-ng
# The usual gigabyte each is more than a memory file system has.
sizes=(--iomix-bytes 64m)
stressors='access chmod chown copy-file dentry dir dirdeep dirmany fallocate fcntl file-ioctl filename flock fpunch
  fstat hdd iomix lease link locka lockf mknod open rename seek symlink sync-file utime xattr'
each=$([ "$QUICK" = 1 ] && echo 1s || echo 2s)
bad=0
for name in $stressors; do
  out=$OUTSIDE/stress.txt
  code=0
  timeout -k 5 60 stress-ng --temp-path . "${sizes[@]}" --"$name" 2 --verify --seed "$SEED" --timeout "$each" \
    >"$out" 2>&1 || code=$?
  # 3: no resources, 4: no such system call; it says which.
  case $code in
    0) ;;
    3 | 4) echo "skipped by stress-ng: $name: $(grep -m 1 -i 'skip\|resource' "$out" || cat "$out")" ;;
    *) echo "stress-ng --$name ended with $code"; tail -n 20 "$out"; bad=1 ;;
  esac
done
exit "$bad"
