# GNU find, cp -a, mv and rm -rf of 20,000 files.
# needs: find cp mv rm diff
dirs=$([ "$QUICK" = 1 ] && echo 20 || echo 200)
for d in $(seq "$dirs"); do
  mkdir -p "a/d$((d % 10))/e$d"
  for f in $(seq 100); do echo "$d $f" >"a/d$((d % 10))/e$d/f$f"; done
done
count() { find "$1" -type f | wc -l; }
[ "$(count a)" = $((dirs * 100)) ]
[ "$(find a -type f -name 'f1*' | wc -l)" = $((dirs * 12)) ]
cp -a a b
diff -r a b
(cd a && find . -printf '%p %y %m %u %g %s %T@ %l\n' | sort) >"$OUTSIDE/a.txt"
(cd b && find . -printf '%p %y %m %u %g %s %T@ %l\n' | sort) >"$OUTSIDE/b.txt"
[ "$EXACT_TIMES" = 0 ] || diff "$OUTSIDE/a.txt" "$OUTSIDE/b.txt" | head -n 20
[ "$EXACT_TIMES" = 0 ] || cmp "$OUTSIDE/a.txt" "$OUTSIDE/b.txt"
mkdir c
mv b/d* c/
[ "$(count c)" = $((dirs * 100)) ]
[ -z "$(ls b)" ]
find c -type f -name 'f*5' -delete
[ "$(count c)" = $((dirs * 90)) ]
cp -a c "$OUTSIDE/c"
diff -r c "$OUTSIDE/c"
mv "$OUTSIDE/c" back
[ "$(count back)" = $((dirs * 90)) ]
rm -rf a b c back
[ -z "$(ls -A)" ]
