# needs: git
set -eu
export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1
git init -q -b main r; cd r
for i in $(seq 1 500); do mkdir -p d$((i % 20)); echo "content $i" > d$((i % 20))/f$i; done
git add .; git commit -q -m first; git rev-parse HEAD; echo more >> d1/f1; git diff --stat; git commit -q -a -m second; git log --oneline | wc -l; git status --porcelain | wc -l
cd ..; git clone -q r c; cd c; git log --format=%s; ls | wc -l; git fsck 2>/dev/null; git checkout -q -b other; git rm -q -r d2; git commit -q -m third; git merge-base main other; git gc -q; git count-objects -v | grep in-pack
