# tar: there and back again; both archives are the same, byte by byte.
# needs: tar setfattr setfacl
bash "$SOFTWARE/sample.sh" "$OUTSIDE/tree"
# The names are read in one order, and times in whole seconds, so that archives can be compared.
export TAR_OPTIONS=--warning=no-timestamp
carried=()
[ "$HAS_XATTR" = 0 ] || carried+=(--xattrs)
[ "$HAS_ACL" = 0 ] || carried+=(--acls)
pack() { tar --format=gnu --sort=name --sparse --numeric-owner -C "$1" -cf "$2" .; }
pack "$OUTSIDE/tree" "$OUTSIDE/a.tar"
mkdir in
tar -C in --numeric-owner --same-owner -xpf "$OUTSIDE/a.tar"
pack in b.tar
tar -C in --numeric-owner -df "$OUTSIDE/a.tar"
tar -tvf b.tar | sort >"$OUTSIDE/b.txt"
tar -tvf "$OUTSIDE/a.tar" | sort >"$OUTSIDE/a.txt"
diff "$OUTSIDE/a.txt" "$OUTSIDE/b.txt"
# With everything that this tree has: the mount packs it, and what is unpacked is compared by tar itself.
tar --format=posix "${carried[@]}" -C "$OUTSIDE/tree" -cf c.tar .
mkdir full "$OUTSIDE/full"
tar "${carried[@]}" --same-owner -C full -xpf c.tar
tar "${carried[@]}" -C full -df c.tar
tar --format=posix "${carried[@]}" -C full -c . | tar "${carried[@]}" --same-owner -C "$OUTSIDE/full" -xp
tar "${carried[@]}" -C "$OUTSIDE/full" -df c.tar
