package helper

import "testing"

// BenchmarkAuthenticate is the round trip of a request, without any work.
func BenchmarkAuthenticate(b *testing.B) {
	for name, parallel := range map[string]bool{"one": false, "many": true} {
		b.Run(name, func(b *testing.B) {
			p, _ := open(b, "right", func(o *Options) { o.MaxTransactions = 1 << 30 })
			ask := func() {
				if _, err := p.Authenticate(b.Context(), login("joe")); err != nil {
					b.Error(err)
				}
			}
			ask()
			b.ReportAllocs()
			b.ResetTimer()
			if parallel {
				b.SetParallelism(16)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						ask()
					}
				})
				return
			}
			for range b.N {
				ask()
			}
		})
	}
}
