# rsync -aHAX --checksum: into the mount, out of it, and nothing left to do in either direction.
# needs: rsync setfattr setfacl
bash "$SOFTWARE/sample.sh" "$OUTSIDE/tree"
rsync -aHAX --checksum "$OUTSIDE/tree/" in/
rsync -aHAX --checksum in/ "$OUTSIDE/back/"
compare() {
  rsync -aHAX --checksum --delete --dry-run --itemize-changes "$1/" "$2/" >"$OUTSIDE/left.txt"
  if [ -s "$OUTSIDE/left.txt" ]; then echo "$1 and $2 differ:"; head -n 20 "$OUTSIDE/left.txt"; exit 1; fi
}
compare "$OUTSIDE/tree" in
compare in "$OUTSIDE/tree"
compare "$OUTSIDE/tree" "$OUTSIDE/back"
# Changes in place, a hard link that goes, a file that becomes a directory.
rm "$OUTSIDE/tree/hard1" "$OUTSIDE/tree/empty" && mkdir "$OUTSIDE/tree/empty" && echo more >>"$OUTSIDE/tree/big"
rsync -aHAX --checksum --inplace --delete "$OUTSIDE/tree/" in/
compare "$OUTSIDE/tree" in
