# A JavaScript engine that starts, with its threads, and ends.
set -e
case $1 in
prepare) node --version >/dev/null ;;
run) node -e 'require("http"); console.log(1)' ;;
esac
