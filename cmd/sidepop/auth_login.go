package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/privilege"
)

// authTestCommand is `sidepop auth test`.
func authTestCommand() *cobra.Command {
	var file, remote string
	cmd := &cobra.Command{
		Use:   "test USER",
		Short: "Try a user name and a password, as a client would",
		Long: `Ask for a password and find out whether USER could log in with it, from which
source the account is and where its mail is, or why not. Without a terminal the
password is the first line of standard input. The running server is not asked.`,
		Args: cobra.ExactArgs(1),
		RunE: running(func(cmd *cobra.Command, users []string) error {
			from, err := netip.ParseAddr(remote)
			if err != nil {
				return &failure{fmt.Errorf("--remote %q, expected an address such as 192.0.2.1", remote), exitUsage}
			}
			c, err := config.Read(file)
			if err != nil {
				return err
			}
			password, err := newAsker(cmd).password("Password of " + maillog.Escape(users[0]) + ": ")
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return tryLogin(ctx, c, auth.Login{User: users[0], Password: password, Remote: from}, newOutput(cmd.OutOrStdout(), false))
		}),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	cmd.Flags().StringVar(&remote, "remote", "127.0.0.1", "the `address` that the client has")
	return cmd
}

// atOnce is the failure delay of a command of the operator, who need not be kept
// from guessing.
const atOnce = time.Nanosecond

// tryLogin makes a login as the keeper does, and tells of it.
func tryLogin(ctx context.Context, c *config.Config, l auth.Login, out *output) error {
	var finder accountFinder
	defer finder.close()
	accounts, err := finder.of(ctx, c)
	if err != nil {
		return err
	}
	answered := ""
	chain := make(auth.Chain, len(accounts.Chain))
	for i, b := range accounts.Chain {
		b.Source = noted{b.Source, b.Name != config.SourcePAM, func() { answered = b.Name }}
		chain[i] = b
	}
	o := guardOptions(c, accounts)
	o.FailureDelay, o.CacheTime = atOnce, 0
	account, err := auth.NewGuard(o).Do(ctx, l, func(ctx context.Context) (*auth.Account, error) { return chain.Verify(ctx, l) })
	if errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrUnknown) {
		// PAM does not say who exists.
		if _, unknown := accounts.Account(ctx, l.User); errors.Is(unknown, auth.ErrUnknown) {
			err = unknown
		}
	}
	if err != nil {
		return fmt.Errorf("%s can't log in from %s: %w", maillog.Escape(l.User), l.Remote, err)
	}
	rows := [][]string{{"source", answered}, {"account", account.Name}}
	path, _, err := accounts.places.of(account)
	if err == nil {
		rows = append(rows, []string{"mailbox", path})
	}
	if tableErr := out.table([]column{{}, {}}, rows); tableErr != nil {
		return tableErr
	}
	if err != nil {
		return errors.Join(errors.New("the password is right, and there is no mail for it"), err)
	}
	return nil
}

// noted is a source that tells when it has found a login right.
type noted struct {
	auth.Source
	here  bool // it reads files itself, with the rights that the keeper has
	right func()
}

// Verify implements [auth.Source].
func (n noted) Verify(ctx context.Context, l auth.Login) (account *auth.Account, err error) {
	ask := func() { account, err = n.Source.Verify(ctx, l) }
	if n.here {
		privilege.WithoutOverride(ask)
	} else {
		ask()
	}
	if err == nil {
		n.right()
	}
	return account, err
}
