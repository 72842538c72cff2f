package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"sidepop/pop3/wire"
)

var (
	buildInfo = gauge("sidepop_build_info", "The version of sidepop and of Go; the value is 1.", "version", "goversion")
	keeperUp  = gauge("sidepop_keeper_up", "Whether the keeper answers the front; without it nobody can log in.")
	frontUp   = gauge("sidepop_front_up", "Whether the front answers the keeper; its figures are missing otherwise.")

	connections      = gauge("sidepop_connections", "Connections that are open.", "listener")
	accepted         = counter("sidepop_connections_accepted_total", "Connections that were accepted.", "listener")
	refused          = counter("sidepop_connections_refused_total", "Connections that were turned away because of a limit or of what a proxy said.", "listener")
	handshakesFailed = counter("sidepop_tls_handshakes_failed_total", "TLS handshakes that failed.", "listener")
	sessions         = gauge("sidepop_sessions", "Connections that are logged in.")
	unanswered       = counter("sidepop_logins_unanswered_total", "Logins that failed because the keeper could not be asked.")

	retrieved = counter("sidepop_messages_retrieved_total", "Messages sent for RETR in sessions that have ended.")
	tops      = counter("sidepop_messages_top_total", "Messages sent in part for TOP in sessions that have ended.")
	removed   = counter("sidepop_messages_removed_total", "Messages removed in sessions that have ended.")
	octets    = counter("sidepop_sent_octets_total", "Octets of messages sent in sessions that have ended.")

	processCPU     = counter("sidepop_process_cpu_seconds_total", "Processor time that the process has used.", "role")
	processStart   = gauge("sidepop_process_start_time_seconds", "Unix time at which the process has begun.", "role")
	processMemory  = gauge("sidepop_process_memory_bytes", "Memory that the Go runtime of the process has from the system.", "role")
	processThreads = gauge("sidepop_process_goroutines", "Goroutines of the process.", "role")
)

// Front is the text of a front that has no keeper to ask.
func Front(version string, c wire.Counts) ([]byte, error) {
	r := prometheus.NewRegistry()
	r.MustRegister(collect(func(give func(prometheus.Metric)) {
		give(build(version))
		give(keeperUp.value(0))
		front(&c, give)
	}))
	return write(r)
}

func build(version string) prometheus.Metric { return buildInfo.value(1, version, runtime.Version()) }

// front gives the figures of a front.
func front(c *wire.Counts, give func(prometheus.Metric)) {
	for i, l := range c.Listeners {
		name := Listeners[i]
		give(connections.value(float64(l.Open), name))
		give(accepted.value(float64(l.Accepted), name))
		give(refused.value(float64(l.Refused), name))
		give(handshakesFailed.value(float64(l.HandshakesFailed), name))
	}
	give(sessions.value(float64(c.LoggedIn)))
	give(unanswered.value(float64(c.Unanswered)))
	give(retrieved.value(float64(c.Retrieved)))
	give(tops.value(float64(c.Tops)))
	give(removed.value(float64(c.Removed)))
	give(octets.value(float64(c.Octets)))
	process(c.Process, roleFront, give)
}

// process gives what a process uses.
func process(p wire.Process, role string, give func(prometheus.Metric)) {
	const nano, milli = 1e9, 1e3
	give(processCPU.value(float64(p.CPU)/nano, role))
	give(processStart.value(float64(p.Started)/milli, role))
	give(processMemory.value(float64(p.Memory), role))
	give(processThreads.value(float64(p.Goroutines), role))
}
