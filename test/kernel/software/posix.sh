# Our own testers of POSIX conduct: a table of rules, and random calls of several users against a tmpfs.
# needs: gcc
gcc -O2 -o "$OUTSIDE/rules" "$SOFTWARE"/../posix-rules/rules.c
gcc -O2 -o "$OUTSIDE/fuzz" "$SOFTWARE"/../posix-fuzz/*.c
lacking=() words=()
if [ "$HAS_FIFO" = 0 ]; then lacking+=(specials xattrs exchange tmpfile) words+=(dir); fi
# Lists are attributes to these testers: without the ones they cannot try the others.
if [ "$HAS_FIFO" = 1 ] && [ "$HAS_ACL" = 0 ]; then lacking+=(xattrs) words+=(no-xattrs); fi
# With a write-back cache the kernel says what time it is.
case $OPTIONS in *writeback*) lacking+=(own-times) words+=(writeback) ;; esac
for place in "$OUTSIDE" .; do mkdir -m 755 "$place/rules.d" "$place/fuzz.d"; done
# On tmpfs: does the table itself hold?
"$OUTSIDE/rules" "$OUTSIDE/rules.d" "$SOFTWARE/../posix-rules/rules.txt"
"$OUTSIDE/rules" rules.d "$SOFTWARE/../posix-rules/rules.txt" "${lacking[@]}"
"$OUTSIDE/fuzz" "$OUTSIDE/fuzz.d" fuzz.d "$SEED" "$([ "$QUICK" = 1 ] && echo 10 || echo 100)" 400 "${words[@]}"
