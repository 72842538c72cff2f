package wire

// ListenerKinds is of how many kinds a front's listeners are, in [Counts].
const ListenerKinds = 4

// Counts is what a front has counted since it began.
type Counts struct {
	Listeners [ListenerKinds]ListenerCounts // by kind: which is which the two processes have agreed on

	LoggedIn   uint64 // connections with a login at the moment
	Unanswered uint64 // logins that failed because the keeper could not be asked

	// What sessions that are over have done.
	Retrieved uint64 // messages sent by RETR
	Tops      uint64 // messages sent by TOP
	Removed   uint64 // messages
	Octets    uint64 // of messages sent

	Process Process
}

// ListenerCounts is of the listeners of one kind.
type ListenerCounts struct {
	Open             uint64 // connections at the moment
	Accepted         uint64 // connections
	Refused          uint64 // connections turned away, because of a limit or of what a proxy said
	HandshakesFailed uint64 // of TLS
}

// Process is what a process uses.
type Process struct {
	Started    uint64 // Unix time in milliseconds
	CPU        uint64 // nanoseconds, in all threads
	Memory     uint64 // octets that the Go runtime has from the system
	Goroutines uint64
}

// Total is the sum over all kinds of listeners.
func (c *Counts) Total() (sum ListenerCounts) {
	for _, l := range c.Listeners {
		sum.Open += l.Open
		sum.Accepted += l.Accepted
		sum.Refused += l.Refused
		sum.HandshakesFailed += l.HandshakesFailed
	}
	return sum
}

// fields are the fields in the order in which they cross.
func (c *Counts) fields() (all []*uint64) {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		all = append(all, &l.Open, &l.Accepted, &l.Refused, &l.HandshakesFailed)
	}
	p := &c.Process
	return append(all, &c.LoggedIn, &c.Unanswered, &c.Retrieved, &c.Tops, &c.Removed, &c.Octets,
		&p.Started, &p.CPU, &p.Memory, &p.Goroutines)
}

// appendCounts adds all fields.
func appendCounts(p []byte, c Counts) []byte {
	for _, n := range c.fields() {
		p = appendUint(p, *n)
	}
	return p
}

// counts is what appendCounts added.
func (d *decoder) counts() (c Counts) {
	for _, n := range c.fields() {
		*n = d.uint(1<<64 - 1)
	}
	return c
}
