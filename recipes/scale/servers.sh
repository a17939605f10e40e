#!/usr/bin/env bash
# Serves a model on every GPU of this machine, one server each, and keeps their addresses in a list.
#
#   servers.sh MODEL LIST [options of `shrinklm teacher serve`]
#
# A recipe names the list: teacher: {use: "endpoint:@LIST#NAME"}. An address stands in it while its server answers, so
# that machines may come and go; several machines may share a list in a shared folder. A server that ends is started
# anew. Ctrl-C or SIGTERM ends all and takes their addresses out.
#
# GPUS=2      so many GPUs instead of all
# HOST=name   the name by which other machines reach this one
# PORT=8000   the port of the first server; the others follow
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: servers.sh MODEL LIST [options of shrinklm teacher serve]" >&2
    exit 2
fi
model=$1 list=$2
shift 2
gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
host=${HOST:-$(hostname)}
first=${PORT:-8000}

add() {
    (
        flock 9
        echo "$1" >> "$list"
    ) 9>> "$list.lock"
}

remove() {
    (
        flock 9
        touch "$list"
        grep --invert-match --line-regexp --fixed-strings -e "$1" "$list" > "$list.new" || true
        mv "$list.new" "$list"
    ) 9>> "$list.lock"
}

serve() {
    local gpu=$1 port=$((first + $1)) pid=""
    shift
    local address="http://$host:$port/v1"
    trap 'if [ -n "$pid" ]; then kill "$pid" 2> /dev/null || true; fi; remove "$address"; exit' TERM
    while true; do
        CUDA_VISIBLE_DEVICES=$gpu shrinklm teacher serve "$model" --host 0.0.0.0 --port "$port" "$@" &
        pid=$!
        until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
            kill -0 "$pid" 2> /dev/null || break
            sleep 1 &
            wait $!
        done
        if kill -0 "$pid" 2> /dev/null; then
            add "$address"
        fi
        wait "$pid" || true
        remove "$address"
        echo "The server on GPU $gpu ended. It is started anew in 10 seconds." >&2
        sleep 10 &
        wait $!
    done
}

children=()
stop() {
    trap - TERM INT
    kill "${children[@]}" 2> /dev/null || true
    wait
    exit 0
}
trap stop TERM INT
for ((gpu = 0; gpu < gpus; gpu++)); do
    serve "$gpu" "$@" &
    children+=($!)
done
wait
