// Program bench measures what the sidepop binary costs, beside Dovecot from
// Debian in the same run where that can be had: go run ./test/bench.
//
// What holds throughout:
//
//   - The figure to compare is the CPU time of a server's whole process tree for
//     each unit of work. Wall time is given too; client and servers share the
//     machine, and it depends on both.
//   - Every answer is checked: numbers, sizes, UIDLs, and every octet of every
//     message. A server that fails gives no figure.
//   - Every server has mail of its own, the same for all, in the page cache.
//   - Rounds alternate between the servers, so that a machine that gets slower
//     does so for all. What is printed are medians.
//   - Work is bounded in time and in number. All that is made is in one
//     temporary folder, which is removed; processes are ended by their ids.
//   - Passwords are stored as they are, so that no hash is computed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownName is the name of the server that the others are compared with.
const ownName = "sidepop"

// options are the command line.
type options struct {
	peers string
	sizes []int
	quick bool
	json  string
	rows  *regexp.Regexp // which to measure
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // flag has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	o.sizes = []int{1000, 10_000, 100_000}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Func("messages", "messages of the mailboxes that are polled (default 1000,10000,100000)", func(list string) error {
		o.sizes = nil
		for number := range strings.SplitSeq(list, ",") {
			const most = 1_000_000
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > most {
				return fmt.Errorf("%q, expected a number from 1 to %d", number, most)
			}
			o.sizes = append(o.sizes, n)
		}
		slices.Sort(o.sizes)
		o.sizes = slices.Compact(o.sizes)
		return nil
	})
	o.peers = "auto"
	f.Func("peers", "auto, none or dovecot (default auto: what there is)", func(peers string) error {
		o.peers = peers
		if !slices.Contains([]string{"auto", "none", "dovecot"}, peers) {
			return errors.New("expected auto, none or dovecot")
		}
		return nil
	})
	o.rows = regexp.MustCompile("")
	f.Func("run", "measures only rows whose name this `regexp` matches", func(pattern string) (err error) {
		o.rows, err = regexp.Compile(pattern)
		return err
	})
	f.BoolVar(&o.quick, "quick", false, "few, short rounds: shows that all works, with rough figures")
	f.StringVar(&o.json, "json", "", "writes all figures to a `file`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", f.Arg(0))
		return o, errors.New("arguments")
	}
	return o, nil
}

// run makes everything, measures, and removes everything.
func run(ctx context.Context, o options) (err error) {
	b := &bench{scale: fullScale, sizes: o.sizes}
	if o.quick {
		b.scale = quickScale
	}
	// Before anything loads the machine.
	r := &results{Machine: thisMachine(), Servers: make(map[string]string), Quick: o.quick}
	fmt.Println(r.Machine)

	dir, err := os.MkdirTemp("", "sidepop-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	servers, err := b.prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	for _, s := range servers {
		r.Servers[s.name] = s.version
		fmt.Println(s.name, s.version)
	}
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, s := range servers {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	measured := b.measure(ctx, o.rows, servers, r)
	fmt.Println()
	if err := table(os.Stdout, servers, r.Figures); err != nil {
		return err
	}
	if o.json != "" {
		return errors.Join(measured, r.writeJSON(o.json))
	}
	return measured
}

// prepare makes the servers, sidepop first, and their mail.
func (b *bench) prepare(ctx context.Context, o options, dir string) ([]*server, error) {
	// What servers read under other users.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	binary, err := buildSidepop(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), users: b.users()}
	if s.owner, err = mailOwner(); err != nil {
		return nil, err
	}
	if b.roots, err = writeCertificate(s.cert, s.key); err != nil {
		return nil, err
	}
	own, err := s.sidepop(binary)
	if err != nil {
		return nil, err
	}
	servers := []*server{own}
	peers, err := s.peers(ctx, o.peers)
	if err != nil {
		return nil, err
	}
	servers = append(servers, peers...)
	fmt.Printf("mail for each of the servers (%[3]d): %[1]d messages of 2 KB, %[2]d of other sizes\n",
		b.small+sum(b.sizes)+manyUsers*manyMessages, b.mixed+1, len(servers))
	if err := b.fill(ctx, servers); err != nil {
		return nil, err
	}
	syscall.Sync() // so that no measurement shares the disk with it
	return servers, nil
}

func sum(numbers []int) (s int) {
	for _, n := range numbers {
		s += n
	}
	return s
}

// mailOwner is whom the mail belongs to: an unprivileged user if we are root,
// else us.
func mailOwner() (owner, error) {
	o := owner{uid: os.Getuid(), gid: os.Getgid()}
	if o.uid != 0 {
		return o, nil
	}
	u, err := user.Lookup(unprivileged)
	if err != nil {
		return o, err
	}
	o.change = true
	o.uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return o, err
	}
	o.gid, err = strconv.Atoi(u.Gid)
	return o, err
}

// peers makes the servers to compare with, as far as they can be had.
func (s *site) peers(ctx context.Context, wanted string) ([]*server, error) {
	if wanted == "none" {
		return nil, nil
	}
	version, err := dovecotVersion(ctx)
	if err != nil && wanted == "auto" {
		fmt.Println("not compared with Dovecot:", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compare with Dovecot: %w", err)
	}
	plain, err := s.dovecot(dovecotDefault, version, "")
	if err != nil {
		return nil, err
	}
	tuned, err := s.dovecot(dovecotTuned, version, dovecotTuning)
	return []*server{plain, tuned}, err
}

// measure does all rows. What fails is left out and reported at the end.
func (b *bench) measure(ctx context.Context, wanted *regexp.Regexp, servers []*server, r *results) error {
	var failures []error
	for _, w := range b.rows() {
		if !wanted.MatchString(w.name) {
			continue
		}
		begin := time.Now()
		samples, failed := b.alternate(ctx, w, servers)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Printf("%6.1f s  %s\n", time.Since(begin).Seconds(), w.name)
		r.Figures = append(r.Figures, figures(w, samples)...)
		for _, s := range servers {
			if err := failed[s]; err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", w.name, s.failed("failed: %v", err)))
			}
		}
	}
	return errors.Join(failures...)
}

// alternate does the rounds of a row, each at one server after the other. A
// server that fails is left out from then on, and has no samples.
func (b *bench) alternate(ctx context.Context, w row, servers []*server) (map[string][]sample, map[*server]error) {
	samples := make(map[string][]sample)
	failed := make(map[*server]error)
	first := 1
	if w.warm {
		first = 0
	}
	for round := first; round <= w.rounds; round++ {
		for _, s := range servers {
			if failed[s] != nil || ctx.Err() != nil {
				continue
			}
			result, err := b.round(ctx, w, s, round)
			if err != nil {
				failed[s] = err
				delete(samples, s.name)
			} else if round > 0 {
				samples[s.name] = append(samples[s.name], result)
			}
		}
	}
	return samples, failed
}

// round is one round of a row at one server; round 0 only warms up.
func (b *bench) round(ctx context.Context, w row, s *server, round int) (sample, error) {
	if !s.running() { // a failure before has ended it
		if err := s.start(ctx); err != nil {
			return sample{}, err
		}
	}
	budget := b.budget
	if round == 0 {
		budget = b.warm
	}
	return w.measure(ctx, s, budget)
}
