# An archive of 5,000 small files.
set -e
case $1 in
prepare)
    for d in $(seq 1 50); do
        mkdir "$2/d$d"
        for f in $(seq 1 100); do echo "file $d $f" >"$2/d$d/f$f"; done
    done
    ;;
run) tar -C "$2" -cf - . | wc -c ;;
esac
