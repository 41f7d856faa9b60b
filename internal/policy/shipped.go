package policy

import (
	_ "embed" // the policies
	"fmt"
	"slices"
	"strings"
)

//go:embed default.toml
var defaultTOML []byte

//go:embed policies/image.toml
var imageTOML []byte

// Default returns the policy that every run starts from.
func Default() (*Policy, error) {
	return Parse("default.toml", defaultTOML)
}

// Names lists the policies that crossroot ships besides the default one.
func Names() []string { return []string{"image"} }

// Shipped returns a policy that crossroot ships by its name, to be put on top of the default one.
// "image" is what an image builder suppresses by choice.
func Shipped(name string) (*Policy, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("find policy %q: crossroot ships: %s", name, strings.Join(Names(), ", "))
	}
	return Parse(name+".toml", imageTOML)
}

// ShippedText returns the text of a policy that crossroot ships, by its name.
func ShippedText(name string) ([]byte, bool) {
	if name == "image" {
		return imageTOML, true
	}
	return nil, false
}
