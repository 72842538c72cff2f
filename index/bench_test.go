package index

import (
	"fmt"
	"testing"
)

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := numbered(b, n)
			b.ReportAllocs()
			for b.Loop() {
				m, err := openOnce(b.Context(), dir, Options{Measure: drain})
				if err != nil {
					b.Fatal(err)
				}
				if m.Len() != n {
					b.Fatalf("%d messages", m.Len())
				}
				m.Close()
			}
		})
	}
}

func BenchmarkNames(b *testing.B) {
	dir := numbered(b, 100_000)
	d, err := openDirs(dir, false, new(haste))
	if err != nil {
		b.Fatal(err)
	}
	defer d.close()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.read(b.Context(), func(place) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}
