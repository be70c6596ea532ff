#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# two_hosts.sh MPIEXEC RANKS_PER_HOST COMMAND...: runs the command with Open MPI 5 on this host and on a second one, which is
# a network namespace of this machine with a host name of its own: no shared memory between them, only TCP.
# TWO_HOSTS_RATE=1gbit lets no more through (tc's words).
# Exit code 77: not possible here (needs root, ip, unshare and Open MPI 5).
set -euo pipefail

mpiexec=$1 ranks_per_host=$2
shift 2
namespace=m2-$$ here=m2h$$ there=m2t$$
network=198.18.77 # of the range for tests of networks

skip() { echo "two_hosts: skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root"
command -v ip >/dev/null && command -v unshare >/dev/null || skip "needs ip and unshare"
"$mpiexec" --version 2>/dev/null | grep -q 'Open MPI) 5' || skip "needs Open MPI 5"

# remove NAMESPACE: with what still runs in it; its network is free when this returns.
remove() {
  ip netns pids "$1" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
  ip link del "m2h${1#m2-}" 2>/dev/null || true
  ip netns del "$1" 2>/dev/null || true
}

exec 9>"${TMPDIR:-/tmp}/m2-two-hosts.lock" # there is one such network: the next test waits
flock --wait 120 9 || skip "another one does not end"
# Left by a test that was killed; without this the next ones would be skipped.
for left in $(ip netns list 2>/dev/null | grep -o "^m2-[0-9]*"); do kill -0 "${left#m2-}" 2>/dev/null || remove "$left"; done
agent=$(mktemp)
trap 'rm -f "$agent"; remove $namespace' EXIT
! ip -o addr | grep -qF " $network." || skip "$network.* is in use"
ip netns add $namespace 2>/dev/null || skip "no network namespaces here"
ip link add $here type veth peer name $there netns $namespace 2>/dev/null || skip "no virtual network here"
ip addr add $network.1/24 dev $here
ip link set $here up
ip netns exec $namespace ip addr add $network.2/24 dev $there
ip netns exec $namespace ip link set $there up
ip netns exec $namespace ip link set lo up
if [ -n "${TWO_HOSTS_RATE:-}" ]; then
  limit=(root tbf rate "$TWO_HOSTS_RATE" burst 256kb latency 50ms)
  tc qdisc add dev $here "${limit[@]}" 2>/dev/null || skip "no limited network here (tc, tbf)"
  ip netns exec $namespace tc qdisc add dev $there "${limit[@]}"
fi

# What mpirun calls instead of ssh: HOST COMMAND...
cat >"$agent" <<TEXT
#!/usr/bin/env bash
shift
exec ip netns exec $namespace unshare --uts bash -c "hostname second-host; \$*"
TEXT
chmod +x "$agent"
export PRTE_MCA_prte_if_include=$network.0/24 PMIX_MCA_ptl_tcp_if_include=$network.0/24
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,sm,tcp OMPI_MCA_btl_tcp_if_include=$network.0/24
unset PRTE_MCA_rmaps_default_mapping_policy OMPI_MCA_rmaps_base_oversubscribe # said below
"$mpiexec" --prtemca plm_ssh_agent "$agent" --host "$(hostname):$ranks_per_host,$network.2:$ranks_per_host" \
  --map-by "ppr:$ranks_per_host:node:OVERSUBSCRIBE" -x OMPI_MCA_pml -x OMPI_MCA_btl -x OMPI_MCA_btl_tcp_if_include \
  -n $((2 * ranks_per_host)) "$@" 9>&-
