# An interpreter that starts and ends: hundreds of stats, opens and reads of small files.
set -e
case $1 in
prepare) python3 -c 'import json' ;;
run) python3 -c 'import json, re, os' ;;
esac
