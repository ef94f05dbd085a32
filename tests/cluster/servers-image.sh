#!/usr/bin/env bash
# Makes an image of servers that applications really use, from Debian's packages, and prints the
# archive for load.sh. Nothing is installed on this machine: the packages are downloaded and
# unpacked. Kept in the cache, keyed by this script and the packages' versions.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

IMAGE=enclii.test/servers:1
PACKAGES=(
	nginx-light haproxy redis-server redis-tools postgresql-15 prometheus nodejs
	openjdk-17-jdk-headless gunicorn pgbouncer dash coreutils
)
# Of the dependencies: what only installs or configures packages, alternatives to another that is
# there, and what is large and unused (PostgreSQL's compiler, Prometheus' pages, locales).
LEFT_OUT='^(adduser|cdebconf|debconf|dpkg|init-system-helpers|install-info)$'
LEFT_OUT+='|^(.*-perl|perl.*|.*debian.*)$'
LEFT_OUT+='|^(locales.*|libllvm.*|libz3.*|libjs-.*|fonts-.*|libperl.*|systemd.*|.*-jre|.*-java)$'

# As if nothing were installed: a package from elsewhere, which this machine has, cannot be
# downloaded.
fresh=(-o Dir::State::status=/dev/null)
closure() {
	apt-cache "${fresh[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances "${PACKAGES[@]}" |
		grep '^[a-z0-9]' | grep -Ev "$LEFT_OUT" | sort -u
}

command -v apt-get >/dev/null || die "the servers' image needs a Debian machine (apt-get)"
mapfile -t packages < <(closure)
if [[ ${#packages[@]} == 0 ]]; then
	apt-get -qq update >/dev/null || die "could not update the list of packages"
	mapfile -t packages < <(closure)
fi
[[ ${#packages[@]} -gt 0 ]] || die "no package of ${PACKAGES[*]} is known"
versions() { apt-cache "${fresh[@]}" policy "${packages[@]}" | grep Candidate; }
key=$({ cat "$0" && versions; } | sha256sum | cut -c1-10)
out=$CACHE/servers-$key.tar
if [[ -e $out ]]; then
	echo "$out"
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/root"
chmod 755 "$work/root"
download() {
	(cd "$work/debs" && apt-get -qq "${fresh[@]}" download "${packages[@]}" >/dev/null 2>"$work/log")
}
# A package that a mirror no longer has: its list is old.
download || { apt-get -qq update >/dev/null && download; } ||
	{ cat "$work/log" >&2 && die "could not download ${PACKAGES[*]}"; }
for deb in "$work"/debs/*.deb; do
	dpkg-deb --extract "$deb" "$work/root"
done
root=$work/root
# Java's settings are in /etc.
mv "$root"/etc/java-* "$work/"
rm -rf "${root:?}"/usr/share/{doc,man,locale,info} "${root:?}"/{etc,var}
# What only those need who build programs.
rm -rf "${root:?}"/usr/{include,bin/promtool} "$root"/usr/lib/jvm/*/{jmods,include,lib/src.zip}
mkdir -p "$root"/{tmp,etc,run,var/lib/nginx,var/log/nginx}
mv "$work"/java-* "$root/etc/"
chmod 1777 "$root"/{tmp,run,var/lib/nginx,var/log/nginx}
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
# What installing the package would link.
(cd "$root/usr/bin" && ln -s ../lib/jvm/java-17-openjdk-*/bin/java .)
[[ -e $root/bin/sh ]] || ln -s dash "$root/bin/sh"

tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
jq -nc --arg arch "$(dpkg --print-architecture)" --arg layer "sha256:$layer" '{
	architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z",
	config: {Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], WorkingDir: "/"},
	rootfs: {type: "layers", diff_ids: [$layer]}
}' >"$work/config.json"
jq -nc --arg image "$IMAGE" \
	'[{Config: "config.json", RepoTags: [$image], Layers: ["layer.tar"]}]' >"$work/manifest.json"
tar -C "$work" -cf "$work/image.tar" manifest.json config.json layer.tar
mkdir -p "$CACHE"
mv "$work/image.tar" "$out"
echo "$out"
