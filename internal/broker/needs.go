package broker

// Lacks says which modules the target's name services and PAM ask for, by need (policy.Row.Needs), that the tool root
// has not: programs that need them are emulated.
func (b *Broker) Lacks() map[string]string { return b.lacks() }
