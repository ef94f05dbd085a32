// HashiCorp Vault, unchanged, as a Go module of ours so that its version and
// every dependency of it are pinned by go.sum. Used by tests only.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:]))
}
