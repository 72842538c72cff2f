package metrics

import (
	"runtime"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3/wire"
)

// started is when the process has begun, but for the moments of its loading.
var started = time.Now()

// Process is what this process uses. It opens no file, so that it works in the
// front's sandbox too.
func Process() wire.Process {
	p := wire.Process{Started: uint64(started.UnixMilli()), Memory: memory(), Goroutines: uint64(runtime.NumGoroutine())}
	var cpu unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &cpu); err == nil {
		p.CPU = uint64(cpu.Nano())
	}
	return p
}

// memory is what the runtime has from the system and has not given back. Unlike the
// resident set it leaves out the program itself, most of which is shared.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindUint64 || samples[1].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
