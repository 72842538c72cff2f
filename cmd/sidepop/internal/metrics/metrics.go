// Package metrics has the figures of a server's two roles, as Prometheus takes them:
// its text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// The keeper counts in a [Keeper]; the front has [wire.Counts], numbers alone. Where
// both are at hand the keeper makes the text of both, and the front hands it on
// ([Server]); without a keeper the front makes that of its own ([Front]).
//
// Invariants:
//   - What is counted at a login or a session is an atomic counter that was made
//     before: no lock, no allocation.
//   - Labels have values of fixed sets: kinds of listeners, mechanisms, outcomes,
//     reasons, roles. The names of certificates, which an operator has chosen, are the
//     only others, and cut. Nothing tells of a user, a mailbox or an address.
//   - A counter is in the text from the start on, with 0.
//   - Names, labels and texts are those of the manual page sidepop(8), which a test
//     holds equal.
package metrics

import (
	"bytes"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"sidepop/pop3/wire"
)

// Listeners are the kinds of listeners, in the order of [wire.Counts].Listeners, as
// labels name them.
var Listeners = [wire.ListenerKinds]string{"pop3", "pop3s", "pop3-legacy", "pop3s-legacy"}

// ContentType is that of the texts.
const ContentType = `text/plain; version=0.0.4; charset=utf-8`

// Roles, as labels name them.
const (
	roleFront  = "front"
	roleKeeper = "keeper"
)

// family is what there is to say of a metric beside its values.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// value is a metric of a family.
func (f family) value(v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
}

// collect is a collector of metrics that are made when they are asked for.
type collect func(give func(prometheus.Metric))

// Describe implements [prometheus.Collector]. Saying nothing leaves it to Collect.
func (collect) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c collect) Collect(to chan<- prometheus.Metric) {
	c(func(m prometheus.Metric) { to <- m })
}

// write makes the text of what is gathered. What can't be gathered, a defect, is left
// out, and told with the rest.
func write(from prometheus.Gatherer) ([]byte, error) {
	families, err := from.Gather()
	var b bytes.Buffer
	e := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if encodeErr := e.Encode(f); encodeErr != nil {
			return b.Bytes(), encodeErr
		}
	}
	return b.Bytes(), err
}

// seconds is a time as metrics have it: Unix time with fractions.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// truth is 1 or 0.
func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// cut bounds a label's value, at the end of a character.
func cut(s string, octets int) string {
	if len(s) <= octets {
		return s
	}
	return strings.ToValidUTF8(s[:octets], "")
}
