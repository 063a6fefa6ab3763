#!/usr/bin/env bash
# Run the README's commands on a fresh Debian 13 (Python 3.13): a minimal system in FOLDER, a clone of HEAD in it.
#
#   tests/fresh_machine.sh FOLDER                       make demo, then make test
#   tests/fresh_machine.sh FOLDER 'make demo' [MIRROR]  another command; a mirror other than this machine's
#
# Needs root and debootstrap (apt-get install debootstrap). A FOLDER that a run has made is used again: only the clone is
# new. Proxies and pip's index come from the environment, certificates and names of hosts from this machine.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
folder=$(realpath -m "$1")
command=${2:-make demo && make test}
mirror=${3:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1)}
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
bundle=etc/ssl/certs/ca-certificates.crt

if [ -z "$mirror" ]; then
	echo "no mirror of Debian among the sources of apt here; name one: $0 $folder '$command' MIRROR" >&2
	exit 1
fi
if [ ! -e "$folder/etc/fresh_machine" ]; then
	if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
		echo "$folder: found files, expected an empty or missing folder, or one that this script made" >&2
		exit 1
	fi
	echo "making a minimal Debian 13 in $folder"
	debootstrap --variant=minbase --include=ca-certificates,make,python3,python3-venv trixie "$folder" "$mirror" >/dev/null
	touch "$folder/etc/fresh_machine"
fi
cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
cp -L "/$bundle" "$folder/$bundle"
rm -rf "$folder/root/p2pbench"
git clone --quiet "$repository" "$folder/root/p2pbench"
echo "fresh machine: $(git -C "$repository" describe --always --dirty), $command"

mapfile -t settings < <(env | grep -iE '^([a-z]+_proxy|pip_(index_url|extra_index_url|trusted_host|default_timeout))=' || true)
# In a mount namespace of its own: when the command ends, however it ends, nothing is left mounted.
export folder command
exec unshare --mount bash -euc '
	mount --rbind /proc "$folder/proc"
	mount --rbind /dev "$folder/dev"
	exec chroot "$folder" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
		bash -c "cd ~/p2pbench && python3 --version && time { $command; }"
' fresh_machine "${settings[@]}" "PIP_CERT=/$bundle"
