//go:build cgo && linux

package main

import (
	"testing"

	"sidepop/auth/helper"
)

// BenchmarkLogin is a login of a system user: yescrypt with Debian's cost, in the
// keeper's sandbox, one at a time and as many at once as there are processors.
func BenchmarkLogin(b *testing.B) {
	for name, parallel := range map[string]int{"one": 1, "many": 2} {
		b.Run(name, func(b *testing.B) {
			p, _ := open(b, func(o *helper.Options) { o.MaxTransactions = 1 << 30 })
			ask := func() {
				if a := try(b, p, login("sidepop", "joe")); a.Outcome != helper.Accepted {
					b.Errorf("got %v, %q", a.Outcome, a.Messages)
				}
			}
			ask()
			b.ResetTimer()
			if parallel == 1 {
				for range b.N {
					ask()
				}
			} else {
				b.SetParallelism(parallel)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						ask()
					}
				})
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
		})
	}
}
