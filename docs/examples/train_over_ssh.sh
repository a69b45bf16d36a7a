#!/usr/bin/env bash
# Trains on several machines, started from this one over ssh. The first machine is the chief: its
# --out alone is written. Ctrl-C ends all of them.
#
#   bash train_over_ssh.sh host1 host2 -- --data /data/faces --format records --out runs/big
#
# Each machine needs asmnet-kit in the PATH of ssh, the same version, the data, and to be reached by
# the others under the name given here: no firewall between them.
set -euo pipefail

hosts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  hosts+=("$1")
  shift
done
if [ ${#hosts[@]} -lt 2 ] || [ $# -lt 2 ]; then
  echo "usage: bash train_over_ssh.sh HOST HOST ... -- TRAIN_OPTIONS" >&2
  exit 2
fi
shift # --

list=$(printf '"%s:2222", ' "${hosts[@]#*@}") # user@host is of ssh alone
workers="[${list%, }]"
started=()
for index in "${!hosts[@]}"; do
  config="{\"cluster\": {\"worker\": $workers}, \"task\": {\"type\": \"worker\", \"index\": $index}}"
  # Quoted once more, for the shell on the other machine. -tt: the end of ssh ends the command.
  command=$(printf '%q ' env "TF_CONFIG=$config" asmnet-kit train --strategy multiworker "$@")
  ssh -tt "${hosts[$index]}" "$command" </dev/null &
  started+=($!)
done
trap 'kill "${started[@]}" 2>/dev/null || true' INT TERM

status=0
for process in "${started[@]}"; do
  wait "$process" || status=$?
done
exit "$status"
