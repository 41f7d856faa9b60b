package policy

import "testing"

func TestShippedPoliciesParse(t *testing.T) {
	if _, err := Default(); err != nil {
		t.Error(err)
	}
	for _, name := range Names() {
		if _, err := Shipped(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := Shipped("nothing"); err == nil {
		t.Error("Shipped accepts an unknown name")
	}
}
