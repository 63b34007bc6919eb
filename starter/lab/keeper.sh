# The keeper of one practice host: holds its mounts in a namespace of its own, and starts it again when it reboots.
# Arguments: home name rootfs repo netns cgroup-directory...
set -eu
home=$1 name=$2 rootfs=$3 repo=$4 netns=$5
shift 5
# First of all into the cgroup: from here on `down` finds this process even if nobody wrote its pid down.
enter() {
    for directory in "$@"; do
        mkdir -p "$directory"
        echo $$ >"$directory/cgroup.procs"
    done
}
enter "$@"
echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" >"$home/keeper.new"
mv "$home/keeper.new" "$home/keeper"
# Standard input was the fleet's lock: until here nobody else could start this host too, were its starter killed.
exec </dev/null
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$home/upper,workdir=$home/work" "$home/root"
# nspawn would leave its lock files behind after a power cut; the fleet has a lock of its own.
export SYSTEMD_NSPAWN_LOCK=0
while :; do
    enter "$@"
    code=0
    systemd-nspawn --quiet --settings=no --keep-unit --register=no --machine="$name" --directory="$home/root" \
        --bind-ro="$repo:/srv/repo" --network-namespace-path="/run/netns/$netns" --resolv-conf=off --timezone=off \
        --link-journal=no --console=pipe --boot || code=$?
    [ "$code" = 133 ] || exit "$code" # 133: the host asked for a reboot
done
