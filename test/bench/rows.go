package main

import (
	"context"
	"fmt"
	"time"
)

// What sidepop has to reach, of Dovecot tuned unless it says otherwise.
const (
	targetLoginCPU    = 1.0 / 5
	targetLoginRate   = 3.0
	targetTLSLoginCPU = 1.0 / 3.5 // asymmetric cryptography is the same for all
	targetPoll1000    = 1.0 / 8
	targetPoll10000   = 1.0 / 15
	targetPoll100000  = 1.0 / 25
	targetFirstPoll   = 1.0 / 3 // wall time, 100,000 messages
	targetStatOnly    = 1000.0  // in us CPU a session, 100,000 messages
	targetSmallByOne  = 0.8
	targetSmallBy16   = 0.7
	targetSmallTLS    = 1.0 / 3
	targetMixed       = 1.0 / 4
	targetMixedTLS    = 1.0 / 7
	targetLarge       = 1.0 / 4
	targetIdle        = 40.0 // in KB a session
	targetIdleTLS     = 80.0 // in KB a session
	targetRemoval     = 1.0
)

// pollTargets and firstPollTargets are by the number of messages.
var (
	pollTargets = map[int]target{
		1000:    {targetPoll1000, atMostOfTuned},
		10_000:  {targetPoll10000, atMostOfTuned},
		100_000: {targetPoll100000, atMostOfTuned},
	}
	firstPollTargets = map[int]target{100_000: {targetFirstPoll, atMostOfTuned}}
)

// atATime is how many messages are requested without waiting.
const atATime = 16

// measurement is one round of a row at one server, with about that much time of
// work.
type measurement func(ctx context.Context, s *server, budget time.Duration) (sample, error)

// row is one kind of work.
type row struct {
	name    string
	rounds  int
	warm    bool // a short round comes first that does not count
	measure measurement
	metrics []metric
}

// metric is a figure of a row.
type metric struct {
	unit   string
	value  func(sample) float64
	target target
}

// rows is everything that is measured, in that order: what adds mail comes last.
func (b *bench) rows() []row {
	rows := []row{
		b.often("connect, login, STAT, QUIT", b.logins(false),
			metric{"us CPU a session", cpuMicroseconds, target{targetLoginCPU, atMostOfTuned}},
			metric{"sessions a second", unitsPerSecond, target{targetLoginRate, atLeastOfTuned}}),
		b.often("connect, login, STAT, QUIT, TLS 1.3", b.logins(true),
			metric{"us CPU a session", cpuMicroseconds, target{targetTLSLoginCPU, atMostOfTuned}},
			metric{"sessions a second", unitsPerSecond, target{}}),
	}
	for _, n := range b.sizes {
		rows = append(rows, b.often(fmt.Sprintf("poll, %d messages, nothing new", n), b.polls(n),
			metric{"us CPU a poll", cpuMicroseconds, pollTargets[n]},
			metric{"ms a poll", wallMilliseconds, target{}}))
	}
	most := b.sizes[len(b.sizes)-1]
	rows = append(rows, b.often(fmt.Sprintf("STAT only, %d messages", most), b.statOnly(most),
		metric{"us CPU a session", cpuMicroseconds, target{targetStatOnly, atMostInItsUnit}}))
	rows = append(rows, b.retrievalRows()...)
	rows = append(rows,
		b.seldom(fmt.Sprintf("%d idle sessions", b.idle), b.idleSessions(false),
			metric{"KB a session", kilobytes, target{targetIdle, atMostInItsUnit}}),
		b.seldom(fmt.Sprintf("%d idle sessions, TLS", b.idle), b.idleSessions(true),
			metric{"KB a session", kilobytes, target{targetIdleTLS, atMostInItsUnit}}),
		b.seldom(fmt.Sprintf("DELE of %d messages 16 at a time, QUIT", b.removals), b.removal(),
			metric{"us CPU a message", cpuMicroseconds, target{targetRemoval, atMostOfTuned}}))
	for _, n := range b.sizes {
		rows = append(rows,
			b.seldom(fmt.Sprintf("first poll ever, %d messages", n), b.afterRestart(n, true),
				metric{"ms", wallMilliseconds, firstPollTargets[n]}),
			b.seldom(fmt.Sprintf("first poll after a restart, %d messages", n), b.afterRestart(n, false),
				metric{"ms", wallMilliseconds, target{}}))
	}
	for _, n := range b.sizes {
		rows = append(rows, b.seldom(fmt.Sprintf("poll, %d messages, one new", n), b.deliveries(n),
			metric{"us CPU a poll", cpuMicroseconds, target{}}))
	}
	return rows
}

func (b *bench) retrievalRows() []row {
	perMessage := func(bound float64) []metric {
		return []metric{{"us CPU a message", cpuMicroseconds, target{bound, atMostOfTuned}}, {"messages a second", unitsPerSecond, target{}}}
	}
	perMegabyte := func(t target) []metric {
		return []metric{{"us CPU a MB", cpuMicroseconds, t}, {"MB a second", unitsPerSecond, target{}}}
	}
	return []row{
		b.often("RETR of 2 KB, one by one", b.retrieval(smallUser, false, 1, countMessages), perMessage(targetSmallByOne)...),
		b.often("RETR of 2 KB, 16 at a time", b.retrieval(smallUser, false, atATime, countMessages), perMessage(targetSmallBy16)...),
		b.often("RETR of 2 KB, TLS", b.retrieval(smallUser, true, 1, countMessages), perMessage(targetSmallTLS)...),
		b.often("RETR of mixed mail", b.retrieval(mixedUser, false, 1, countMegabytes), perMegabyte(target{targetMixed, atMostOfTuned})...),
		b.often("RETR of mixed mail, TLS", b.retrieval(mixedUser, true, 1, countMegabytes), perMegabyte(target{targetMixedTLS, atMostOfTuned})...),
		b.often(fmt.Sprintf("RETR of one message of %d MB", b.large/1_000_000), b.retrieval(largeUser, false, 1, countMegabytes),
			perMegabyte(target{targetLarge, atMostOfTuned})...),
		b.often(fmt.Sprintf("RETR of one message of %d MB, TLS", b.large/1_000_000), b.retrieval(largeUser, true, 1, countMegabytes), perMegabyte(target{})...),
	}
}

// often is a row of many short rounds.
func (b *bench) often(name string, m measurement, metrics ...metric) row {
	return row{name, b.rounds, true, m, metrics}
}

// seldom is a row of few rounds, each of which takes long and begins afresh.
func (b *bench) seldom(name string, m measurement, metrics ...metric) row {
	return row{name, b.slow, false, m, metrics}
}
