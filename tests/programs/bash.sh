# needs: bash
set -eu
diff <(echo a) <(echo b) && echo same || echo different
for i in 3 1 2; do (sleep 0.$i; exit "$i") & done
for _ in 1 2 3; do code=0; wait -n || code=$?; echo "ended $code"; done
declare -A map=([x]=1 [y]=2); echo "${map[x]}${map[y]} ${#map[@]}"
coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"; exec {COPROC[1]}>&-; wait
mapfile -t lines < <(seq 5); echo "${lines[*]: -2}"
exec 7<<<"here string"; cat <&7
set -o pipefail; false | true || echo "pipefail $?"
trap 'echo bye' EXIT
( ulimit -n 64; ulimit -n ); kill -l 10; printf '%q\n' "a b"
timeout 0.2 sleep 5 || echo "timeout $?"
