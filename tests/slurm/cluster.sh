#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/slurm/cluster.sh COMMAND...
# Runs COMMAND with a Slurm of its own, one node in a temporary folder: sbatch, srun, scontrol and squeue speak to it. The
# Slurm of the machine, if there is one, is neither read nor touched. `tests/slurm/cluster.sh bash` is a place to try things.
# Exit codes: COMMAND's; 77 if Slurm cannot run here, and a line says why; 1 if it does not start, and its logs are shown.
set -euo pipefail

skip() { echo "skipped: $*"; exit 77; }
[ $# != 0 ] || { sed -n 's/^# //p' "${BASH_SOURCE[0]}" | sed -n 2,5p >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
for program in slurmctld slurmd sbatch srun munged; do
  command -v $program >/dev/null || skip "Slurm is not installed (cmake/bootstrap.sh --with-slurm)"
done
[ "$(id -u)" = 0 ] || skip "only root can start a Slurm that runs jobs"

cpus=4 # more than the machine may have: the tests look at what Slurm does, not at how fast it is
folder=$(mktemp -d -t m2-slurm.XXXXXX)
daemons=()

stop() {
  trap - EXIT
  if scancel --full --signal=KILL --state=RUNNING >/dev/null 2>&1; then
    for _ in {1..50}; do
      [ -n "$(squeue --noheader 2>/dev/null)" ] || break
      sleep 0.1
    done
  fi
  # Killed, because a slurmd that is asked may wait for a step which waits for slurmctld.
  [ ${#daemons[@]} = 0 ] || { kill -KILL "${daemons[@]}" && wait "${daemons[@]}"; } 2>/dev/null || true
  # Whatever COMMAND, a job or slurmd left running has our slurm.conf in its environment.
  export -n SLURM_CONF
  grep -lszF "SLURM_CONF=$folder/" /proc/[0-9]*/environ | tr -cd '0-9\n' | xargs -r kill -KILL 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

fail() {
  echo "cluster.sh: $*" >&2
  tail -n 20 "$folder"/*.log >&2
  exit 1
}

start() { # start NAME COMMAND...: a daemon that ends when this script ends, even if it is killed
  local name=$1
  shift
  setpriv --pdeathsig=TERM "$@" >"$folder/$name.log" 2>&1 &
  daemons+=($!)
}

free_port() { # the first port from $1 on to which nobody listens
  local port=$1
  while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo $port
}

wait_until() { # wait_until WHAT COMMAND...
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what did not start within 30 s"
    sleep 0.1
  done
}

# A munge of its own as well: the machine's may have no key, or not run.
chmod 755 "$folder"
mkdir -m 755 "$folder/munge" "$folder/state" "$folder/spool" "$folder/pmix"
head -c 1024 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
chown -R munge "$folder/munge"
start munged setpriv --reuid=munge --regid=munge --clear-groups --pdeathsig=TERM munged --foreground \
  --socket="$folder/munge/socket" --key-file="$folder/munge/key" --pid-file="$folder/munge/pid" \
  --seed-file="$folder/munge/seed" --log-file="$folder/munge/log"
wait_until munged munge --no-input --socket="$folder/munge/socket"

host=$(hostname -s)
control_port=$(free_port $((20000 + $$ % 10000)))
export SLURM_CONF=$folder/slurm.conf M2_TEST_SLURM=1
# cred_expire: a requeued job starts again only after this many seconds (120 by default). The GPUs are names only.
cat >"$SLURM_CONF" <<TEXT
ClusterName=m2
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control_port
SlurmdPort=$(free_port $((control_port + 1)))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmdLogFile=$folder/steps.log
TmpFS=$folder/pmix
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmix
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=1000000 Gres=gpu:2
PartitionName=main Nodes=$host Default=YES MaxTime=60
TEXT
echo "NodeName=$host Name=gpu File=/dev/zero,/dev/full" >"$folder/gres.conf"
# From version 23 on slurmd wants control groups, which a container may not have, unless it is told otherwise.
version=$(slurmd -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')
[ "$version" -lt 23 ] || echo "CgroupPlugin=disabled" >"$folder/cgroup.conf"
start slurmctld slurmctld -D
wait_until slurmctld scontrol ping
start slurmd slurmd -D
node_is_idle() { [ "$(sinfo --noheader --format=%t)" = idle ]; }
wait_until "the node" node_is_idle
srun --mpi=list 2>&1 | grep -q pmix || skip "this Slurm has no PMIx plugin; srun --mpi=list names those it has"

if [ -t 0 ]; then
  "$@" # in front, so that a shell can use the terminal
else
  "$@" <&0 & # behind, so that a signal to this script is not kept waiting
  wait $!
fi
