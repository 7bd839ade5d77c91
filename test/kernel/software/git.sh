# git: a history of 500 commits with branches and merges, packed, cloned, and checked in full.
# needs: git
export HOME=$OUTSIDE GIT_CONFIG_NOSYSTEM=1
git config --global user.name proof
git config --global user.email proof@example.org
git config --global gc.auto 0
git config --global init.defaultBranch main
git config --global advice.detachedHead false
count=$([ "$QUICK" = 1 ] && echo 60 || echo 500)
git init -q made
cd made
for i in $(seq "$count"); do
  mkdir -p "d$((i % 20))"
  echo "line $i" >>"d$((i % 20))/f$((i % 50))"
  [ $((i % 7)) -ne 0 ] || git rm -q --ignore-unmatch "d$((i % 20))/f$(((i + 20) % 50))"
  git add -A
  git commit -q --allow-empty -m "commit $i"
done
[ "$(git rev-list --count HEAD)" = "$count" ]
git checkout -q -b side "HEAD~$((count / 2))"
echo side >side.txt
git add side.txt
git commit -q -m side
git checkout -q main
git merge -q -m merge side
git gc -q --aggressive --prune=now
git fsck --full --strict
git status --porcelain >"$OUTSIDE/status.txt"
[ ! -s "$OUTSIDE/status.txt" ]
cd ..
git clone -q --no-local made cloned
git -C cloned fsck --full --strict
[ "$(git -C made rev-parse HEAD)" = "$(git -C cloned rev-parse HEAD)" ]
diff -r --exclude=.git made cloned
git clone -q --no-local made "$OUTSIDE/outside"
diff -r --exclude=.git made "$OUTSIDE/outside"
