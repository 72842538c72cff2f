package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is what figures depend on.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	MemoryMB   int    `json:"memory_mb"`
	System     string `json:"system"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Load       string `json:"load"` // of the last 1, 5 and 15 minutes, at the start
}

func thisMachine() machine {
	m := machine{
		Processor:  field("/proc/cpuinfo", "model name", ":"),
		Processors: runtime.NumCPU(),
		System:     strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Go:         runtime.Version() + " " + runtime.GOARCH,
	}
	_, _ = fmt.Sscan(field("/proc/meminfo", "MemTotal", ":"), &m.MemoryMB) // in KB
	m.MemoryMB /= 1024
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(release))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return m
}

// field is the value of the first line of a file that has the key, or "".
func field(file, key, separator string) string {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if k, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d processors, %d MB; %s, kernel %s; %s; load %s",
		m.Processor, m.Processors, m.MemoryMB, m.System, m.Kernel, m.Go, m.Load)
}
