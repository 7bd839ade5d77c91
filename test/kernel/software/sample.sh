# Not a step: makes the tree in "$1" that rsync and tar carry about. Names are bytes, modes and owners differ.
mkdir -p "$1" && cd "$1"
for d in $(seq 20); do
  mkdir "dir$d"
  for f in $(seq 25); do head -c $((d * f * 37)) /dev/urandom >"dir$d/file$f"; done
done
: >empty
: >$'not-utf8-\xff\xfe'
: >$'new\nline and space'
head -c 3000000 /dev/urandom >big
truncate -s 5000000 holes && printf end >>holes
ln dir1/file1 hard1 && ln dir1/file1 dir2/hard2
ln -s ../dir1/file1 dir3/link && ln -s missing dangling && ln -s dir4 todir
chmod 4755 dir1/file2 && chmod 2711 dir1/file3 && chmod 000 dir1/file4 && chmod 1777 dir5 && chmod 2775 dir6
chown 1234:5678 dir1/file5 dir7 && chown -h 1234:5678 dir3/link
touch -d '1999-12-31 23:59:59.123456' dir1/file6 && touch -d '2050-01-01' dir1/file7 && touch -d '1985-05-05' dir8
# What the mount does not have, no tool can carry there.
if [ "$HAS_XATTR" = 1 ]; then
  setfattr -n user.plain -v value dir1/file8 && setfattr -n user.empty -v '' dir9
  head -c 3000 /dev/zero | tr '\0' x >"$OUTSIDE/value" && setfattr -n user.long -v "$(cat "$OUTSIDE/value")" dir1/file9
fi
if [ "$HAS_ACL" = 1 ]; then
  setfacl -m u:1234:rwx,g:5678:r dir1/file10 && setfacl -d -m u:1234:rx dir10
fi
if [ "$HAS_FIFO" = 1 ]; then mkfifo fifo && mknod null c 1 3; fi
# Where times are kept to the microsecond, a finer one cannot come back. Directories last.
if [ "$EXACT_TIMES" = 0 ]; then
  find . -depth -printf '%Ts.%TS\t%p\0' | while IFS=$'\t' read -r -d '' time path; do
    fraction=${time##*.}
    touch -h -d "@${time%%.*}.${fraction:0:6}" "$path"
  done
fi
