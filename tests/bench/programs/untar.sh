# 5,000 small files written from an archive and removed.
set -e
case $1 in
prepare)
    mkdir "$2/tree"
    for d in $(seq 1 50); do
        mkdir "$2/tree/d$d"
        for f in $(seq 1 100); do echo "file $d $f" >"$2/tree/d$d/f$f"; done
    done
    tar -C "$2/tree" -cf "$2/tree.tar" .
    ;;
run) mkdir -p "$3/untar" && tar -C "$3/untar" -xf "$2/tree.tar" && rm -rf "$3/untar" ;;
esac
