# A Go toolchain that can build the modules here. Sourced, never run.
# shellcheck shell=bash

# New enough for every module here. A system Go from 1.21 on fetches a toolchain by itself; an older
# one is used only to fetch this one.
GO_BOOTSTRAP=go1.26.8

go_minor() { "$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

# Sets GO. ENCLII_GO names a go command to use (or to bootstrap from) instead of PATH's.
find_go() {
	GO=${ENCLII_GO:-$(command -v go || true)}
	if [[ -z $GO ]]; then
		apt_install golang-go
		GO=$(command -v go)
	fi
	local minor
	minor=$(go_minor "$GO")
	[[ -n $minor ]] || die "cannot tell the version of $GO"
	# From 1.21 on, Go fetches the toolchain that a go.mod requires.
	if ((minor >= 21)); then
		export GOTOOLCHAIN=auto
	else
		bootstrap_go
	fi
}

# A Go before 1.21 does not know toolchains, but a toolchain is also a module, so it is fetched as
# one. Files of a module have no execute bits, and GOROOT must not be in the module cache, so it is
# copied.
bootstrap_go() {
	local arch name home zip_dir
	arch=$("$GO" env GOARCH)
	name=v0.0.1-$GO_BOOTSTRAP.linux-$arch
	home=$CACHE/toolchain-$GO_BOOTSTRAP-$arch
	if [[ ! -x $home/bin/go ]]; then
		say "fetching $GO_BOOTSTRAP (the $("$GO" env GOVERSION) here is too old)"
		local empty
		empty=$(mktemp -d)
		zip_dir=$(cd "$empty" && "$GO" mod download -json "golang.org/toolchain@$name" |
			sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
		rm -rf "$empty"
		[[ -d $zip_dir ]] || die "the Go toolchain $name could not be fetched"
		mkdir -p "$CACHE"
		rm -rf "$home.tmp.$$"
		cp -r "$zip_dir" "$home.tmp.$$"
		chmod -R u+w "$home.tmp.$$"
		find "$home.tmp.$$/bin" "$home.tmp.$$/pkg/tool" -type f -exec chmod +x {} +
		mv -T "$home.tmp.$$" "$home"
	fi
	GO=$home/bin/go
	unset GOROOT
	export GOTOOLCHAIN=auto
}
