package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/progress"
	"sidepop/index"
	"sidepop/index/store"
)

func indexCommand() *cobra.Command {
	var i inspection
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Look at the index of mailboxes, check it, make it anew",
		Long: `Look at the index of mailboxes, check it, make it anew. A server that runs is
asked; otherwise the index is opened here. A USER is a name that logs in, or
the path of a Maildir, from /.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&i.file, "config", config.DefaultFile, "the configuration `file`")
	flags.BoolVar(&i.json, "json", false, "print JSON, one object a line")

	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "Show all mailboxes that the index knows",
			Args:  cobra.NoArgs,
			RunE:  i.running(exitFailure, (*inspection).list),
		},
		&cobra.Command{
			Use:   "show USER",
			Short: "Show one mailbox with its messages",
			Args:  cobra.ExactArgs(1),
			RunE:  i.running(exitFailure, (*inspection).show),
		},
		&cobra.Command{
			Use:   "verify [USER...]",
			Short: "Compare mailboxes with their Maildirs and repair what differs",
			Long: `Read the Maildirs, contents included, and compare them with what the index
says. Differences are shown and repaired. Without a USER that is done for all
mailboxes that the index knows. The exit status is 1 if there was a difference,
and 2 if a mailbox could not be verified.`,
			RunE: i.running(exitUsage, (*inspection).verify),
		},
		i.rebuildCommand(),
	)
	return cmd
}

func (i *inspection) rebuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild {USER... | --all}",
		Short: "Forget what the index knows of mailboxes and count them anew",
		Long: `Forget what the index knows of mailboxes and count them anew. That is never
needed: verify repairs what it finds. Clients notice nothing.`,
		Args: func(_ *cobra.Command, users []string) error {
			switch {
			case len(users) == 0 && !i.all:
				return errors.New("rebuild: name users, or say --all for all mailboxes that the index knows")
			case len(users) > 0 && i.all:
				return errors.New("rebuild: name users or say --all, not both")
			}
			return nil
		},
		RunE: i.running(exitFailure, (*inspection).rebuild),
	}
	cmd.Flags().BoolVar(&i.all, "all", false, "all mailboxes that the index knows")
	return cmd
}

// inspection is one of the commands of `sidepop index`.
type inspection struct {
	file string
	json bool
	all  bool // of rebuild

	config  *config.Config
	x       control.Inspector
	stopped bool // x is of this process
	out     *output
	bar     *progress.Bar
}

// running runs a command of `sidepop index` with an open index, until a signal.
// Status is that of a failure.
func (i *inspection) running(status int, run func(*inspection, context.Context, []string) error) func(*cobra.Command, []string) error {
	return running(func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		i.out, i.bar = newOutput(cmd.OutOrStdout(), i.json), progress.New(cmd.ErrOrStderr())
		end, err := i.open()
		if err != nil {
			return &failure{err, status}
		}
		err = run(i, ctx, args)
		i.bar.Clear()
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted: what was done by then is kept")
		}
		if endErr := end(); endErr != nil && (err == nil || errors.Is(err, errDifferent)) {
			err = endErr // what was found may not be repaired
		}
		if err != nil {
			return &failure{err, status}
		}
		return nil
	})
}

// open reads the configuration and finds the index.
func (i *inspection) open() (end func() error, err error) {
	if i.config, err = config.Read(i.file); err != nil {
		return nil, err
	}
	client, err := control.Dial(i.config.Index.StateDir)
	switch {
	case err == nil:
		i.x = client
		return client.Close, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as root, or as the user that sidepop runs as", err)
	case !errors.Is(err, control.ErrStopped):
		return nil, err
	}
	x, err := i.openStopped()
	if err != nil {
		return nil, err
	}
	i.x, i.stopped = control.Local{Index: x}, true
	return x.Close, nil
}

// openStopped opens the index that no server has open.
func (i *inspection) openStopped() (*index.Index, error) {
	dir := i.config.Index.StateDir
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no index yet: %s does not exist, \"sidepop serve\" makes it (index.state_dir in %s)", dir, i.file)
	}
	if fi, err := os.Stat(dir); err == nil {
		if owner := int(fi.Sys().(*syscall.Stat_t).Uid); owner != os.Geteuid() {
			return nil, fmt.Errorf("the index in %s is that of user id %d, and this is user id %d: run it as that user", dir, owner, os.Geteuid())
		}
	}
	o := indexOptions(i.config, &told{words{screen: &screen{w: i.bar}}})
	o.Watch = index.WatchNone
	x, err := index.New(o)
	if errors.Is(err, store.ErrLocked) {
		err = fmt.Errorf("%w. It can't be asked: it is just starting or ending, or another \"sidepop index\"; try again when that is done", err)
	}
	return x, err
}

// told is what is told of an index that a command has opened. What is repaired
// and how far a count is, the command tells itself.
type told struct{ words }

// Repaired implements [index.Events].
func (*told) Repaired(string, string) {}

// Counting implements [index.Events].
func (*told) Counting(string, int, int) {}

// target is a mailbox that a command is for.
type target struct {
	control.Maildir
	user     string // may be unknown
	messages int    // that the index knows of
}

// String is how people know it.
func (t target) String() string {
	if t.user == "" {
		return maillog.Escape(t.Path)
	}
	return maillog.Escape(t.user)
}

// targets finds the mailboxes of users, or all that the index knows.
func (i *inspection) targets(ctx context.Context, users []string) ([]target, error) {
	all, err := i.x.List(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]index.Info, len(all))
	var ts []target
	for _, info := range all {
		known[info.Path] = info
		if len(users) == 0 {
			ts = append(ts, target{control.Maildir{Path: info.Path}, info.User, info.Messages})
		}
	}
	if len(users) == 0 {
		return ts, nil
	}
	var finder accountFinder
	defer finder.close()
	for _, user := range users {
		t, err := i.target(ctx, &finder, user)
		if err != nil {
			return nil, err
		}
		info, ok := known[t.Path]
		if ok && t.user == "" {
			t.Owner = nil // the index knows better than the folder
		}
		if t.user == "" {
			t.user = info.User
		}
		t.messages = info.Messages
		ts = append(ts, t)
	}
	return ts, nil
}

// target finds one user's mailbox.
func (i *inspection) target(ctx context.Context, finder *accountFinder, user string) (target, error) {
	if filepath.IsAbs(user) {
		path := filepath.Clean(user)
		fi, err := os.Stat(path)
		if err != nil || !fi.IsDir() {
			return target{}, fmt.Errorf("%s is not a Maildir, or can't be reached by user id %d", maillog.Escape(path), os.Geteuid())
		}
		owner := index.ProcessOwner()
		if os.Geteuid() == 0 {
			st := fi.Sys().(*syscall.Stat_t)
			if st.Uid == 0 {
				return target{}, fmt.Errorf("%s belongs to root, whose mail is never served", maillog.Escape(path))
			}
			owner = index.Owner{UID: st.Uid, GID: st.Gid}
		}
		return target{Maildir: control.Maildir{Path: path, Owner: &owner}}, nil
	}
	accounts, err := finder.of(ctx, i.config)
	if err != nil {
		return target{}, err
	}
	account, err := accounts.Account(ctx, user)
	if err != nil {
		return target{}, err
	}
	path, owner, err := accounts.places.of(account)
	return target{Maildir: control.Maildir{Path: path, Owner: &owner}, user: account.Name}, err
}
