//go:build cgo && linux

package main

import (
	"testing"

	"sidepop/auth/helper"
)

// BenchmarkLogin is a login of a system user: yescrypt with Debian's cost, in the
// keeper's sandbox, one at a time and as many at once as there are processors.
func BenchmarkLogin(b *testing.B) {
	for name, parallel := range map[string]bool{"one": false, "many": true} {
		b.Run(name, func(b *testing.B) {
			p, _ := open(b, func(o *helper.Options) { o.MaxTransactions = 1 << 30 })
			ask := func() {
				if a := try(b, p, login("sidepop", "joe")); a.Outcome != helper.Accepted {
					b.Errorf("got %v, %q", a.Outcome, a.Messages)
				}
			}
			ask()
			b.ResetTimer()
			if parallel {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						ask()
					}
				})
			} else {
				for range b.N {
					ask()
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
		})
	}
}
