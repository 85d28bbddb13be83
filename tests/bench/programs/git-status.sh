# `git status` in a repository of 5,000 files: a stat of each, and directories read.
set -e
export HOME=$2 GIT_CONFIG_NOSYSTEM=1
case $1 in
prepare)
    git --version >/dev/null
    cd "$2"
    git init -q .
    for d in $(seq 1 50); do
        mkdir "d$d"
        for f in $(seq 1 100); do echo "$d $f" >"d$d/f$f"; done
    done
    git add .
    git -c user.name=n -c user.email=e commit -qm all
    ;;
run) cd "$2" && git -c safe.directory='*' --no-optional-locks status --short ;;
esac
